/** A plan as text, for `millrace plan`. */
import type { OperatorId } from "../base/ids.js";
import type { OperatorNode, Topology } from "../topology/nodes.js";
import { gpuText, needsText } from "../topology/resources.js";
import type { Plan } from "./plan.js";

/** What a service needs that does not say what. */
const UNSAID = "cpu 1";

export function describePlan(topology: Topology, plan: Plan): string {
  const nodes = new Map(topology.operators.map((node) => [node.id, node]));
  const lines = [`topology ${plan.topology}   plan ${plan.hash.slice(0, 12)}`, "", "operators"];
  for (const node of topology.operators) lines.push(`  ${describeOperator(node)}`);

  lines.push("", `actors (${plan.actors.length})`);
  for (const actor of plan.actors) {
    const chain = actor.operators.map((id) => shortName(nodes, id)).join(" > ");
    const needs = [
      ...(actor.resources === undefined ? [] : [needsText(actor.resources)]),
      ...actor.gpus.map(({ operator, needs: gpu }) => `${gpuText(gpu)} for ${operator}`),
    ]
      .filter((text) => text !== "")
      .join(", ");
    lines.push(
      `  ${actor.id.padEnd(14)} ${actor.region.padEnd(20)} ${chain}${needs === "" ? "" : `   needs ${needs}`}`,
    );
  }
  lines.push("", `channels (${plan.channels.length})`);
  if (plan.channels.length === 0) lines.push("  none: every chain passes its batches by reference");
  for (const channel of plan.channels) {
    lines.push(`  ${channel.from.actor} > ${channel.to.actor}   ${channel.exchange}, pipelined`);
  }
  if (plan.exchanges.length > 0) lines.push("", `durable exchanges (${plan.exchanges.length})`);
  for (const { from, id, exchange, writers, partitions } of plan.exchanges) {
    lines.push(
      `  ${from} > ${id}   ${exchange}, durable, ${counted(writers, "writer")}, ${counted(partitions, "partition")}`,
    );
  }
  lines.push("", `regions (${plan.regions.length})`);
  for (const region of plan.regions) lines.push(`  ${region.id.padEnd(20)} ${region.actors.join(", ")}`);
  lines.push("", `services (${plan.services.length})`);
  for (const planned of plan.services) {
    const service = topology.services.find((candidate) => candidate.id === planned.id)!;
    const batch = `batch of ${service.batch.rowsMax} rows, ${service.batch.delayMsMax} ms`;
    lines.push(
      `  ${planned.id.padEnd(20)} ${planned.instances} x ${service.handler.kind}, ${batch}, called by ${planned.callers.join(", ")}`,
    );
    const needs = needsText(planned.resources);
    if (needs !== UNSAID) lines.push(`${" ".repeat(23)}each needs ${needs}`);
  }
  return `${lines.join("\n")}\n`;
}

function describeOperator(node: OperatorNode): string {
  const columns = Object.entries(node.columns)
    .map(([name, type]) => `${name}: ${type.name}`)
    .join(", ");
  const from = node.inputs.length === 0 ? "" : `  < ${node.inputs.join(", ")}`;
  return `${node.id.padEnd(14)} ${what(node)}${from}\n${" ".repeat(17)}${columns}`;
}

function what(node: OperatorNode): string {
  switch (node.kind) {
    case "source":
      return node.source.describe;
    case "sink":
      return node.sink.describe;
    case "infer":
      return node.each === undefined ? `infer ${node.service.id}` : `infer ${node.service.id} for each of ${node.each}`;
    case "apply":
      return node.fn.name;
    case "durable":
      return `durable exchange, ${Math.ceil(node.bytesMax / 1_048_576)} MiB a partition`;
    case "keyBy":
      return `keyBy ${node.keys.join(", ")}`;
    case "reduce":
    case "process":
      return `${node.kind} by ${node.keys.join(", ")}`;
    default:
      return node.kind;
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function shortName(nodes: ReadonlyMap<OperatorId, OperatorNode>, id: OperatorId): string {
  const node = nodes.get(id);
  return node?.kind === "infer" ? `${id} (${node.service.id})` : id;
}
