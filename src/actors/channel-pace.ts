/** A timer that asks again and again, each time after twice the pause, until it is stopped. It does not start itself again. */
import type { Clock, Timer } from "../base/ports.js";

export class Pace {
  #timer: Timer | undefined;
  #delayMs: number;

  constructor(
    private readonly clock: Clock,
    private readonly bounds: { readonly delayMs: number; readonly delayMsMax: number },
    private readonly tick: () => void,
  ) {
    this.#delayMs = bounds.delayMs;
  }

  get running(): boolean {
    return this.#timer !== undefined;
  }

  /** Does nothing when it is running. */
  start(): void {
    this.#timer ??= this.clock.after(this.#delayMs, () => {
      this.#timer = undefined;
      this.#delayMs = Math.min(this.#delayMs * 2, this.bounds.delayMsMax);
      this.tick();
    });
  }

  /** The other side has moved on: the next pause is a short one. */
  reset(): void {
    this.#delayMs = this.bounds.delayMs;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.reset();
  }
}
