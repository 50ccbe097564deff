/**
 * Actors that fail while their host goes on, as where an operator loses what it works with: the next batch that an operator of a
 * chosen process is given fails its actor with an error that may pass.
 *
 * Operators are made deep inside the system, so they are met at their classes; one simulation runs at a time in a process.
 */
import { InferOperator } from "../../src/actors/infer-operator.js";
import { KeyedOperator } from "../../src/actors/keyed-operator.js";
import type { Operator } from "../../src/actors/operator.js";
import { RowsOperator } from "../../src/actors/rows-operator.js";
import { SinkOperator } from "../../src/actors/sink-operator.js";
import { MillraceError } from "../../src/base/errors.js";
import type { SimWorld } from "./sim-clock.js";
import type { SimProcess } from "./sim-process.js";

/** What reports say of an actor that failed so. */
export const CRASH = "an operator has lost what it works with (simulated).";

const OPERATORS: readonly { readonly prototype: Operator }[] = [
  InferOperator,
  KeyedOperator,
  RowsOperator,
  SinkOperator,
];

export class ActorCrashes {
  #due = new Set<SimProcess>();
  #undo: (() => void)[] = [];

  /** @param onStruck told when an actor has failed, which may be long after it was chosen */
  constructor(world: SimWorld, onStruck: () => void) {
    for (const { prototype } of OPERATORS) {
      const { process } = prototype;
      const due = this.#due;
      prototype.process = function (batch) {
        if (world.current === undefined || !due.delete(world.current)) return process.call(this, batch);
        onStruck();
        throw new MillraceError("MILL_STORE_UNREACHABLE", CRASH);
      };
      this.#undo.push(() => {
        prototype.process = process;
      });
    }
  }

  /** One of its actors fails, at the next batch. */
  arm(process: SimProcess): void {
    this.#due.add(process);
  }

  /** Nobody fails any more who has not yet. */
  calm(): void {
    this.#due.clear();
  }

  release(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }
}
