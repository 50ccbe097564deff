/**
 * What people want of a job while it runs, beside what its topology says. Noted with the job, so that the next leader goes on with it.
 * It is asked for in terms of an end ("three instances", "paused"), so asking twice is asking once.
 */
import { MillraceError } from "../base/errors.js";
import type { JobWishes, ServiceSpec } from "../wire/control.js";

export const NO_WISHES: JobWishes = {
  revision: 0n,
  paused: false,
  stopping: false,
  services: [],
  retired: [],
  quarantined: [],
};

export class Wishes {
  #now: JobWishes = NO_WISHES;

  /** As an earlier leader left them. */
  takeUp(left: JobWishes | undefined): void {
    this.#now = left ?? NO_WISHES;
  }

  get now(): JobWishes {
    return this.#now;
  }

  /** @param revision that whoever asks has seen; undefined: whatever it is @throws {MillraceError} `MILL_REQUEST_STALE` */
  demand(revision: bigint | undefined): void {
    if (revision === undefined || revision === this.#now.revision) return;
    const message = `this was changed meanwhile: it is at revision ${this.#now.revision}, not ${revision}. Read it again.`;
    throw new MillraceError("MILL_REQUEST_STALE", message);
  }

  /** Paused, or going on; one that is to stop does not go on. */
  pause(paused: boolean): void {
    this.#change({ paused: paused || this.#now.stopping });
  }

  stop(): void {
    this.#change({ paused: true, stopping: true });
  }

  scale(service: string, instances: number): void {
    const others = this.#now.services.filter((one) => one.service !== service);
    this.#change({ services: [...others, { service, instances }] });
  }

  retire(instance: string): void {
    if (this.#now.retired.includes(instance)) return;
    this.#change({ retired: [...this.#now.retired, instance] });
  }

  quarantine(instance: string, on: boolean): void {
    const others = this.#now.quarantined.filter((one) => one !== instance);
    if (on === others.length < this.#now.quarantined.length) return;
    this.#change({ quarantined: on ? [...others, instance] : others });
  }

  /** Nothing is wanted any more of instances that are over. */
  forget(isOver: (instance: string) => boolean): void {
    const { retired, quarantined } = this.#now;
    if (![...retired, ...quarantined].some(isOver)) return;
    const left = (all: readonly string[]) => all.filter((one) => !isOver(one));
    this.#now = { ...this.#now, retired: left(retired), quarantined: left(quarantined) };
  }

  /** How many instances a service is to have. */
  instancesOf(spec: Pick<ServiceSpec, "service" | "instances">): number {
    return instancesWanted(spec, this.#now);
  }

  #change(change: Partial<JobWishes>): void {
    this.#now = { ...this.#now, ...change, revision: this.#now.revision + 1n };
  }
}

/** What its topology says, or what somebody wants instead. */
export function instancesWanted(
  { service, instances }: Pick<ServiceSpec, "service" | "instances">,
  wishes: JobWishes,
): number {
  return wishes.services.find((one) => one.service === service)?.instances ?? instances;
}
