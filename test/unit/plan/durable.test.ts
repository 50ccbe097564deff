import assert from "node:assert/strict";
import { describePlan } from "../../../src/plan/describe.js";
import { type Plan, planTopology } from "../../../src/plan/plan.js";
import { type Stream, type TopologyBuilder, type TopologyOptions, topology } from "../../../src/topology/topology.js";
import { built, nowhere, pageColumns, pages } from "../topology/support.js";

type Pages = Stream<typeof pageColumns>;

const tag = (stream: Pages, id: string): Pages => stream.mapRows({ id, to: pageColumns }, (row) => row);

function planOf(define: (job: TopologyBuilder) => void, parallelism = 1, options: TopologyOptions = {}): Plan {
  return planTopology(topology("test", define, options).build({}), { parallelism });
}

const shown = (plan: Plan) =>
  plan.exchanges.map(
    ({ from, id, exchange, writers, partitions }) => `${from} > ${id} ${exchange} ${writers} ${partitions}`,
  );
const regions = (plan: Plan) => plan.regions.map(({ id, actors }) => `${id}: ${actors.join(", ")}`);

describe("plan/durable: what a durable exchange separates", () => {
  it("it ends a chain, also of one instance, and what reads it is another region (P1, P2, P5)", () => {
    const plan = planOf((job) => {
      tag(tag(job.read(pages, { id: "pages" }), "a").durable({ id: "d" }), "b").to(nowhere, { id: "out" });
    });
    assert.deepEqual(
      plan.actors.map(({ operators }) => operators),
      [
        ["pages", "a"],
        ["d", "b", "out"],
      ],
    );
    assert.deepEqual(plan.channels, []);
    assert.deepEqual(shown(plan), ["a > d forward 1 1"]);
    assert.deepEqual(regions(plan), ["region-pages-0: pages-0", "region-d-0: d-0"]);
  });

  it("after keyBy rows go by key, and every instance on both sides is a region of its own", () => {
    const plan = planOf((job) => {
      tag(job.read(pages, { id: "pages" }).keyBy("name").durable({ id: "d", partitions: 3 }), "count").to(nowhere);
    }, 2);
    assert.deepEqual(shown(plan), ["keyBy-1 > d hash 2 3"]);
    assert.deepEqual(regions(plan), [
      "region-pages-0: pages-0",
      "region-pages-1: pages-1",
      "region-d-0: d-0",
      "region-d-1: d-1",
      "region-d-2: d-2",
    ]);
  });

  it("as many partitions as writers are reached one to one, others in turns", () => {
    const define = (partitions: number) => (job: TopologyBuilder) =>
      job.read(pages, { id: "pages" }).durable({ id: "d", partitions }).to(nowhere);
    assert.deepEqual(shown(planOf(define(2), 2)), ["pages > d forward 2 2"]);
    assert.deepEqual(shown(planOf(define(3), 2)), ["pages > d rebalance 2 3"]);
  });

  it("there are as many partitions as readers, however that is said", () => {
    const plan = planOf((job) => job.read(pages).durable({ id: "d" }).parallelism(4).to(nowhere), 2);
    assert.equal(plan.exchanges[0]!.partitions, 4);
  });

  it("is part of the plan's hash: a pipelined exchange in its place is another plan (P3)", () => {
    const with_ = (durable: boolean) =>
      planOf((job) => {
        const keyed = job.read(pages, { id: "pages" }).keyBy("name");
        tag(durable ? keyed.durable({ id: "d" }) : keyed, "count").to(nowhere, { id: "out" });
      }, 2).hash;
    assert.notEqual(with_(true), with_(false));
  });

  it("the text of a plan names each, its writers and its partitions", () => {
    const made = built((job) => job.read(pages, { id: "pages" }).keyBy("name").durable({ id: "d" }).to(nowhere));
    const text = describePlan(made, planTopology(made, { parallelism: 2 }));
    assert.match(text, /durable exchanges \(1\)\n {2}keyBy-1 > d {3}hash, durable, 2 writers, 2 partitions\n/);
    assert.match(text, / d +durable exchange, 256 MiB a partition {2}< keyBy-1\n/);
  });
});

describe("plan/durable: what would not come through is refused with MILL_CONFIG", () => {
  it("a way around the exchange, which would make both sides one region (P5)", () => {
    const around = () =>
      planOf((job) => {
        const stream = job.read(pages, { id: "pages" });
        job.union(tag(stream.durable({ id: "d" }), "a"), stream).to(nowhere);
      });
    assert.throws(around, { code: "MILL_CONFIG", message: /"d".*Make the other way durable too/ });
  });

  it("two exchanges between the same regions, one each way (P5)", () => {
    const circle = () =>
      planOf((job) => {
        const stream = job.read(pages, { id: "pages" });
        const there = tag(stream.durable({ id: "there" }), "far");
        job.union(there.durable({ id: "back" }), tag(stream, "near")).to(nowhere);
      });
    assert.throws(circle, { code: "MILL_CONFIG", message: /Make the other way durable too/ });
  });

  it("but not where the other way is durable too", () => {
    const plan = planOf((job) => {
      const stream = job.read(pages, { id: "pages" });
      job.union(stream.durable({ id: "left" }), tag(stream, "a").durable({ id: "right" })).to(nowhere);
    });
    assert.equal(plan.regions.length, 2);
  });

  it("no checkpoints before the end: nothing would be handed over before it", () => {
    const never = () =>
      planOf((job) => job.read(pages).durable({ id: "d" }).to(nowhere), 1, { checkpointIntervalMs: 0 });
    assert.throws(never, { code: "MILL_CONFIG", message: /"d".*checkpointIntervalMs is 0/ });
  });

  for (const options of [{ partitions: 0 }, { partitions: 1.5 }, { bytesMax: 0 }, { bytesMax: 1_000 }]) {
    it(`durable(${JSON.stringify(options)})`, () => {
      assert.throws(
        () =>
          built((job) =>
            job
              .read(pages)
              .durable({ id: "d", ...options })
              .to(nowhere),
          ),
        {
          code: "MILL_CONFIG",
          message: /"d"/,
        },
      );
    });
  }
});
