/**
 * From a topology to what runs: actors, channels, regions, services. Pure: the same topology gives the same plan
 * everywhere, and its hash proves it.
 *
 * Invariants:
 *   P1  Operators joined by a forward edge of equal parallelism share an actor, unless the later one is isolated or durable, or
 *       sharing would make actors wait for each other in a circle.
 *   P2  A region is a connected component of the actor graph over pipelined channels: P parallel chains, P regions.
 *   P3  Ids, order and hash depend on operators, their ids and subtask numbers alone, never on the order in which
 *       they were declared.
 *   P4  Within an actor every edge is passed by reference, and the graph of actors has no cycle.
 *   P5  What a durable exchange connects is in different regions, which do not wait for each other in a circle.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.js";
import type { ActorId, ChannelId, OperatorId, RegionId, ServiceId } from "../base/ids.js";
import type { OperatorNode, Topology } from "../topology/nodes.js";
import { type GpuNeeds, mostOf, type Needs } from "../topology/resources.js";
import { chainsOf, type Edge, type Exchange, edgesOf } from "./chains.js";
import { DisjointSets } from "./disjoint-sets.js";
import { checkExchanges, exchangesOf, type PlannedExchange } from "./durable.js";
import { checkKeyed } from "./keyed.js";

export type { Exchange } from "./chains.js";
export type { PlannedExchange } from "./durable.js";

export interface PlannedActor {
  readonly id: ActorId;
  readonly region: RegionId;
  /** Operators that run in it, inputs first. */
  readonly operators: readonly OperatorId[];
  readonly subtask: number;
  readonly parallelism: number;
  /** Of cores and memory, the most that one of its operators says: they take turns. undefined: nothing is counted. */
  readonly resources: Needs | undefined;
  /** Devices of each operator that asks for some. */
  readonly gpus: readonly { readonly operator: OperatorId; readonly needs: GpuNeeds }[];
}

export interface PlannedChannel {
  readonly id: ChannelId;
  readonly from: { readonly actor: ActorId; readonly operator: OperatorId };
  readonly to: { readonly actor: ActorId; readonly operator: OperatorId };
  readonly exchange: Exchange;
}

export interface PlannedRegion {
  readonly id: RegionId;
  readonly actors: readonly ActorId[];
}

export interface PlannedService {
  readonly id: ServiceId;
  readonly instances: number;
  readonly callers: readonly OperatorId[];
  /** Of each instance. */
  readonly resources: Needs;
}

export interface Plan {
  readonly topology: string;
  readonly actors: readonly PlannedActor[];
  readonly channels: readonly PlannedChannel[];
  /** The durable ones. */
  readonly exchanges: readonly PlannedExchange[];
  readonly regions: readonly PlannedRegion[];
  readonly services: readonly PlannedService[];
  /**
   * SHA-256 in hex over all of the above but resources, and the operators' columns: who loads the same bundle must come to the same
   * plan. Resources decide where things run and not what they do: they are read once, by whoever submits the job.
   */
  readonly hash: string;
}

export interface PlanOptions {
  /** Instead of the topology's own default; operators that state their parallelism keep it. */
  readonly parallelism?: number;
}

/** @throws {MillraceError} `MILL_TOPOLOGY_UNCONNECTED` naming the operator; `MILL_CONFIG` for a parallelism that is none */
export function planTopology(topology: Topology, options: PlanOptions = {}): Plan {
  const fallback = options.parallelism ?? topology.parallelism;
  if (!Number.isInteger(fallback) || fallback < 1) {
    throw new MillraceError("MILL_CONFIG", `the parallelism is ${fallback}; give a whole number from 1 on.`, {
      fallback,
    });
  }
  checkConnected(topology);
  const operators = inOrder(topology.operators);
  const nodes = new Map(operators.map((node) => [node.id, node]));
  const parallelism = parallelismOf(operators, nodes, fallback);
  checkKeyed(nodes, parallelism);
  const possible = edgesOf(operators, nodes, parallelism);
  const chains = chainsOf(operators, possible);
  const edges = possible.filter((edge) => chains.get(edge.from.id) !== chains.get(edge.to.id));

  const actors = new Map<ActorId, Omit<PlannedActor, "region" | "resources" | "gpus">>();
  const actorOf = new Map<string, ActorId>();
  for (const chain of new Set(chains.values())) {
    const count = parallelism.get(chain[0]!)!;
    for (let subtask = 0; subtask < count; subtask++) {
      const id = `${chain[0]}-${subtask}` as ActorId;
      actors.set(id, { id, operators: chain, subtask, parallelism: count });
      for (const operator of chain) actorOf.set(`${operator}/${subtask}`, id);
    }
  }
  const exchanges = exchangesOf(edges, parallelism);
  const channels = edges
    .filter(({ durable }) => !durable)
    .flatMap((edge) => channelsOf(edge, parallelism, (operator, subtask) => actorOf.get(`${operator}/${subtask}`)!));

  const joined = new DisjointSets<ActorId>(actors.keys());
  for (const channel of channels) joined.join(channel.from.actor, channel.to.actor);
  const regions = joined.sets().map((members) => ({ id: `region-${members[0]}` as RegionId, actors: members }));
  const regionOf = new Map(regions.flatMap((region) => region.actors.map((actor) => [actor, region.id])));

  checkExchanges(topology, exchanges, (operator) => {
    const instances = Array.from({ length: parallelism.get(operator)! }, (_, subtask) => `${operator}/${subtask}`);
    return instances.map((instance) => regionOf.get(actorOf.get(instance)!)!);
  });

  const body = {
    topology: topology.name,
    actors: [...actors.values()].map((actor) => ({ ...actor, region: regionOf.get(actor.id)! })),
    channels,
    exchanges,
    regions,
    services: [...topology.services].sort(byId).map((service) => ({
      id: service.id,
      instances: service.instances,
      callers: operators
        .filter((node) => node.kind === "infer" && node.service.id === service.id)
        .map((node) => node.id),
    })),
  };
  const hash = createHash("sha256").update(JSON.stringify([body, operators.map(signature)]));
  return {
    ...body,
    actors: body.actors.map((actor) => ({
      ...actor,
      resources: mostOf(actor.operators.map((operator) => nodes.get(operator)!.resources)),
      gpus: actor.operators.flatMap((operator) => {
        const needs = nodes.get(operator)!.resources?.gpu;
        return needs === undefined ? [] : [{ operator, needs }];
      }),
    })),
    services: body.services.map((planned) => ({
      ...planned,
      resources: topology.services.find((service) => service.id === planned.id)!.resources,
    })),
    hash: hash.digest("hex"),
  };
}

/** What of an operator must be the same wherever the bundle is loaded; functions and places are not part of it. */
function signature(node: OperatorNode): unknown {
  const columns = Object.entries(node.columns).map(([name, type]) => `${name}: ${type.name}`);
  const keys = node.kind === "keyBy" ? node.keys : [];
  if (node.kind === "reduce" || node.kind === "process") {
    const state = Object.entries(node.state).map(([name, type]) => `${name}: ${type.name}`);
    return [node.id, node.kind, node.inputs, columns, node.keys, state, node.kind === "reduce" ? node.emit : ""];
  }
  const lists = node.kind === "infer" ? [node.each ?? "", node.into ?? ""] : [];
  return [node.id, node.kind, node.inputs, columns, keys, lists];
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** Inputs before those that read them; among those that could be next, the one whose id sorts first (P3). */
function inOrder(operators: readonly OperatorNode[]): OperatorNode[] {
  const waiting = [...operators].sort(byId);
  const placed = new Set<OperatorId>();
  while (waiting.length > 0) {
    const next = waiting.findIndex((node) => node.inputs.every((input) => placed.has(input)));
    const [node] = waiting.splice(next, 1);
    placed.add(node!.id);
  }
  const nodes = new Map(operators.map((node) => [node.id, node]));
  return [...placed].map((id) => nodes.get(id)!);
}

function checkConnected(topology: Topology): void {
  if (!topology.operators.some((node) => node.kind === "sink")) {
    throw new MillraceError(
      "MILL_TOPOLOGY_UNCONNECTED",
      `topology "${topology.name}" has no sink, so nothing would come of it. End a stream with .to(sink).`,
      { topology: topology.name },
    );
  }
  const read = new Set(topology.operators.flatMap((node) => node.inputs));
  for (const node of topology.operators) {
    if (node.kind !== "sink" && !read.has(node.id)) {
      throw new MillraceError(
        "MILL_TOPOLOGY_UNCONNECTED",
        `operator "${node.id}": nothing reads its output. End the stream with .to(sink), or remove it.`,
        { operator: node.id },
      );
    }
  }
}

/** What an operator states; else its input's, so that a chain stays one; else the default. */
function parallelismOf(
  operators: readonly OperatorNode[],
  nodes: ReadonlyMap<OperatorId, OperatorNode>,
  fallback: number,
): Map<OperatorId, number> {
  const found = new Map<OperatorId, number>();
  for (const node of operators) {
    const input = node.inputs[0];
    const inherits = input !== undefined && nodes.get(input)?.kind !== "keyBy";
    found.set(node.id, node.parallelism ?? (inherits ? found.get(input)! : fallback));
  }
  return found;
}

function channelsOf(
  edge: Edge,
  parallelism: ReadonlyMap<OperatorId, number>,
  actorOf: (operator: OperatorId, subtask: number) => ActorId,
): PlannedChannel[] {
  const senders = Array.from({ length: parallelism.get(edge.from.id)! }, (_, i) => i);
  const receivers = Array.from({ length: parallelism.get(edge.to.id)! }, (_, i) => i);
  return senders.flatMap((sender) =>
    (edge.exchange === "forward" ? [sender] : receivers).map((receiver) => ({
      id: `${edge.from.id}-${sender}--${edge.to.id}-${receiver}` as ChannelId,
      from: { actor: actorOf(edge.from.id, sender), operator: edge.from.id },
      to: { actor: actorOf(edge.to.id, receiver), operator: edge.to.id },
      exchange: edge.exchange,
    })),
  );
}
