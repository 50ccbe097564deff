/**
 * Plans of random topologies: sources, unions, branches, keyBys, with parallelism and isolation wherever they fall.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Plan, planTopology } from "../../../src/plan/plan.js";
import type { OperatorNode, Topology } from "../../../src/topology/nodes.js";
import type { Stream } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, sourceOf } from "../topology/support.js";

const columns = { key: t.utf8 };

interface Step {
  readonly kind: "source" | "mapRows" | "keyBy" | "union" | "sink";
  /** Which of the streams so far it reads. */
  readonly inputs: readonly number[];
  /** 0: states none. */
  readonly parallelism: number;
  readonly isolated: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("source", "mapRows", "mapRows", "keyBy", "union", "union", "sink"),
  inputs: fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 3 }),
  parallelism: fc.constantFrom(0, 0, 0, 1, 2, 3),
  isolated: fc.boolean(),
});

function topologyOf(steps: readonly Step[]): Topology {
  return built((job) => {
    const streams: Stream<typeof columns>[] = [job.read(sourceOf(columns), { id: "first" })];
    for (const [i, { kind, inputs, parallelism, isolated }] of steps.entries()) {
      const options = { id: `${kind}${i}` };
      const read = [...new Set(inputs.map((input) => streams[input % streams.length]!))];
      const [input, ...others] = read as [Stream<typeof columns>, ...Stream<typeof columns>[]];
      if (kind === "sink") {
        input.to(nowhere, options);
        continue;
      }
      const made = {
        source: () => job.read(sourceOf(columns), options),
        mapRows: () => input.mapRows({ ...options, to: columns }, (row) => row),
        keyBy: () => input.keyBy("key"),
        union: () => job.union(input, ...others),
      }[kind]();
      const parallel = parallelism === 0 ? made : made.parallelism(parallelism);
      streams.push(isolated ? parallel.isolate() : parallel);
    }
    for (const stream of streams) stream.to(nowhere);
  });
}

const topologies = fc.array(step, { maxLength: 14 }).map(topologyOf);
const parallelism = fc.integer({ min: 1, max: 3 });

/** Whether nothing comes back to where it started. */
function isAcyclic(edges: readonly (readonly [string, string])[]): boolean {
  const left = new Set(edges);
  for (let before = -1; left.size !== before; ) {
    before = left.size;
    const written = new Set([...left].map(([, to]) => to));
    for (const edge of left) if (!written.has(edge[0])) left.delete(edge);
  }
  return left.size === 0;
}

function actorEdges(plan: Plan): [string, string][] {
  return plan.channels.map(({ from, to }) => [from.actor, to.actor]);
}

function edgesBetween(topology: Topology): [OperatorNode, OperatorNode][] {
  const nodes = new Map(topology.operators.map((node) => [node.id, node]));
  return topology.operators.flatMap((to) =>
    to.inputs.map((from): [OperatorNode, OperatorNode] => [nodes.get(from)!, to]),
  );
}

function forAll(check: (plan: Plan, topology: Topology) => void): void {
  fc.assert(
    fc.property(topologies, parallelism, (topology, fallback) =>
      check(planTopology(topology, { parallelism: fallback }), topology),
    ),
    { numRuns: 300 },
  );
}

describe("plan: of any topology", () => {
  it("every operator is in exactly one chain, once per parallel instance, after what it reads there (P1)", () => {
    forAll((plan, topology) => {
      for (const node of topology.operators) {
        const holders = plan.actors.filter((actor) => actor.operators.includes(node.id));
        assert.equal(new Set(holders.map((actor) => actor.operators.join())).size, 1, `${node.id} is in one chain`);
        assert.deepEqual(
          holders.map((actor) => actor.subtask),
          [...holders.keys()],
        );
        for (const { operators, parallelism: count } of holders) {
          assert.equal(count, holders.length);
          assert.equal(new Set(operators).size, operators.length);
          for (const input of node.inputs) assert.ok(operators.indexOf(input) < operators.indexOf(node.id));
        }
      }
    });
  });

  it("no actor waits, over others, for itself (P4)", () => {
    forAll((plan) => assert.ok(isAcyclic(actorEdges(plan)), `a cycle in ${JSON.stringify(actorEdges(plan))}`));
  });

  it("operators with a forward edge are apart only where one is isolated or a cycle would come of it (P1)", () => {
    forAll((plan, topology) => {
      const countOf = (id: string) => plan.actors.filter((actor) => actor.operators.some((held) => held === id)).length;
      const chainOf = (id: string) =>
        plan.actors.find((actor) => actor.operators.some((held) => held === id))!.operators;
      const mayShare = (from: OperatorNode, to: OperatorNode) =>
        !to.isolated && countOf(from.id) === countOf(to.id) && (from.kind !== "keyBy" || countOf(to.id) === 1);
      for (const [from, to] of edgesBetween(topology)) {
        const [head, tail] = [chainOf(from.id).join(), chainOf(to.id).join()];
        if (head === tail || !mayShare(from, to)) continue;
        const joined = (id: string) => (chainOf(id).join() === tail ? head : chainOf(id).join());
        const inner = edgesBetween(topology).filter(([a, b]) => joined(a.id) === joined(b.id));
        const outer = edgesBetween(topology).filter(([a, b]) => joined(a.id) !== joined(b.id));
        const sound =
          inner.every(([a, b]) => mayShare(a, b)) &&
          isAcyclic(outer.map(([a, b]): [string, string] => [joined(a.id), joined(b.id)]));
        assert.ok(!sound, `${from.id} and ${to.id} could share an actor`);
      }
    });
  });

  it("within an actor no edge needs an exchange: same subtask, never by key to another (P4)", () => {
    forAll((plan, topology) => {
      for (const { operators, parallelism: count } of plan.actors) {
        for (const [from, to] of edgesBetween(topology)) {
          if (!operators.includes(from.id) || !operators.includes(to.id)) continue;
          assert.ok(!to.isolated, `${to.id} is isolated`);
          assert.ok(from.kind !== "keyBy" || count === 1, `${to.id} reads ${from.id} by key`);
        }
      }
    });
  });

  it("every edge between actors has its channels: forward to the same subtask, else to all", () => {
    forAll((plan, topology) => {
      const actorOf = (operator: string, subtask: number) =>
        plan.actors.find((actor) => actor.subtask === subtask && actor.operators.some((held) => held === operator));
      const count = (operator: string) => actorOf(operator, 0)!.parallelism;
      const expected = edgesBetween(topology).flatMap(([from, to]) => {
        if (actorOf(from.id, 0) === actorOf(to.id, 0)) return [];
        const forward = from.kind !== "keyBy" && count(from.id) === count(to.id);
        return Array.from({ length: count(from.id) * count(to.id) }, (_, i) => i)
          .map((i) => [i % count(from.id), Math.floor(i / count(from.id))] as const)
          .filter(([sender, receiver]) => !forward || sender === receiver)
          .map(
            ([sender, receiver]) =>
              `${actorOf(from.id, sender)!.id} ${from.id} ${actorOf(to.id, receiver)!.id} ${to.id}`,
          );
      });
      const found = plan.channels.map(({ from, to }) => `${from.actor} ${from.operator} ${to.actor} ${to.operator}`);
      assert.deepEqual(found.sort(), expected.sort());
      assert.equal(new Set(plan.channels.map(({ id }) => id)).size, plan.channels.length);
    });
  });

  it("regions are what channels connect: each actor in one, and no channel leaves it (P2)", () => {
    forAll((plan) => {
      const regionOf = new Map(plan.regions.flatMap(({ id, actors }) => actors.map((actor) => [actor, id] as const)));
      assert.deepEqual([...regionOf.keys()].sort(), plan.actors.map((actor) => actor.id).sort());
      for (const actor of plan.actors) assert.equal(actor.region, regionOf.get(actor.id));
      for (const { from, to } of plan.channels) assert.equal(regionOf.get(from.actor), regionOf.get(to.actor));
      for (const { actors } of plan.regions) assert.equal(reachable(actors[0]!, plan).size, actors.length);
    });
  });

  it("does not depend on the order of the operators (P3)", () => {
    const shuffled = topologies.chain((topology) =>
      fc
        .shuffledSubarray([...topology.operators], { minLength: topology.operators.length })
        .map((operators) => [topology, { ...topology, operators }] as const),
    );
    fc.assert(
      fc.property(shuffled, parallelism, ([topology, other], fallback) => {
        assert.deepEqual(
          planTopology(other, { parallelism: fallback }),
          planTopology(topology, { parallelism: fallback }),
        );
      }),
    );
  });
});

function reachable(start: string, plan: Plan): Set<string> {
  const found = new Set([start]);
  for (let before = 0; found.size !== before; ) {
    before = found.size;
    for (const { from, to } of plan.channels) {
      if (found.has(from.actor)) found.add(to.actor);
      else if (found.has(to.actor)) found.add(from.actor);
    }
  }
  return found;
}
