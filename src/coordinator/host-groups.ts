/**
 * Actors that need devices, and what was granted to them: the actors of one region and subtask have a host of their own, whose
 * process sees their devices and no others (X7 of `placement.ts`). All other actors of a job share one host on each worker.
 */
import type { ActorSpec, JobSpec } from "../wire/control.js";
import { coresOf } from "./actor-shares.js";
import { groupBy } from "./group-by.js";
import type { ActorGroup, GroupPlace } from "./placement.js";

export class HostGroups {
  readonly #groupOf = new Map<string, string>();
  readonly #regionOf = new Map<string, string>();
  readonly #granted = new Map<string, GroupPlace>();

  constructor(actors: JobSpec["actors"]) {
    for (const { region, subtask, gpus } of actors) {
      if (gpus.length > 0) this.#regionOf.set(`${region}-${subtask}`, region);
    }
    for (const { actor, region, subtask } of actors) {
      const group = `${region}-${subtask}`;
      this.#groupOf.set(actor, this.#regionOf.has(group) ? group : "");
    }
  }

  get isEmpty(): boolean {
    return this.#regionOf.size === 0;
  }

  /** Empty: the actors that need no devices. */
  of(actor: string): string {
    return this.#groupOf.get(actor) ?? "";
  }

  /** Each group with its region. */
  [Symbol.iterator](): Iterator<[group: string, region: string]> {
    return this.#regionOf.entries();
  }

  grant(group: string, place: GroupPlace): void {
    if (group !== "") this.#granted.set(group, place);
  }

  granted(group: string): GroupPlace | undefined {
    return this.#granted.get(group);
  }
}

/** The actors of one region as they are placed together: by subtask. @param where those of the group of an actor were before */
export function groupsOf(
  members: readonly ActorSpec[],
  where: (actor: string) => Pick<ActorGroup, "before" | "kept">,
): ActorGroup[] {
  const groups = groupBy(members, ({ subtask }) => subtask);
  return [...groups.values()].map((specs) => ({
    actors: specs.map(({ actor }) => actor),
    ...where(specs[0]!.actor),
    gpus: specs.flatMap(({ gpus }) => gpus),
    needs: {
      cpu: specs.reduce((sum, spec) => sum + coresOf(spec), 0),
      memoryBytes: specs.reduce((sum, { resources }) => sum + resources.memoryBytes, 0n),
      gpuThousandths: 0,
      gpuKind: "",
      gpuMemoryBytes: 0n,
      gpuOptional: false,
    },
  }));
}
