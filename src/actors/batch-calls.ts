/** Calls of a user's function on whole batches, one at a time for each flow: a checkpoint waits for none of them. */
import type { RecordBatch } from "apache-arrow";
import type { OperatorContext } from "../topology/operator-context.js";
import type { MoveOut } from "./content-mover.js";
import { noted } from "./noted-puts.js";
import type { OperatorRuntime } from "./operator.js";
import { outside } from "./outside.js";
import { contextOf } from "./traced-context.js";

export class BatchCalls {
  constructor(
    private readonly context: OperatorContext,
    private readonly runtime: Pick<OperatorRuntime, "park" | "signal">,
    private readonly moveOut: MoveOut,
    /** What comes of a batch may refer to content that the function has put. */
    private readonly refers: boolean,
  ) {}

  /**
   * For a flow that is inside, and is inside again when this resolves. Where the function returns a promise its batch is state of the actor
   * meanwhile, as one on its way in: after a recovery the function is called again.
   * @throws what the function throws, or why the actor was stopped meanwhile
   */
  async call<T>(batch: RecordBatch, fn: (context: OperatorContext) => T | PromiseLike<T>): Promise<T> {
    const { context, contents } = noted(contextOf(this.context, batch), this.refers);
    const made = fn(context);
    if (!isPromise(made)) return made;
    const result = await outside(made, batch, this.runtime.park, { rows: () => this.moveOut(batch), contents });
    this.runtime.signal.throwIfAborted();
    return result;
  }
}

function isPromise<T>(made: T | PromiseLike<T>): made is PromiseLike<T> {
  return typeof (made as Partial<PromiseLike<T>> | undefined | null)?.then === "function";
}
