import assert from "node:assert/strict";
import { describePlan } from "../../../src/plan/describe.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { TopologyBuilder } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pages } from "../topology/support.js";

const count = { count: t.int64 };

function counting(job: TopologyBuilder, options: { emit?: "end" | "changes"; to?: typeof count } = {}) {
  return job
    .read(pages, { id: "pages" })
    .keyBy("note", "name")
    .reduce({ id: "count", to: count, ...options }, (so) => ({ count: (so?.count ?? 0n) + 1n }));
}

describe("plan: keyed operators", () => {
  it("start an actor per instance behind a hash exchange, and what follows is chained to them (P1)", () => {
    const topology = built((job) => counting(job).to(nowhere, { id: "out" }));
    const plan = planTopology(topology, { parallelism: 2 });
    assert.deepEqual(
      plan.actors.map(({ id, operators }) => `${id}: ${operators.join(" > ")}`),
      ["pages-0: pages > keyBy-1", "pages-1: pages > keyBy-1", "count-0: count > out", "count-1: count > out"],
    );
    assert.deepEqual([...new Set(plan.channels.map(({ exchange }) => exchange))], ["hash"]);
    assert.equal(plan.regions.length, 1);
  });

  it("with one instance are chained to their input", () => {
    const topology = built((job) => counting(job).to(nowhere, { id: "out" }));
    assert.deepEqual(planTopology(topology).actors[0]!.operators, ["pages", "keyBy-1", "count", "out"]);
  });

  it("may have another number of instances than their input: rows find the owner of their key", () => {
    const topology = built((job) => counting(job).parallelism(3).to(nowhere, { id: "out" }));
    const plan = planTopology(topology, { parallelism: 2 });
    assert.equal(plan.channels.filter(({ exchange }) => exchange === "hash").length, 6);
  });

  it("may not have another number than the durable exchange that they read: rows would not meet their state", () => {
    const behind = (job: TopologyBuilder) =>
      job
        .read(pages, { id: "pages" })
        .keyBy("name")
        .durable({ id: "log", partitions: 4 })
        .process({ id: "seen", to: count, state: count }, () => []);
    assert.throws(() => planTopology(built((job) => behind(job).parallelism(2).to(nowhere))), {
      code: "MILL_CONFIG",
      message:
        'operator "seen": it has parallelism 2, and its input "log" has 4. Rows would not meet the state of their key: give both the same, or leave it out.',
    });
    const plan = planTopology(built((job) => behind(job).to(nowhere, { id: "out" })));
    assert.deepEqual(
      plan.actors.filter(({ operators }) => operators.includes("seen" as never)).map(({ operators }) => operators),
      [0, 1, 2, 3].map(() => ["log", "seen", "out"]),
    );
  });

  it("keys, columns of the state and when it emits are part of the plan's hash", () => {
    const hashOf = (define: (job: TopologyBuilder) => void) => planTopology(built(define)).hash;
    const of = (state: "int32" | "int64", key: "name" | "note", emit: "end" | "changes") => (job: TopologyBuilder) => {
      const stream = job.read(pages);
      stream
        .keyBy(key)
        .reduce({ to: count, emit }, () => ({ count: 0n }))
        .to(nowhere);
      const kept = state === "int32" ? { last: t.int32 } : { last: t.int64 };
      stream
        .keyBy("name")
        .process({ to: count, state: kept as { last: typeof t.int32 } }, () => [])
        .to(nowhere);
    };
    const hashes = [
      of("int32", "name", "end"),
      of("int64", "name", "end"),
      of("int32", "note", "end"),
      of("int32", "name", "changes"),
      of("int32", "name", "end"),
    ].map(hashOf);
    assert.equal(new Set(hashes).size, 4);
    assert.equal(hashes[0], hashes[4]);
  });

  it("are described with their keys and the columns that they emit", () => {
    const topology = built((job) => counting(job).to(nowhere, { id: "out" }));
    const text = describePlan(topology, planTopology(topology));
    assert.match(text, /count +reduce by note, name {2}< keyBy-1\n +note: utf8\?, name: utf8, count: int64/);
  });
});
