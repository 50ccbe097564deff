/** By which columns rows find their instance of an operator. */
import type { OperatorNode } from "../topology/nodes.js";

/** Kinds behind which a column of the same name still has the value that it had before. */
const UNCHANGED: ReadonlySet<OperatorNode["kind"]> = new Set(["filter", "select", "infer", "reduce", "durable"]);

/**
 * Key columns whose values decide to which instance of `operator` a row comes: those of the `keyBy` that it reads, directly or over
 * operators that leave them as they are, instance by instance.
 *
 * @returns undefined: nothing is known of it. A function of the user stands between, or rows take turns.
 */
export function keysInto(
  operator: string,
  nodes: ReadonlyMap<string, OperatorNode>,
  parallelismOf: (operator: string) => number,
): readonly string[] | undefined {
  const [id, ...others] = nodes.get(operator)!.inputs;
  const input = id === undefined || others.length > 0 ? undefined : nodes.get(id);
  if (input === undefined) return undefined;
  if (input.kind === "keyBy") return input.keys;
  if (!UNCHANGED.has(input.kind) || parallelismOf(input.id) !== parallelismOf(operator)) return undefined;
  const keys = keysInto(input.id, nodes, parallelismOf);
  return keys?.every((key) => key in input.columns) ? keys : undefined;
}
