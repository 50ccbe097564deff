/**
 * Which worker holds what. Pure: the job and the workers in, a placement out.
 *
 * Invariants:
 *   X1  Actors of one region and subtask are placed together: their forward channels stay within one host, and a region
 *       that exchanges rows still uses every worker.
 *   X2  These groups, and instances, are spread evenly by processor cores; ties go to the worker named first.
 *   X3  A draining worker is given nothing.
 */
export interface WorkerFacts {
  readonly worker: string;
  readonly cpus: number;
  readonly draining: boolean;
}

export interface PlacedInstance {
  readonly instance: string;
  readonly service: string;
  readonly worker: string;
}

export interface Placement {
  /** Actors by the worker that will hold them. */
  readonly actors: ReadonlyMap<string, readonly string[]>;
  readonly instances: readonly PlacedInstance[];
}

export interface Placeable {
  readonly actors: readonly { readonly actor: string; readonly region: string; readonly subtask: number }[];
  readonly services: readonly { readonly service: string; readonly instances: number }[];
}

/** @returns undefined when no worker takes anything */
export function placeJob(job: Placeable, workers: readonly WorkerFacts[]): Placement | undefined {
  const load = new Load(workers);
  if (load.empty) return undefined;
  const actors = new Map<string, string[]>();
  const groups = new Map<string, string[]>();
  for (const { actor, region, subtask } of job.actors) {
    const group = `${region}/${subtask}`;
    groups.set(group, [...(groups.get(group) ?? []), actor]);
  }
  for (const members of groups.values()) {
    const worker = load.take(members.length);
    actors.set(worker, [...(actors.get(worker) ?? []), ...members]);
  }
  // Instances compute, actors mostly wait for them: they are spread on their own.
  const instances: PlacedInstance[] = [];
  const computing = new Load(workers);
  for (const { service, instances: count } of job.services) {
    for (let i = 0; i < count; i++) instances.push({ instance: `${service}-${i}`, service, worker: computing.take(1) });
  }
  return { actors, instances };
}

/** Where the next piece goes: the worker with the least work per core. */
class Load {
  #work: { readonly worker: string; readonly cpus: number; units: number }[];

  constructor(workers: readonly WorkerFacts[]) {
    this.#work = workers
      .filter((worker) => !worker.draining)
      .map(({ worker, cpus }) => ({ worker, cpus: Math.max(cpus, 0.01), units: 0 }))
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
  }

  get empty(): boolean {
    return this.#work.length === 0;
  }

  take(units: number): string {
    const after = (candidate: { cpus: number; units: number }) => (candidate.units + units) / candidate.cpus;
    const least = this.#work.reduce((best, candidate) => (after(candidate) < after(best) ? candidate : best));
    least.units += units;
    return least.worker;
  }
}
