/** Which operators share an actor (P1, P4 of `plan.ts`). */
import type { OperatorId } from "../base/ids.js";
import type { OperatorNode } from "../topology/nodes.js";

/** `forward`: subtask i to i. `rebalance`: each sender takes turns over all receivers. `hash`: by the key columns. */
export type Exchange = "forward" | "rebalance" | "hash";

export interface Edge {
  readonly from: OperatorNode;
  readonly to: OperatorNode;
  readonly exchange: Exchange;
  /** Both may run in one actor. */
  readonly direct: boolean;
  /** A log lies between them, and no channel. */
  readonly durable: boolean;
}

export function edgesOf(
  operators: readonly OperatorNode[],
  nodes: ReadonlyMap<OperatorId, OperatorNode>,
  parallelism: ReadonlyMap<OperatorId, number>,
): Edge[] {
  return operators.flatMap((to) =>
    to.inputs.map((input): Edge => {
      const from = nodes.get(input)!;
      const equal = parallelism.get(from.id) === parallelism.get(to.id);
      const exchange = from.kind === "keyBy" ? "hash" : equal ? "forward" : "rebalance";
      // One parallel instance is its own only partition: no exchange is needed to reach it.
      const direct = exchange === "forward" || (equal && parallelism.get(to.id) === 1);
      const durable = to.kind === "durable";
      return { from, to, exchange, direct: direct && !to.isolated && !durable, durable };
    }),
  );
}

/**
 * The chain of each operator, inputs first. Edges are joined in order, each only where the actors stay without a cycle:
 * an actor that waits for room in another, which waits for it, would stop the job.
 */
export function chainsOf(operators: readonly OperatorNode[], edges: readonly Edge[]): Map<OperatorId, OperatorId[]> {
  let chainOf = new Map(operators.map((node) => [node.id, node.id]));
  for (const { from, to, direct } of edges) {
    const [head, tail] = [chainOf.get(from.id)!, chainOf.get(to.id)!];
    if (!direct || head === tail) continue;
    const joined = new Map([...chainOf].map(([id, chain]) => [id, chain === tail ? head : chain]));
    if (isSound(operators, edges, joined)) chainOf = joined;
  }
  const chains = new Map<OperatorId, OperatorId[]>(operators.map((node) => [node.id, []]));
  for (const [id, chain] of chainOf) chains.get(chain)!.push(id);
  return new Map([...chainOf].map(([id, chain]) => [id, chains.get(chain)!]));
}

/** Whether every edge within a chain is direct and no chain reads, over others, what it writes (P4). */
function isSound(
  operators: readonly OperatorNode[],
  edges: readonly Edge[],
  chainOf: ReadonlyMap<OperatorId, OperatorId>,
): boolean {
  const inputs = new Map<OperatorId, Set<OperatorId>>(operators.map((node) => [chainOf.get(node.id)!, new Set()]));
  for (const { from, to, direct } of edges) {
    const [writer, reader] = [chainOf.get(from.id)!, chainOf.get(to.id)!];
    if (writer !== reader) inputs.get(reader)!.add(writer);
    else if (!direct) return false;
  }
  // Takes away chains that read nothing of the rest, until none is left or all that are left wait for each other.
  for (let ready = true; ready; ) {
    ready = false;
    for (const [chain, writers] of inputs) {
      if ([...writers].some((writer) => inputs.has(writer))) continue;
      inputs.delete(chain);
      ready = true;
    }
  }
  return inputs.size === 0;
}
