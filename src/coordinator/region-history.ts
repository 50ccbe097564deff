/**
 * What one region's checkpoints and restarts were like, for pages: the newest of them, since this coordinator leads. Nothing is decided
 * by it.
 */
import { limits } from "../base/limits.js";
import type { CheckpointDetail, RestartDetail } from "./describe.js";

export class RegionHistory {
  /** Oldest first. */
  #checkpoints: CheckpointDetail[] = [];
  #restarts: RestartDetail[] = [];
  readonly #checkpointsMax: number;

  /** @param regions of its job: they share what a coordinator remembers */
  constructor(regions: number) {
    const share = Math.max(Math.floor(limits.regionHistoryMax / regions), 1);
    this.#checkpointsMax = Math.min(limits.checkpointsListedMax, share);
  }

  checkpoint(ended: CheckpointDetail): void {
    this.#checkpoints.push(ended);
    if (this.#checkpoints.length > this.#checkpointsMax) this.#checkpoints.shift();
  }

  restart(restart: RestartDetail): void {
    this.#restarts.push(restart);
    if (this.#restarts.length > limits.restartsListedMax) this.#restarts.shift();
  }

  /** Newest first. */
  get checkpoints(): readonly CheckpointDetail[] {
    return this.#checkpoints.toReversed();
  }

  get restarts(): readonly RestartDetail[] {
    return this.#restarts.toReversed();
  }
}
