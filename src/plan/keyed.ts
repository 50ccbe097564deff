/** What a plan must give to operators with keyed state: that every row comes to the instance that owns its key. */
import { MillraceError } from "../base/errors.js";
import type { OperatorId } from "../base/ids.js";
import type { OperatorNode } from "../topology/nodes.js";

/**
 * Behind a `keyBy` rows are exchanged by key, whatever the parallelism; behind a durable exchange that was written by key, they
 * are where they belong as long as there is an instance for each partition.
 *
 * @throws {MillraceError} `MILL_CONFIG`
 */
export function checkKeyed(
  nodes: ReadonlyMap<OperatorId, OperatorNode>,
  parallelism: ReadonlyMap<OperatorId, number>,
): void {
  for (const node of nodes.values()) {
    if (node.kind !== "reduce" && node.kind !== "process") continue;
    const input = nodes.get(node.inputs[0]!)!;
    const [own, its] = [parallelism.get(node.id), parallelism.get(input.id)];
    if (input.kind === "keyBy" || own === its) continue;
    throw new MillraceError(
      "MILL_CONFIG",
      `operator "${node.id}": it has parallelism ${own}, and its input "${input.id}" has ${its}. Rows would not meet the state of their key: give both the same, or leave it out.`,
      { operator: node.id, input: input.id },
    );
  }
}
