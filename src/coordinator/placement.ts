/**
 * Which worker holds what. Pure.
 *
 * Invariants:
 *   X1  Actors of one region and subtask are placed together: their forward channels stay within one host, and a region
 *       that exchanges rows still uses every worker.
 *   X2  These groups, and instances, are spread evenly by processor cores; ties go to the worker named first.
 *   X3  A draining worker is given nothing.
 *   X4  What was placed before stays where it was, if that worker still takes work: its caches are warm.
 */
export interface WorkerFacts {
  readonly worker: string;
  readonly cpus: number;
  readonly draining: boolean;
}

/** What to place, and where it was before; empty: nowhere. */
export interface ActorGroup {
  readonly actors: readonly string[];
  readonly before: string;
}

/**
 * @param load actors that each worker holds already
 * @returns the worker of each group, in their order; undefined when no worker takes anything
 */
export function placeGroups(
  groups: readonly ActorGroup[],
  workers: readonly WorkerFacts[],
  load: ReadonlyMap<string, number>,
): readonly string[] | undefined {
  const spread = new Load(workers, load);
  if (spread.empty) return undefined;
  return groups.map(({ actors, before }) => spread.take(actors.length, before));
}

/** @param load instances that each worker holds already. @returns undefined when no worker takes anything */
export function placeInstance(workers: readonly WorkerFacts[], load: ReadonlyMap<string, number>): string | undefined {
  const spread = new Load(workers, load);
  return spread.empty ? undefined : spread.take(1, "");
}

/** Where the next piece goes: the worker with the least work per core. */
class Load {
  #work: { readonly worker: string; readonly cpus: number; units: number }[];

  constructor(workers: readonly WorkerFacts[], load: ReadonlyMap<string, number>) {
    this.#work = workers
      .filter((worker) => !worker.draining)
      .map(({ worker, cpus }) => ({ worker, cpus: Math.max(cpus, 0.01), units: load.get(worker) ?? 0 }))
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
  }

  get empty(): boolean {
    return this.#work.length === 0;
  }

  take(units: number, before: string): string {
    const after = (candidate: { cpus: number; units: number }) => (candidate.units + units) / candidate.cpus;
    const chosen =
      this.#work.find(({ worker }) => worker === before) ??
      this.#work.reduce((best, candidate) => (after(candidate) < after(best) ? candidate : best));
    chosen.units += units;
    return chosen.worker;
  }
}
