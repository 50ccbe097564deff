/**
 * Who may work in an actor right now. Flows (readers, pumps) hold the gate while they work on a batch; a checkpoint closes
 * it, waits until nobody holds it, cuts, and opens it again. So one moment serves the whole actor.
 *
 * Invariants:
 *   G1  Between the resolution of `close` and `open` no flow is inside.
 *   G2  Whoever waits at a closed gate is let in, in order, when it opens.
 *   G3  A flow that fails drops what it had in its hands, so it breaks the gate before it leaves: no cut is taken any more.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant } from "../base/errors.js";

export class Gate {
  #inside = 0;
  #closed = false;
  #broken = false;
  #waiting: (() => void)[] = [];
  #quiet: (() => void) | undefined;

  /** G3. Asked by whoever cuts, when `close` has resolved. */
  get broken(): boolean {
    return this.#broken;
  }

  break(): void {
    this.#broken = true;
  }

  /** Returns at once where the gate is open. */
  enter(): void | Promise<void> {
    if (!this.#closed) {
      this.#inside++;
      return;
    }
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#inside++;
        resolve();
      });
    });
  }

  /** One more flow, out of one that is inside. */
  fork(): void {
    this.#inside++;
  }

  leave(): void {
    this.#inside--;
    invariant(this.#inside >= 0, "a flow leaves the gate once");
    if (this.#inside === 0) this.#quiet?.();
  }

  async close(): Promise<void> {
    invariant(!this.#closed, "one checkpoint at a time closes the gate");
    this.#closed = true;
    if (this.#inside > 0) {
      await new Promise<void>((resolve) => {
        this.#quiet = resolve;
      });
      this.#quiet = undefined;
    }
  }

  open(): void {
    this.#closed = false;
    for (const enter of this.#waiting.splice(0)) enter();
  }

  /** Does `work` inside. */
  async flow<T>(work: () => T | Promise<T>): Promise<T> {
    const wait = this.enter();
    if (wait !== undefined) await wait;
    return this.inside(work);
  }

  /** Does `work` of a flow that is inside, and leaves. */
  async inside<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.break();
      throw error;
    } finally {
      this.leave();
    }
  }
}

/** A batch on its way into `place`: an operator by its id, or a channel by `>` and its id. */
export interface Parked {
  readonly place: string;
  readonly batch: RecordBatch;
  readonly saved?: Saved | undefined;
}

/** What a snapshot holds of a parked batch. Whoever saves it asks, and waits; the cut does not. */
export interface Saved {
  /** The same rows without the content that is moved out. */
  rows(): RecordBatch | Promise<RecordBatch>;
  /** Hashes of owned content that the work on the batch has put, and that nothing else may refer to yet. */
  contents?(): Iterable<string>;
}

/**
 * Batches whose flows wait outside the gate, or that an operator works on outside any. They are state of the actor: a checkpoint does
 * not wait for what they wait for.
 */
export class Parking {
  #waiting = new Set<Parked>();
  /** In the hands of their operators, which have let their flows go. */
  #kept = new Set<Parked>();
  /** Restored, and not yet on their way: each of a place comes after those that wait there. */
  #toReplay = new Set<Parked>();

  constructor(private readonly gate: Gate) {}

  /** Per place, oldest first. */
  get list(): readonly Parked[] {
    return [...this.#kept, ...this.#waiting, ...this.#toReplay];
  }

  /**
   * For a flow that is inside: leaves the gate until `take` succeeds, which is tried inside, after each `changed`.
   * The flow is inside again when this resolves or rejects.
   */
  async wait(
    place: string,
    batch: RecordBatch,
    take: () => boolean,
    changed: () => Promise<void>,
    saved?: Saved,
  ): Promise<void> {
    const parked = { place, batch, saved };
    this.#waiting.add(parked);
    let inside = true;
    try {
      do {
        const change = changed();
        this.gate.leave();
        inside = false;
        await change;
        await this.gate.enter();
        inside = true;
      } while (!take());
    } catch (error) {
      this.gate.break();
      throw error;
    } finally {
      if (!inside) this.gate.fork();
      this.#waiting.delete(parked);
    }
  }

  /** For an operator that works on a batch outside any flow: parked until what is returned is called, inside. */
  keep(place: string, batch: RecordBatch, saved: Saved): () => void {
    const parked = { place, batch, saved };
    this.#kept.add(parked);
    return () => void this.#kept.delete(parked);
  }

  /** For a flow outside that is handed a batch: parked until it has come in. */
  hold(place: string, batch: RecordBatch): Parked {
    const parked = { place, batch };
    this.#waiting.add(parked);
    return parked;
  }

  /** For a flow outside that holds a batch: waits for the gate. The flow is inside afterwards. */
  async enter(parked: Parked): Promise<void> {
    const wait = this.gate.enter();
    if (wait !== undefined) await wait;
    this.#waiting.delete(parked);
  }

  restore(parked: readonly Parked[]): void {
    for (const one of parked) this.#toReplay.add(one);
  }

  /** Sends what was restored for `place` on its way, in order. */
  async replay(place: string, emit: (batch: RecordBatch) => void | Promise<void>): Promise<void> {
    for (const parked of [...this.#toReplay].filter((one) => one.place === place)) {
      await this.gate.flow(() => {
        this.#toReplay.delete(parked);
        return emit(parked.batch);
      });
    }
  }
}

/** Hands one batch to several. All of them have it before any waits, so that it is never in nobody's hands. */
export function fanOut(
  gate: Gate,
  targets: readonly ((batch: RecordBatch) => void | Promise<void>)[],
): (batch: RecordBatch) => void | Promise<void> {
  const [only] = targets;
  if (targets.length === 1 && only !== undefined) return only;
  return (batch) =>
    forked(
      gate,
      targets.map((target) => () => target(batch)),
    );
}

/** Runs pieces of work as flows of their own, out of one that is inside; it is inside again at the end. */
export function forked(gate: Gate, pieces: readonly (() => void | Promise<void>)[]): void | Promise<void> {
  const waiting: Promise<void>[] = [];
  for (const piece of pieces) {
    gate.fork();
    let result: void | Promise<void>;
    try {
      result = piece();
    } catch (error) {
      result = Promise.reject(error);
    }
    if (result === undefined) gate.leave();
    else waiting.push(gate.inside(() => result));
  }
  if (waiting.length === 0) return;
  return joined(gate, waiting);
}

async function joined(gate: Gate, waiting: readonly Promise<void>[]): Promise<void> {
  gate.leave();
  try {
    await Promise.all(waiting);
  } catch (error) {
    gate.fork(); // the actor fails; its gate only has to add up
    throw error;
  }
  await gate.enter();
}
