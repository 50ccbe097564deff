/** The same topology, reading other places: where a submission uploaded local files, the job reads the copies. */
import { MillraceError } from "../base/errors.js";
import type { OperatorNode, Topology } from "../topology/nodes.js";

/** @param inputs by id of a source: the pattern to read instead of its own */
export function relocateSources(topology: Topology, inputs: Readonly<Record<string, string>>): Topology {
  const relocated = (node: OperatorNode): OperatorNode => {
    const pattern = Object.hasOwn(inputs, node.id) ? inputs[node.id] : undefined;
    if (node.kind !== "source" || pattern === undefined) return node;
    if (node.source.relocated === undefined) {
      throw new MillraceError(
        "MILL_CONFIG",
        `source "${node.id}" (${node.source.kind}) cannot read from another place.`,
      );
    }
    return { ...node, source: node.source.relocated(pattern) };
  };
  return { ...topology, operators: topology.operators.map(relocated) };
}
