import assert from "node:assert/strict";
import { describePlan } from "../../../src/plan/describe.js";
import { type Plan, planTopology } from "../../../src/plan/plan.js";
import { type Stream, type TopologyBuilder, topology } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pageColumns, pages, serviceOf } from "../topology/support.js";

type Pages = Stream<typeof pageColumns>;

/** `tag` keeps the columns, so that streams can be joined again. */
function tag(stream: Pages, id: string): Pages {
  return stream.mapRows({ id, to: pageColumns }, (row) => row);
}

function planOf(define: (job: TopologyBuilder) => void, parallelism?: number): Plan {
  return planTopology(built(define), parallelism === undefined ? {} : { parallelism });
}

function chains(plan: Plan): string[] {
  return plan.actors.map((actor) => `${actor.id}: ${actor.operators.join(" > ")}`);
}

function exchanges(plan: Plan): string[] {
  return plan.channels.map(({ id, exchange }) => `${id} ${exchange}`);
}

function regions(plan: Plan): string[] {
  return plan.regions.map(({ id, actors }) => `${id}: ${actors.join(", ")}`);
}

describe("plan: which operators share an actor", () => {
  it("the canonical pipeline is one actor per parallel instance, and each is a region (P1, P2)", () => {
    const reader = serviceOf("reader", { name: t.utf8 }, { language: t.utf8 });
    const plan = planOf((job) => {
      tag(job.read(pages, { id: "pages" }), "decode")
        .infer(reader, { id: "read" })
        .to(nowhere, { id: "out" });
    }, 2);
    const chain = "pages > decode > read > out";
    assert.deepEqual(chains(plan), [`pages-0: ${chain}`, `pages-1: ${chain}`]);
    assert.deepEqual(exchanges(plan), []);
    assert.deepEqual(regions(plan), ["region-pages-0: pages-0", "region-pages-1: pages-1"]);
  });

  it("an isolated operator starts an actor, and what follows is chained to it (P1)", () => {
    const plan = planOf((job) => {
      tag(tag(job.read(pages, { id: "pages" }), "a").isolate(), "b").to(nowhere, { id: "out" });
    }, 2);
    assert.deepEqual(chains(plan), ["pages-0: pages", "pages-1: pages", "a-0: a > b > out", "a-1: a > b > out"]);
    assert.deepEqual(exchanges(plan), ["pages-0--a-0 forward", "pages-1--a-1 forward"]);
    assert.deepEqual(regions(plan), ["region-pages-0: pages-0, a-0", "region-pages-1: pages-1, a-1"]);
  });

  it("another parallelism is another actor, reached by all its senders (P1)", () => {
    const plan = planOf((job) => {
      tag(job.read(pages, { id: "pages" }).parallelism(1), "a")
        .parallelism(2)
        .to(nowhere, { id: "out" });
    }, 3);
    assert.deepEqual(chains(plan), ["pages-0: pages", "a-0: a > out", "a-1: a > out"]);
    assert.deepEqual(exchanges(plan), ["pages-0--a-0 rebalance", "pages-0--a-1 rebalance"]);
    assert.deepEqual(regions(plan), ["region-pages-0: pages-0, a-0, a-1"]);
  });

  it("keyBy ends a chain and brings every sender to every receiver, in one region (P1, P2)", () => {
    const plan = planOf((job) => {
      tag(job.read(pages, { id: "pages" }).keyBy("name"), "count").to(nowhere, { id: "out" });
    }, 2);
    assert.deepEqual(chains(plan), [
      "pages-0: pages > keyBy-1",
      "pages-1: pages > keyBy-1",
      "count-0: count > out",
      "count-1: count > out",
    ]);
    assert.deepEqual(exchanges(plan), [
      "keyBy-1-0--count-0 hash",
      "keyBy-1-0--count-1 hash",
      "keyBy-1-1--count-0 hash",
      "keyBy-1-1--count-1 hash",
    ]);
    assert.deepEqual(regions(plan), ["region-pages-0: pages-0, pages-1, count-0, count-1"]);
  });

  it("with one instance there is nothing to exchange: keyBy is chained through", () => {
    const plan = planOf((job) =>
      tag(job.read(pages, { id: "pages" }).keyBy("name"), "count").to(nowhere, { id: "out" }),
    );
    assert.deepEqual(chains(plan), ["pages-0: pages > keyBy-1 > count > out"]);
  });

  it("operators that state no parallelism have that of their input, and after keyBy the topology's", () => {
    const plan = planOf((job) => {
      const stream = tag(job.read(pages, { id: "pages" }).parallelism(3), "a");
      tag(stream.keyBy("name"), "b").to(nowhere, { id: "out" });
    }, 2);
    const counts = new Map(plan.actors.map((actor) => [actor.operators[0], actor.parallelism]));
    assert.deepEqual(
      [...counts],
      [
        ["pages", 3],
        ["b", 2],
      ],
    );
  });

  it("two sinks of one stream share its actor; so do the branches of a union", () => {
    const plan = planOf((job) => {
      const stream = job.read(pages, { id: "pages" });
      const both = job.union(tag(stream, "a"), tag(stream, "b"));
      both.to(nowhere, { id: "x" });
      both.to(nowhere, { id: "y" });
    });
    assert.deepEqual(chains(plan), ["pages-0: pages > a > b > union-1 > x > y"]);
  });

  it("a branch around an isolated operator is not chained: the two actors would wait for each other (P1, P4)", () => {
    const plan = planOf((job) => {
      const stream = job.read(pages, { id: "pages" });
      job.union(tag(stream, "left"), tag(stream, "right").isolate()).to(nowhere, { id: "out" });
    });
    assert.deepEqual(chains(plan), ["pages-0: pages > left", "right-0: right > union-1 > out"]);
    assert.deepEqual(exchanges(plan), ["pages-0--right-0 forward", "left-0--union-1-0 forward"]);
  });

  it("streams that never meet are regions of their own (P2)", () => {
    const plan = planOf((job) => {
      tag(job.read(pages, { id: "a" }), "a2")
        .isolate()
        .to(nowhere, { id: "a3" });
      job.read(pages, { id: "b" }).to(nowhere, { id: "b2" });
    });
    assert.deepEqual(regions(plan), ["region-a-0: a-0, a2-0", "region-b-0: b-0"]);
  });
});

describe("plan: services", () => {
  it("are in order of their names, with instances and callers, and in no region", () => {
    const b = serviceOf("b", { name: t.utf8 }, { x: t.utf8 }, 3);
    const a = serviceOf("a", { name: t.utf8 }, { y: t.utf8 });
    const plan = planOf((job) => {
      const stream = job.read(pages).infer(b, { id: "one" });
      stream.infer(a, { id: "two" }).infer(b, { id: "three" }).to(nowhere);
    }, 2);
    const resources = { cpu: 1, memoryBytes: 0, gpu: undefined };
    assert.deepEqual(plan.services, [
      { id: "a", instances: 1, callers: ["two"], resources },
      { id: "b", instances: 3, callers: ["one", "three"], resources },
    ]);
    assert.deepEqual(
      plan.regions.map(({ actors }) => actors.length),
      [1, 1],
    );
  });
});

describe("plan: what is refused", () => {
  it("a topology without a sink is MILL_TOPOLOGY_UNCONNECTED", () => {
    assert.throws(() => planOf((job) => void job.read(pages)), {
      code: "MILL_TOPOLOGY_UNCONNECTED",
      message: 'topology "test" has no sink, so nothing would come of it. End a stream with .to(sink).',
    });
  });

  it("a stream that nobody reads is MILL_TOPOLOGY_UNCONNECTED and named", () => {
    const define = (job: TopologyBuilder) => {
      const stream = job.read(pages);
      tag(stream, "lost");
      stream.to(nowhere);
    };
    assert.throws(() => planOf(define), {
      code: "MILL_TOPOLOGY_UNCONNECTED",
      message: 'operator "lost": nothing reads its output. End the stream with .to(sink), or remove it.',
    });
  });

  for (const parallelism of [0, -1, 1.5, Number.NaN]) {
    it(`a parallelism of ${parallelism} is MILL_CONFIG`, () => {
      assert.throws(() => planOf((job) => job.read(pages).to(nowhere), parallelism), {
        code: "MILL_CONFIG",
        message: `the parallelism is ${parallelism}; give a whole number from 1 on.`,
      });
    });
  }
});

describe("plan: its hash", () => {
  const reader = serviceOf("reader", { name: t.utf8 }, { language: t.utf8 });
  type Read = ReturnType<typeof keyed>;
  const keyed = (job: TopologyBuilder, key: "name" | "size" = "name", id = "read", service = reader) =>
    job.read(pages, { id: "pages" }).keyBy(key).infer(service, { id });
  const tagged = (stream: Read) => stream.mapRows({ id: "tag", to: pageColumns }, (row) => row);
  const ended = (stream: Read) => tagged(stream).to(nowhere, { id: "out" });
  const base = (job: TopologyBuilder) => ended(keyed(job));
  const hash = planOf(base, 2).hash;

  it("is the same whenever the topology is built anew", () => {
    assert.match(hash, /^[0-9a-f]{64}$/);
    assert.equal(planOf(base, 2).hash, hash);
  });

  it("does not depend on the order in which streams were declared (P3)", () => {
    const branch = (job: TopologyBuilder, name: string) =>
      tag(job.read(pages, { id: `${name}-in` }), name).to(nowhere, { id: `${name}-out` });
    const of = (...names: string[]) => planOf((job) => names.forEach((name) => void branch(job, name)), 2);
    assert.deepEqual(of("b", "a"), of("a", "b"));
  });

  const changes: Readonly<Record<string, (job: TopologyBuilder) => void>> = {
    "an operator's id": (job) => ended(keyed(job, "name", "look")),
    "an operator's kind": (job) =>
      keyed(job)
        .flatMap({ id: "tag", to: pageColumns }, (row) => [row])
        .to(nowhere, { id: "out" }),
    "a key": (job) => ended(keyed(job, "size")),
    "a column's name": (job) =>
      keyed(job)
        .mapRows({ id: "tag", to: { title: t.utf8 } }, () => ({ title: "" }))
        .to(nowhere, { id: "out" }),
    "a column's type": (job) =>
      keyed(job)
        .mapRows({ id: "tag", to: { ...pageColumns, size: t.int64 } }, (row) => ({ ...row, size: 1n }))
        .to(nowhere, { id: "out" }),
    "whether a column may be null": (job) =>
      keyed(job)
        .mapRows({ id: "tag", to: { ...pageColumns, note: t.utf8 } }, (row) => ({ ...row, note: "" }))
        .to(nowhere, { id: "out" }),
    "the number of a service's instances": (job) => ended(keyed(job, "name", "read", { ...reader, instances: 2 })),
    "where an actor ends": (job) => tagged(keyed(job)).isolate().to(nowhere, { id: "out" }),
  };
  it("is that of the table below where nothing is changed", () => {
    const same = (job: TopologyBuilder) => tagged(keyed(job)).to(nowhere, { id: "out" });
    assert.equal(planOf(same, 2).hash, hash);
  });
  for (const [what, define] of Object.entries(changes)) {
    it(`changes with ${what}`, () => assert.notEqual(planOf(define, 2).hash, hash));
  }

  it("changes with the parallelism and with the topology's name", () => {
    assert.notEqual(planOf(base, 3).hash, hash);
    assert.notEqual(planTopology(topology("other", base).build({}), { parallelism: 2 }).hash, hash);
  });

  it("changes with the list that an inferEach reads, and with the one it writes", () => {
    const texts = serviceOf("texts", { text: t.utf8 }, { score: t.float64 });
    const two = { a: t.list(t.struct({ text: t.utf8 })), b: t.list(t.struct({ text: t.utf8 })) };
    const each = (list: "a" | "b") =>
      planOf((job) => {
        job
          .read(pages)
          .mapRows({ to: two }, () => ({ a: [], b: [] }))
          .inferEach(list, texts, { into: "scores" })
          .to(nowhere);
      }).hash;
    assert.notEqual(each("a"), each("b"));
  });
});

describe("plan/describe: a plan as text", () => {
  it("names every operator with what it reads and emits, every actor, channel, region and service", () => {
    const reader = serviceOf("reader", { name: t.utf8 }, { language: t.utf8 }, 2);
    const recorded = built((job) => {
      const read = job.read(pages, { id: "pages" }).keyBy("name").infer(reader, { id: "read" });
      read.select("name", "language").to(nowhere, { id: "out" });
    });
    const plan = planTopology(recorded, { parallelism: 2 });
    assert.equal(
      describePlan(recorded, plan),
      `topology test   plan ${plan.hash.slice(0, 12)}

operators
  pages          declared source
                 name: utf8, size: int32, lines: list<struct<text: utf8>>, note: utf8?
  keyBy-1        keyBy name  < pages
                 name: utf8, size: int32, lines: list<struct<text: utf8>>, note: utf8?
  read           infer reader  < keyBy-1
                 name: utf8, size: int32, lines: list<struct<text: utf8>>, note: utf8?, language: utf8
  select-1       select  < read
                 name: utf8, language: utf8
  out            declared sink  < select-1
                 name: utf8, language: utf8

actors (4)
  pages-0        region-pages-0       pages > keyBy-1
  pages-1        region-pages-0       pages > keyBy-1
  read-0         region-pages-0       read (reader) > select-1 > out
  read-1         region-pages-0       read (reader) > select-1 > out

channels (4)
  pages-0 > read-0   hash, pipelined
  pages-0 > read-1   hash, pipelined
  pages-1 > read-0   hash, pipelined
  pages-1 > read-1   hash, pipelined

regions (1)
  region-pages-0       pages-0, pages-1, read-0, read-1

services (1)
  reader               2 x declared, batch of 1 rows, 0 ms, called by read
`,
    );
  });

  it("says so where no batch crosses a channel, and which list an inferEach goes over", () => {
    const texts = serviceOf("texts", { text: t.utf8 }, { score: t.float64 });
    const recorded = built((job) => job.read(pages).inferEach("lines", texts, { into: "scores" }).to(nowhere));
    const text = describePlan(recorded, planTopology(recorded));
    assert.match(text, /channels \(0\)\n {2}none: every chain passes its batches by reference\n/);
    assert.match(text, /infer-1 +infer texts for each of lines {2}< source-1\n/);
  });
});
