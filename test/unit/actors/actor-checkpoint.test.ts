/** Real actors, stopped anywhere and restored anywhere: what they publish is what a run without failures publishes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { limits } from "../../../src/base/limits.js";
import type { Sink } from "../../../src/topology/endpoints.js";
import { topology } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { decodeBatch } from "../../../src/wire/arrow.js";
import { decodeRow } from "../../../src/wire/arrow-row.js";
import { doubler, LARGE, numbersIn, source, World, type WorldOptions, type WorldSink } from "./checkpoint-world.js";
import { gate, turns, until } from "./support.js";

const BOUND = 4_000;
/** Windows and credits that a few rows fill. */
const SMALL = { inferAheadRows: 64, channelCreditFrames: 4 };

interface Scenario {
  readonly name: string;
  readonly runs: number;
  /** What committed snapshots must have held in some run: batches on their way into these places, or `infer`. */
  readonly meets: readonly string[];
  readonly channels?: WorldOptions["channels"];
  readonly serviceTurns: number;
  readonly sinks: readonly string[];
  define(world: World, sink: (url: string) => WorldSink): ReturnType<WorldOptions["topology"]>;
  /** Rows of these keep their order: values of a column, by the key. */
  readonly ordered?: { readonly sink: string; key(row: Record<string, unknown>): string };
}

const keyed = (n: number) => ({ n, key: `k${n % 11}` });

/** Times that have nothing to do with the order of numbers. */
const hashOf = (n: number) => Math.imul(n + 1, 0x9e3779b1) >>> 16;

const element = t.struct({ n: t.int32 });
const lists = { id: t.int32, parts: t.list(element) };
const listOf = (n: number) => ({ id: n, parts: Array.from({ length: n % 4 }, (_, i) => ({ n: 10 * n + i })) });

/** Of the hash exchange's sources. */
const splitOf = (n: number) => (n < 5_000 ? Math.floor(n / 240) : Math.floor((n - 5_000) / 120) + 10);

const paged = { ...numbersIn, page: t.document };
const pageOf = (n: number) => ({
  ...keyed(n),
  page: inline(Buffer.from(n % 3 === 0 ? "small" : `${LARGE}${n}`), "text/plain"),
});

const scenarios: Scenario[] = [
  {
    name: "content that is moved out on its way to another process, to a service and to a sink",
    meets: ["infer", "ask", "channel", "raw-out", "references"],
    runs: 12,
    channels: "bus",
    serviceTurns: 20,
    sinks: ["out", "raw", "copies"],
    define: (world, sink) =>
      topology(
        "t",
        (job) => {
          const shape = { splits: 3, batches: 8, rows: 6 };
          const pages = job.read(source(paged, 0, shape, pageOf, world.pause), { id: "pages" });
          pages.to(sink("raw"), { id: "raw-out" });
          pages.infer(doubler, { id: "ask" }).to(sink("out"), { id: "out" });
          pages
            .mapRows({ id: "copy", to: paged }, async (row) => row)
            .isolate()
            .to(sink("copies"), { id: "copies-out" });
        },
        { inlineLimitBytes: LARGE.length },
      ).build({}),
  },
  {
    name: "row functions that wait, with calls of several batches under way, behind each other",
    meets: ["slow", "again", "references"],
    runs: 14,
    serviceTurns: 1,
    sinks: ["out"],
    ordered: { sink: "out", key: () => "" },
    define: (world, sink) =>
      topology(
        "t",
        (job) => {
          const wait = async (n: number) => {
            await world.ports.clock.sleep(10 * (hashOf(n) % 9));
            if (n % 23 === 4) throw new Error(`no ${n}`);
          };
          job
            .read(source(paged, 0, { splits: 3, batches: 8, rows: 5 }, pageOf, world.pause), { id: "pages" })
            .mapRows({ id: "slow", to: paged, concurrency: 4 }, async (row) => {
              if (row.n % 2 === 0) await wait(row.n);
              return row;
            })
            .flatMap({ id: "again", to: paged, concurrency: 3 }, (row) =>
              row.n % 11 === 0 ? [] : wait(row.n).then(() => [row, row]),
            )
            .to(sink("out"), { id: "out" });
        },
        { inlineLimitBytes: LARGE.length },
      ).build({}),
  },
  {
    name: "one chain whose infer window is full",
    meets: ["infer", "ask"],
    runs: 14,
    serviceTurns: 60,
    sinks: ["out"],
    ordered: { sink: "out", key: () => "" },
    define: (world, sink) =>
      topology("t", (job) => {
        const shape = { splits: 3, batches: 8, rows: SMALL.inferAheadRows / 4 };
        job
          .read(source(numbersIn, 0, shape, keyed, world.pause), { id: "in" })
          .infer(doubler, { id: "ask" })
          .to(sink("out"), { id: "out" });
      }).build({}),
  },
  {
    name: "a union of two sources, a row function, several sinks and dead letters in one actor",
    meets: ["infer"],
    runs: 15,
    serviceTurns: 12,
    sinks: ["all", "left"],
    define: (world, sink) =>
      topology("t", (job) => {
        const left = job.read(source(numbersIn, 0, { splits: 4, batches: 5, rows: 6 }, keyed, world.pause), {
          id: "left",
        });
        const shape = { splits: 3, batches: 6, rows: 6, positions: true };
        const right = job.read(source(numbersIn, 1_000, shape, keyed, world.pause), { id: "right" });
        left.to(sink("left"), { id: "left-out" });
        job
          .union(left, right)
          .mapRows({ id: "check", to: numbersIn }, async (row) => {
            if (row.n % 29 === 3) throw new Error(`no ${row.n}`);
            if (row.n % 7 === 0) await world.pause();
            return row;
          })
          .infer(doubler, { id: "ask" })
          .to(sink("all"), { id: "all-out" });
      }).build({}),
  },
  {
    name: "an infer of lists, and one behind it",
    meets: ["infer"],
    runs: 15,
    serviceTurns: 20,
    sinks: ["out"],
    ordered: { sink: "out", key: () => "" },
    define: (world, sink) =>
      topology("t", (job) => {
        job
          .read(source(lists, 0, { splits: 3, batches: 6, rows: 5 }, listOf, world.pause), { id: "in" })
          .inferEach("parts", doubler, { id: "ask", into: "answers" })
          .flatMap({ id: "flat", to: { n: t.int32 } }, ({ id }) => (id % 5 === 1 ? [] : [{ n: id }, { n: -id }]))
          .infer(doubler, { id: "again" })
          .to(sink("out"), { id: "out" });
      }).build({}),
  },
  ...(["local", "bus"] as const).map(
    (channels): Scenario => ({
      name: `a hash exchange between actors, ${channels} channels`,
      meets: ["infer", "ask", "channel", "captured"],
      runs: 10,
      channels,
      serviceTurns: 40,
      sinks: ["out", "raw"],
      ordered: { sink: "out", key: ({ key, n }) => `${key} of split ${splitOf(n as number)}` },
      define: (world, sink) =>
        topology(
          "t",
          (job) => {
            const left = job.read(source(numbersIn, 0, { splits: 2, batches: 20, rows: 12 }, keyed, world.pause), {
              id: "left",
            });
            left.to(sink("raw"), { id: "raw-out" });
            const shape = { splits: 2, batches: 10, rows: 12 };
            const right = job.read(source(numbersIn, 5_000, shape, keyed, world.pause), { id: "right" });
            job
              .union(left, right)
              .keyBy("key")
              .mapRows({ id: "slow", to: numbersIn }, async (row) => {
                if (row.n % 13 === 0) await world.pause();
                return row;
              })
              .infer(doubler, { id: "ask" })
              .to(sink("out"), { id: "out" });
          },
          { parallelism: 2 },
        ).build({}),
    }),
  ),
];

interface Outcome {
  readonly rows: Record<string, string[]>;
  readonly sinks: ReadonlyMap<string, WorldSink>;
  readonly attempts: number;
  /** Ids of rows that `infer` asked about. */
  readonly asked: ReadonlySet<string>;
  readonly met: ReadonlySet<string>;
}

/** Without the time, which is another in each run, and with what the whole row says, not how its bytes are laid out. */
const letterOf = ({ atMs: _, row, ...letter }: Record<string, unknown>) => {
  const { schema, batch } = decodeRow(Buffer.from(String(row), "base64"));
  return { ...letter, row: String(decodeBatch(schema, batch).get(0)) };
};
const shown = (rows: readonly unknown[]) =>
  rows.map((row) => JSON.stringify(row, (_, value) => (typeof value === "bigint" ? String(value) : value)));

/** @param kills how many attempts are killed, at moments of the seed's choice */
async function run(scenario: Scenario, seed: number, kills: number): Promise<Outcome> {
  const sinks = new Map<string, WorldSink>();
  const world = new World({
    seed,
    channels: scenario.channels ?? "local",
    serviceTurns: scenario.serviceTurns,
    topology: (made) =>
      scenario.define(made, (url) => {
        const sink = sinks.get(url) ?? made.sink(url);
        sinks.set(url, sink);
        return sink;
      }),
  });
  await world.open();
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  for (let left = kills; ; left--) {
    await world.start();
    if (left === 0) break;
    for (let checkpoints = world.random(4); checkpoints > 0; checkpoints--) {
      for (let i = world.random(30); i > 0; i--) await turn();
      // Some are given up before they can be acknowledged; of some nobody is told.
      await world.checkpoint(world.random(5) === 0 ? 3 : BOUND, world.random(2) === 0);
    }
    for (let i = world.random(30); i > 0; i--) await turn();
    world.kill();
    if (world.random(2) === 0) for (let i = world.random(20); i > 0; i--) await turn();
  }
  for (let i = 0; !world.over; i++) {
    assert.ok(i < 200, `seed ${seed}: the calm phase ends`);
    if (kills > 0 || world.finished) await world.checkpoint(BOUND, true);
    for (let j = 0; j < 50 && !world.over; j++) await turn();
    world.check();
  }
  world.kill();
  const rows = Object.fromEntries(scenario.sinks.map((url) => [url, shown(sinks.get(url)!.rows())]));
  return {
    rows: { ...rows, letters: shown(world.deadLetters.rows().map(letterOf)) },
    sinks,
    attempts: world.attempt,
    asked: new Set(world.asked.keys()),
    met: world.met,
  };
}

function checkOrder({ ordered }: Scenario, { sinks }: Outcome): void {
  if (ordered === undefined) return;
  const last = new Map<string, number>();
  for (const row of sinks.get(ordered.sink)!.rows()) {
    const key = ordered.key(row);
    const n = Math.abs(row.n as number);
    assert.ok(n >= (last.get(key) ?? 0), `${n} of "${key}" comes after ${last.get(key)}`);
    last.set(key, n);
  }
}

describe("actors/actor-checkpoint: killed and restored at random moments", () => {
  const normal = { ...limits };
  before(() => void Object.assign(limits, SMALL));
  after(() => void Object.assign(limits, normal));

  for (const scenario of scenarios) {
    it(`${scenario.name}: publishes what a run without failures does (guarantees 1, 3, A2, A3, I6, I7, U1 to U3, rule 8)`, async function () {
      this.timeout(20_000);
      const expected = await run(scenario, 1, 0);
      for (const url of scenario.sinks) assert.ok(expected.rows[url]!.length > 0);
      const met = new Set<string>();
      const sorted = (rows: readonly string[]) => [...rows].sort();
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 1_000_000 }),
          fc.integer({ min: 1, max: 4 }),
          async (seed, kills) => {
            const outcome = await run(scenario, seed, kills);
            assert.equal(outcome.attempts, kills + 1);
            for (const [url, rows] of Object.entries(expected.rows)) {
              assert.deepEqual(sorted(outcome.rows[url]!), sorted(rows), `seed ${seed}, ${kills} kills, sink ${url}`);
            }
            checkOrder(scenario, outcome);
            assert.deepEqual(outcome.asked, expected.asked, `seed ${seed}: a row has one id in every attempt (I7)`);
            for (const what of outcome.met) met.add(what);
          },
        ),
        { numRuns: scenario.runs, endOnFailure: true },
      );
      assert.deepEqual(
        scenario.meets.filter((what) => !met.has(what)),
        [],
        `not met in any committed snapshot; met: ${[...met]}`,
      );
    });
  }
});

describe("actors/actor-checkpoint: what keeps a snapshot from being wrong", () => {
  const chain = (world: World, out: Sink, fn = async (row: { n: number; key: string }) => row) =>
    topology("t", (job) => {
      const shape = { splits: 2, batches: 6, rows: 4 };
      job
        .read(source(numbersIn, 0, shape, keyed, world.pause), { id: "in" })
        .mapRows({ id: "step", to: numbersIn }, fn)
        .to(out, { id: "out" });
    }).build({});
  const worldOf = (make: (world: World) => ReturnType<typeof chain>) =>
    new World({ seed: 7, channels: "local", serviceTurns: 1, topology: make });
  const finish = async (world: World) => {
    for (let i = 0; i < 100 && !world.finished; i++) await turns();
    assert.ok(await world.checkpoint(BOUND, false), "the last checkpoint");
  };

  it("what comes while the actor restores is not answered from an empty state: no cut, nothing is published (A2, A3, rule 5)", async () => {
    let out: WorldSink | undefined;
    const world = worldOf((made) => {
      out = made.sink("out");
      return chain(made, out);
    });
    await world.open();
    await world.start();
    await finish(world);
    world.kill();
    assert.equal(out!.published.size, 0, "nobody was told");
    const recovering = gate();
    out!.recovering = recovering.promise;
    await world.start();
    world.complete();
    assert.equal(await world.checkpoint(60, false), false, "there is no cut before all is restored");
    assert.equal(world.published, 0n, "it cannot say that it has published what it has not");
    recovering.open();
    await until("the end", () => world.over);
    assert.equal(out!.rows().length, 48);
  });

  it("an actor in which a flow has failed cuts no more: what that flow held is nowhere (A2, G3)", async () => {
    const failing = gate();
    const cuts: unknown[] = [];
    const world = worldOf((made) => {
      const out = made.sink("out");
      const bad: Sink = {
        ...out,
        kind: "bad",
        describe: "bad",
        url: "bad",
        check() {},
        open: async () => ({
          write: () => failing.promise.then(() => Promise.reject(new Error("disk full"))),
          prepare: async () => {
            cuts.push("cut");
            return new Uint8Array();
          },
          commit: async () => {},
          recover: async () => {},
          abort: async () => {},
        }),
      };
      return chain(made, bad);
    });
    await world.open();
    await world.start();
    await turns(30);
    world.trigger(9n);
    await turns();
    failing.open();
    await until("the failure", () => world.failures.length > 0);
    await turns(20);
    assert.deepEqual(cuts, []);
    assert.match(world.failures[0]!.message, /disk full/);
  });

  it("an output that cannot prepare fails the actor: every later snapshot would lack it (U1)", async () => {
    const world = worldOf((made) => {
      const out = made.sink("out");
      out.failPrepare = new Error("store is away");
      return chain(made, out);
    });
    await world.open();
    await world.start();
    await turns(10);
    world.trigger(2n);
    await until("the failure", () => world.failures.length > 0);
    assert.match(world.failures[0]!.message, /store is away/);
  });

  it("a snapshot that could not be saved is saved when the coordinator asks again (T4)", async () => {
    const world = worldOf((made) => chain(made, made.sink("out")));
    world.saveFails = 2;
    await world.open();
    await world.start();
    assert.ok(await world.checkpoint(BOUND, false));
    assert.equal(world.saveFails, 0);
  });
});
