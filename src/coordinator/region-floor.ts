/**
 * From which number on the log of a region is kept: its *floor*. What lies below may have been deleted, and counts for nothing.
 *
 * A listing cannot say that, because it may be older than the log. Nor can an object, which a leader that slept would put back to what it
 * knew: it takes a compare-and-set, so floors are kept in the bucket of the terms (`docs/decisions/0007`).
 *
 * Invariants, for readers of the log (`region-log.ts`):
 *   L3  A floor only grows, whoever raises it, and however late.
 *   L4  It is raised before anything below it is deleted, and not above a commit that stays. So, where record n was not found, and the floor is not above
 *       n when it is asked afterwards, n had not been deleted: it has never been there.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace } from "../base/ids.js";
import type { BucketEntry, Bus } from "../bus/bus.js";

/** The bucket is that of `term.ts`. */
const keyOf = (job: JobId, region: string) => `${keyAbove(job)}.${region}`;
const keyAbove = (job: JobId) => `kept-from.${job}`;
const floorOf = (entry: BucketEntry | undefined) =>
  entry === undefined ? 0n : BigInt(new TextDecoder().decode(entry.value));

export class RegionFloors {
  constructor(
    private readonly bus: Bus,
    private readonly namespace: Namespace,
  ) {}

  /** 0: nothing was deleted. @throws {MillraceError} `MILL_BUS_*` */
  async read(job: JobId, region: string): Promise<bigint> {
    return floorOf(await (await this.#bucket()).get(keyOf(job, region)));
  }

  /** To `floor`, unless it is there, or above (L3). @throws {MillraceError} `MILL_BUS_*` */
  async raise(job: JobId, region: string, floor: bigint): Promise<void> {
    const bucket = await this.#bucket();
    const key = keyOf(job, region);
    for (;;) {
      const entry = await bucket.get(key);
      if (floorOf(entry) >= floor) return;
      try {
        await bucket.update(key, new TextEncoder().encode(floor.toString()), entry?.revision ?? 0n);
        return;
      } catch (error) {
        if (!MillraceError.is(error) || error.code !== "MILL_BUS_CONFLICT") throw error;
      }
    }
  }

  /** Those of a job that has ended: nobody reads its logs to go on with them. @throws {MillraceError} `MILL_BUS_*` */
  async forget(job: JobId): Promise<void> {
    await (await this.#bucket()).deleteBelow(keyAbove(job));
  }

  #bucket() {
    return this.bus.bucket(`millrace-${this.namespace}`);
  }
}
