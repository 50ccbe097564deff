/**
 * Actors that need devices, and what was granted to them: the actors of one region and subtask have a host of their own, whose
 * process sees their devices and no others (X7 of `placement.ts`). All other actors of a job share one host on each worker.
 */
import type { JobSpec } from "../wire/control.js";
import type { GroupPlace } from "./placement.js";

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
