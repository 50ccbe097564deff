/** What a job's spec says of the graph of its operators: enough to draw it. */
import type { OperatorId } from "../base/ids.js";
import type { Plan } from "../plan/plan.js";
import type { OperatorNode, Topology } from "../topology/nodes.js";
import type { GraphInput, JobSpec } from "../wire/control.js";

/** In the order of the topology. */
export function graphOf(topology: Topology, plan: Plan): JobSpec["graph"] {
  const chains = new Map<OperatorId, OperatorId>();
  for (const { operators } of plan.actors) for (const operator of operators) chains.set(operator, operators[0]!);
  // Many channels are of one edge, and say the same of it.
  const exchanges = new Map(
    plan.channels.map(({ from, to, exchange }) => [`${from.operator} ${to.operator}`, exchange]),
  );
  const durable = new Map(plan.exchanges.map(({ id, exchange }) => [id, exchange]));
  const inputOf = (node: OperatorNode, input: OperatorId): GraphInput => ({
    operator: input,
    exchange: durable.get(node.id) ?? exchanges.get(`${input} ${node.id}`) ?? "chained",
    durable: durable.has(node.id),
  });
  return topology.operators.map((node) => ({
    operator: node.id,
    inputs: node.inputs.map((input) => inputOf(node, input)),
    service: node.kind === "infer" ? node.service.id : "",
    chain: chains.get(node.id)!,
  }));
}
