/**
 * Steps for `stream.pipe`, made from column functions. Every built-in function is one:
 *
 *     export function shout<F extends string, I extends string>(options: StepOptions & { readonly from: F; readonly into: I }) {
 *       return step<Named<F, ColumnType<string>>, Named<I, typeof t.utf8>>(shoutFunction(options), options);
 *     }
 *
 * What a column may be is said twice: to TypeScript by `In`, for whoever writes, and to the plan by the `check` of the column function,
 * for whoever does not compile, and for what TypeScript cannot tell apart.
 */
import type { ColumnFunction } from "../topology/column-function.js";
import type { Merged, OperatorOptions, Stream } from "../topology/topology.js";
import type { Columns } from "../types/columns.js";

/** What every built-in function takes. */
export interface StepOptions extends OperatorOptions {
  /** Rows of one actor that are worked on at a time. Each function says its default. */
  readonly concurrency?: number;
}

/** Takes a stream that has the columns `In`, and gives it with the columns `Out` added or replaced. */
export type Step<In extends Columns, Out extends Columns> = <C extends In>(stream: Stream<C>) => Stream<Merged<C, Out>>;

/**
 * @typeParam In columns that the function reads, as TypeScript is to check them; a type that `fn.check` refuses may slip through here
 * @param options of which the operator's id is taken
 */
export function step<In extends Columns, Out extends Columns>(
  fn: ColumnFunction<Out>,
  options: OperatorOptions,
): Step<In, Out> {
  return (stream) => stream.apply(fn, options.id === undefined ? {} : { id: options.id });
}
