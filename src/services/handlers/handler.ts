/**
 * A handler in TypeScript from its four functions, with the model handed from one to the next, and rows as plain objects.
 *
 * An instance is a process of its own, so `infer` may compute as long as it likes; it may as well wait for something, and
 * then `concurrency` of the service says how many calls wait at a time. A handler that wants Arrow batches, without the cost of
 * an object for each row, is an object with `load` (`Handler`), and needs no help.
 */
import type { CallContext, Handler, HandlerContext } from "../../topology/service.js";
import { batchFromRows, rowsOf } from "../../types/batches.js";
import type { Columns, Row } from "../../types/columns.js";

/** Parts of `handler`. `Model` is what `load` returns. */
export interface HandlerParts<I extends Columns, O extends Columns, Model> {
  /** The service's columns. */
  readonly input: I;
  readonly output: O;
  /** What an instance needs in memory. Once per instance; its result goes to the other three. */
  load(context: HandlerContext): Promise<Model> | Model;
  /** One call of the usual shape, before the first request. */
  warm?(model: Model): Promise<void> | void;
  /** @returns a row for each, in their order; in the place of one that `context.reject` was called for, any */
  infer(model: Model, rows: readonly Row<I>[], context: CallContext): Promise<readonly Row<O>[]> | readonly Row<O>[];
  /** Gives back what is not memory: connections, files, processes. */
  unload?(model: Model): Promise<void> | void;
  /** Files that an instance needs, by name. See `Handler.assets`. */
  readonly assets?: Readonly<Record<string, string>>;
}

/**
 * A handler of your own that sees rows as objects. For Arrow batches write an object with `load` instead (`Handler`).
 *
 * What `infer` answers is checked against `output`: a row that does not fit is refused with `MILL_RECORD_INVALID`.
 */
export function handler<I extends Columns, O extends Columns, Model>(parts: HandlerParts<I, O, Model>): Handler<I, O> {
  return {
    kind: "typescript",
    assets: parts.assets ?? {},
    async load(context) {
      const model = await parts.load(context);
      return {
        warm: async () => parts.warm?.(model),
        async infer(batch, call) {
          return batchFromRows(parts.output, await parts.infer(model, rowsOf(parts.input, batch), call));
        },
        unload: async () => parts.unload?.(model),
      };
    },
  };
}
