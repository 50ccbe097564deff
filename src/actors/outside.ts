/** What a flow of an actor waits for while it holds a batch: a function's promise, or a store. */
import type { RecordBatch } from "apache-arrow";
import type { Saved } from "./gate.js";
import type { OperatorRuntime } from "./operator.js";

/**
 * For a flow that is inside: waits for work on its batch outside the gate, where no checkpoint waits for it. The batch is state of the actor
 * meanwhile, and the work is done again after a recovery.
 * @param park see `Parking.wait`
 */
export async function outside<T>(
  work: PromiseLike<T>,
  batch: RecordBatch,
  park: OperatorRuntime["park"],
  saved: Saved,
): Promise<T> {
  let made: T;
  const come = async () => {
    made = await work;
  };
  await park(batch, () => true, come, saved);
  return made!;
}
