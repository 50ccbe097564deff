/**
 * From a topology to what runs: actors, channels, regions, services. Pure: the same topology gives the same plan
 * everywhere, and its hash proves it.
 *
 * Invariants:
 *   P1  Operators joined by a forward edge of equal parallelism share an actor, unless the later one is isolated.
 *   P2  A region is a connected component of the actor graph over pipelined channels: P parallel chains, P regions.
 *   P3  Ids depend on operator ids and subtask numbers alone, never on the order in which things were found.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.js";
import type { ActorId, ChannelId, OperatorId, RegionId, ServiceId } from "../base/ids.js";
import type { OperatorNode, Topology } from "../topology/nodes.js";
import { DisjointSets } from "./disjoint-sets.js";

/** `forward`: subtask i to i. `rebalance`: each sender takes turns over all receivers. `hash`: by the key columns. */
export type Exchange = "forward" | "rebalance" | "hash";

export interface PlannedActor {
  readonly id: ActorId;
  readonly region: RegionId;
  /** Operators that run in it, inputs first. */
  readonly operators: readonly OperatorId[];
  readonly subtask: number;
  readonly parallelism: number;
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
}

export interface Plan {
  readonly topology: string;
  readonly actors: readonly PlannedActor[];
  readonly channels: readonly PlannedChannel[];
  readonly regions: readonly PlannedRegion[];
  readonly services: readonly PlannedService[];
  /** SHA-256 in hex over all of the above: who loads the same bundle must come to the same plan. */
  readonly hash: string;
}

export interface PlanOptions {
  /** Instead of the topology's own default; operators that state their parallelism keep it. */
  readonly parallelism?: number;
}

export function planTopology(topology: Topology, options: PlanOptions = {}): Plan {
  checkConnected(topology);
  const nodes = new Map(topology.operators.map((node) => [node.id, node]));
  const parallelism = parallelismOf(topology, nodes, options.parallelism ?? topology.parallelism);
  const edges = edgesOf(topology, parallelism);
  const chains = chainsOf(topology, edges);

  const actors = new Map<ActorId, Omit<PlannedActor, "region">>();
  const actorOf = new Map<string, ActorId>();
  for (const operators of chains) {
    const count = parallelism.get(operators[0]!)!;
    for (let subtask = 0; subtask < count; subtask++) {
      const id = `${operators[0]}-${subtask}` as ActorId;
      actors.set(id, { id, operators, subtask, parallelism: count });
      for (const operator of operators) actorOf.set(`${operator}/${subtask}`, id);
    }
  }
  const channels = edges
    .filter((edge) => !edge.chained)
    .flatMap((edge) => channelsOf(edge, parallelism, (operator, subtask) => actorOf.get(`${operator}/${subtask}`)!));

  const regions = new DisjointSets<ActorId>(actors.keys());
  for (const channel of channels) regions.join(channel.from.actor, channel.to.actor);
  const regionOf = (actor: ActorId) => `region-${regions.leader(actor)}` as RegionId;

  const body = {
    topology: topology.name,
    actors: [...actors.values()].map((actor) => ({ ...actor, region: regionOf(actor.id) })),
    channels,
    regions: regions.sets().map((members) => ({ id: regionOf(members[0]!), actors: members })),
    services: topology.services.map((service) => ({
      id: service.id,
      instances: service.instances,
      callers: topology.operators
        .filter((node) => node.kind === "infer" && node.service.id === service.id)
        .map((node) => node.id),
    })),
  };
  return { ...body, hash: createHash("sha256").update(JSON.stringify(body)).digest("hex") };
}

interface Edge {
  readonly from: OperatorNode;
  readonly to: OperatorNode;
  readonly exchange: Exchange;
  readonly chained: boolean;
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
  topology: Topology,
  nodes: ReadonlyMap<OperatorId, OperatorNode>,
  fallback: number,
): Map<OperatorId, number> {
  const found = new Map<OperatorId, number>();
  for (const node of topology.operators) {
    const input = node.inputs[0];
    const inherits = input !== undefined && nodes.get(input)?.kind !== "keyBy";
    found.set(node.id, node.parallelism ?? (inherits ? found.get(input)! : fallback));
  }
  return found;
}

function edgesOf(topology: Topology, parallelism: ReadonlyMap<OperatorId, number>): Edge[] {
  const nodes = new Map(topology.operators.map((node) => [node.id, node]));
  return topology.operators.flatMap((to) =>
    to.inputs.map((input): Edge => {
      const from = nodes.get(input)!;
      const equal = parallelism.get(from.id) === parallelism.get(to.id);
      const exchange = from.kind === "keyBy" ? "hash" : equal ? "forward" : "rebalance";
      // One parallel instance is its own only partition: no exchange is needed to reach it.
      const direct = exchange === "forward" || (equal && parallelism.get(to.id) === 1);
      return { from, to, exchange, chained: direct && !to.isolated };
    }),
  );
}

/** The operators of each actor, inputs first; chains in the order of their first operators. */
function chainsOf(topology: Topology, edges: readonly Edge[]): OperatorId[][] {
  const sets = new DisjointSets(topology.operators.map((node) => node.id));
  for (const edge of edges) if (edge.chained) sets.join(edge.from.id, edge.to.id);
  return sets.sets();
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
