/**
 * What the actors of a job need on each worker. A job may have ten thousand, and it is asked for whenever anything is placed: each
 * region's is added up once for each time that it is placed.
 */
import type { ActorSpec } from "../wire/control.js";
import type { RegionBook } from "./region-book.js";

/** Of all actors of a region on one worker. */
export interface ActorShare {
  readonly worker: string;
  cpu: number;
  memoryBytes: bigint;
  /** Cores' worth of them, for spreading. */
  cores: number;
}

interface Added {
  readonly placements: number;
  readonly shares: readonly ActorShare[];
}

export class ActorShares {
  #added = new Map<string, Added>();

  /** @param members actors of each region */
  constructor(private readonly members: ReadonlyMap<string, readonly ActorSpec[]>) {}

  /** Those that hold something. */
  of(regions: Iterable<RegionBook>): ActorShare[] {
    const all: ActorShare[] = [];
    for (const region of regions) {
      if (region.phase !== "FINISHED" && region.phase !== "PLACING") all.push(...this.#ofRegion(region));
    }
    return all;
  }

  #ofRegion({ region, placed, placements }: RegionBook): readonly ActorShare[] {
    const known = this.#added.get(region);
    if (known?.placements === placements) return known.shares;
    const shares = new Map<string, ActorShare>();
    for (const spec of this.members.get(region)!) {
      const worker = placed.get(spec.actor)?.worker ?? "";
      if (worker === "") continue;
      const share = shares.get(worker) ?? { worker, cpu: 0, memoryBytes: 0n, cores: 0 };
      shares.set(worker, share);
      share.cpu += spec.resources.cpu;
      share.memoryBytes += spec.resources.memoryBytes;
      share.cores += coresOf(spec);
    }
    const added = { placements, shares: [...shares.values()] };
    this.#added.set(region, added);
    return added.shares;
  }
}

/** For spreading them: one that says nothing counts as one. */
export function coresOf({ resources }: ActorSpec): number {
  return resources.cpu || 1;
}
