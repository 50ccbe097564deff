import assert from "node:assert/strict";
import type { Namespace } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { Events } from "../../../src/coordinator/events.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import type { WorkerFacts } from "../../../src/coordinator/placement.js";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import { RegionRunner } from "../../../src/coordinator/region-runner.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ActorReport, JobSpec, Snapshot } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import type { RegionRecord } from "../../../src/wire/stored.js";
import { type FakePorts, fakePorts } from "./fake-ports.js";
import { actor, needs, spec, worker } from "./job-facts.js";

const NAMESPACE = "test" as Namespace;
const REGIONS = 1_000;

/** Of the looks at regions from now on. */
function eachTakesOneMs(looked: string[], clock: FakePorts["clock"]): void {
  const push = looked.push.bind(looked);
  looked.push = (...names) => {
    void clock.freeze(1);
    return push(...names);
  };
}

/** A job of many regions, one actor each, all at work on two workers; and what looks at it. */
function setUp(about: Partial<JobSpec> = {}, ports: FakePorts = fakePorts()) {
  const { clock } = ports;
  const workers: WorkerFacts[] = [];
  let addedUp = 0;
  const actors = Array.from({ length: REGIONS }, (_, i) => {
    return { actor: `step-${i}`, region: `region-${i}`, subtask: i, resources: needs({ memory: 1 }), gpus: [] };
  });
  const book = new JobBook({ ...spec, actors, services: [], sources: [], checkpointIntervalMs: 0n, ...about }, clock);
  for (const name of ["w1", "w2"]) book.expectHost(`host-${name}`, name);
  let sequence = 0n;
  const report = (host: string, reports: readonly ActorReport[]) =>
    book.onHost({
      host,
      job: spec.job,
      sequence: ++sequence,
      actors: reports,
      rowsTotal: 0n,
      services: [],
      standings: [],
    });
  for (const name of ["w1", "w2"]) report(`host-${name}`, []);
  for (const [i, region] of [...book.regions.values()].entries()) {
    const host = `host-w${(i % 2) + 1}`;
    region.place(new Map(region.actors.map((one) => [one, host.slice("host-".length)])));
    region.settle(() => host);
    region.phase = "RUNNING";
    region.onDeployed(host, 1);
    region.onStarted(host, 1);
  }
  const bus = new MemoryBus(ports);
  const sent: string[] = [];
  const runner = new RegionRunner({
    ...{ bus, ports, namespace: NAMESPACE, store: new MemoryStore(), term: 1n },
    events: new Events({ bus, ports, namespace: NAMESPACE }, () => 1n),
    send: (_, host, frame) => void sent.push(`${decodeFrame(frame).kind} ${host}`),
    look: () => {},
    workers: () => workers,
    holdings: () => {
      addedUp += 1;
      return book.promised();
    },
    deposed: () => assert.fail("nobody else leads"),
    leads: async () => true,
  });
  const looked: string[] = [];
  for (const region of book.regions.values()) {
    const facts = region.facts.bind(region);
    region.facts = (...given) => {
      looked.push(region.region);
      return facts(...given);
    };
  }
  /** @returns regions that were looked at */
  const look = (untilMs?: number): string[] => {
    runner.look(book, untilMs);
    return looked.splice(0);
  };
  const running = (i: number, more: Partial<ActorReport> = {}) => ({
    ...actor("read-0", "RUNNING", more),
    ...{ actor: `step-${i}`, region: `region-${i}` },
  });
  const says = (...numbers: number[]) => {
    for (const host of ["host-w1", "host-w2"]) {
      const own = numbers.filter((i) => host === `host-w${(i % 2) + 1}`);
      if (own.length > 0)
        report(
          host,
          own.map((i) => running(i)),
        );
    }
  };
  return { clock, book, report, says, look, looked, running, sent, workers, addedUp: () => addedUp };
}

const numbers = Array.from({ length: REGIONS }, (_, i) => i);

describe("coordinator/region-turns: a job of a thousand regions", () => {
  it("looks at the one region that a report is about, and at none where it says nothing new (U1)", () => {
    const { says, look, report, running } = setUp();
    says(...numbers);
    assert.equal(look().length, REGIONS);
    assert.deepEqual(look(), []);
    report("host-w2", [running(7, { published: 3n, sinksPublished: 3n }), running(9)]);
    assert.deepEqual(look(), ["region-7"]);
    report("host-w2", [running(7, { published: 3n, sinksPublished: 3n }), running(9)]);
    assert.deepEqual(look(), []);
  });

  it("looks at those on a worker whose host has gone (U1)", () => {
    const { book, says, look } = setUp();
    says(...numbers);
    look();
    book.onWorkerGone("w2", "it fell silent");
    const odd = numbers.filter((i) => i % 2 === 1).map((i) => `region-${i}`);
    assert.deepEqual(look(), odd);
  });

  it("looks at all of them on a heartbeat, and asks again for what has not come (U2)", () => {
    const { book, says, look, sent } = setUp();
    says(...numbers);
    book.regions.get("region-7")!.wantCheckpoint();
    look();
    assert.deepEqual(sent.splice(0), ["trigger host-w2"], "opened, and its host told in the same look");
    assert.deepEqual(look(), [], "nothing has changed");
    book.turns.addAll();
    assert.equal(look().length, REGIONS);
    assert.deepEqual(sent.splice(0), ["trigger host-w2"]);
  });

  it("a look that ends before its end goes on there, whatever changes meanwhile (U3)", () => {
    const ports = fakePorts();
    const { book, says, look, looked, clock } = setUp({}, ports);
    says(...numbers);
    look();
    book.turns.addAll();
    eachTakesOneMs(looked, clock);
    const first = look(clock.monotonicMs() + 10);
    assert.deepEqual(
      first,
      numbers.slice(0, 10).map((i) => `region-${i}`),
    );
    book.regions.get("region-3")!.held = false;
    const rest = look();
    assert.deepEqual(
      rest,
      [...numbers.slice(10), 3].map((i) => `region-${i}`),
    );
  });

  /** Looks in which there is time for a hundred of them, each after a heartbeat. @returns how many it takes until all that were asked are told */
  function looksUntilTold({ book, look, looked, sent, clock }: ReturnType<typeof setUp>, asked: number): number {
    eachTakesOneMs(looked, clock);
    for (let count = 1; ; count++) {
      book.turns.addAll();
      look(clock.monotonicMs() + 100);
      if (sent.filter((one) => one.startsWith("trigger")).length >= asked) return count;
      assert.ok(count < 100, `only ${sent.length} of ${asked} were told`);
    }
  }

  it("those that a checkpoint was asked for are told of it in the first looks, whatever a heartbeat adds (U3)", () => {
    const world = setUp();
    world.says(...numbers);
    world.look();
    for (let i = 900; i < REGIONS; i++) world.book.regions.get(`region-${i}`)!.wantCheckpoint();
    assert.ok(looksUntilTold(world, 100) <= 2, "each is decided on twice: 200 ms");
  });

  it("a thousand are told of theirs in as many looks as that takes, each once, while heartbeats come (U3)", () => {
    const world = setUp();
    world.says(...numbers);
    world.look();
    for (const region of world.book.regions.values()) region.wantCheckpoint();
    assert.equal(looksUntilTold(world, REGIONS), (2 * REGIONS) / 100);
    assert.equal(world.sent.length, REGIONS, "nobody is told twice before everybody was told");
  });

  it("asking goes first once: those that wait longest come next (U3)", () => {
    const ports = fakePorts();
    const { book, says, look, looked, clock } = setUp({}, ports);
    says(...numbers);
    look();
    book.turns.addAll();
    eachTakesOneMs(looked, clock);
    book.regions.get("region-500")!.wantCheckpoint();
    const named = (...all: number[]) => all.map((i) => `region-${i}`);
    assert.deepEqual(look(clock.monotonicMs() + 4), named(500, 500, 0, 1));
    book.turns.addAll();
    assert.deepEqual(look(clock.monotonicMs() + 3), named(2, 3, 4), "its checkpoint is open, and it waits like all");
  });

  it("looks at a region when its checkpoint is due, and not before (U1)", () => {
    const { book, says, look, clock } = setUp({ checkpointIntervalMs: 1_000n });
    void clock.freeze(500);
    book.regions.get("region-7")!.onRecord(record(1n)); // half a second later than the others
    says(...numbers);
    look();
    assert.equal(book.turns.dueMs, 1_000);
    void clock.freeze(500);
    assert.equal(new Set(look()).size, REGIONS - 1);
    assert.equal(book.turns.dueMs, 1_500, "those of the others are open");
    void clock.freeze(499);
    assert.deepEqual(look(), []);
    void clock.freeze(1);
    assert.deepEqual(look(), ["region-7", "region-7"], "once more with its checkpoint open");
  });

  it("regions that are placed in one look share what is free, which is added up once", () => {
    const { book, look, workers, addedUp } = setUp();
    for (const region of book.regions.values()) region.phase = "PLACING";
    workers.push(worker("w3", { memory: REGIONS / 2 }), worker("w4", { memory: REGIONS / 2 - 1 }));
    look();
    const on = (name: string) => [...book.regions.values()].filter(({ workers: own }) => own.has(name)).length;
    assert.deepEqual([on("w3"), on("w4")], [REGIONS / 2, REGIONS / 2 - 1]);
    const left = [...book.regions.values()].filter(({ phase }) => phase === "PLACING");
    assert.equal(left.length, 1, "one does not fit");
    assert.equal(addedUp(), 1);
  });

  it("one that fits nowhere is tried again when a worker was heard of, or on a heartbeat, and not at once (U4)", () => {
    const { book, look, workers } = setUp();
    book.regions.get("region-7")!.phase = "PLACING";
    look();
    assert.match(book.describe().message, /^no worker takes work/);
    assert.deepEqual(look(), [], "it would be tried for ever");
    book.turns.addUnplaced();
    assert.deepEqual(look(), ["region-7"]);
    book.turns.addAll();
    assert.equal(look().length, REGIONS);
    assert.deepEqual(look(), []);
    book.turns.addUnplaced();
    workers.push(worker("w3", { memory: 1 }));
    look();
    assert.equal(book.regions.get("region-7")!.phase, "DEPLOYING");
  });
});

const record = (number: bigint): RegionRecord => ({
  ...{ kind: "FENCE", job: spec.job, region: "r", number, term: 1n, attempt: 1, createdMs: 0n, actors: [] },
});

describe("coordinator/region-book: what makes a region be looked at (U1)", () => {
  const report = (about: Partial<ActorReport> = {}) => ({
    ...actor("read-0", "RUNNING", about),
    actor: "a",
    region: "r",
  });
  const snapshot = (one: string, attempt = 1) => {
    const about = {
      job: spec.job,
      region: "r",
      attempt,
      checkpoint: 2n,
      actor: one,
      finished: false,
      unaligned: false,
    };
    return { ...about, inline: new Uint8Array(), key: "", sha256: "", sizeBytes: 0n } satisfies Snapshot;
  };
  const open = (book: RegionBook) => {
    book.onLog([record(1n)]);
    book.openCheckpoint(2n);
  };

  const CHANGES: Readonly<
    Record<string, readonly [change: (book: RegionBook) => unknown, before?: (book: RegionBook) => unknown]>
  > = {
    "its phase": [(book) => (book.phase = "PLACING")],
    "a record was written": [(book) => (book.writing = false)],
    "a savepoint holds it": [(book) => (book.held = true)],
    "a savepoint wants a checkpoint": [(book) => book.wantCheckpoint()],
    "it is to rest": [(book) => book.pause(true)],
    "its log was read": [(book) => book.onLog([])],
    "an earlier leader's attempt": [(book) => book.inherit(3)],
    "a record of its log": [(book) => book.onRecord(record(1n))],
    "a checkpoint was opened": [(book) => book.openCheckpoint(2n)],
    "its next attempt": [(book) => book.restart({ code: "MILL_WORKER_LOST", message: "gone" })],
    "it was put to rest": [(book) => book.rest()],
    "it was placed": [(book) => book.place(new Map([["a", "w"]]))],
    "a host has deployed it": [(book) => book.onDeployed("h", 1)],
    "a host has started it": [(book) => book.onStarted("h", 1)],
    "an actor's first report": [(book) => book.onReport(report(), "h", "w")],
    "an actor's state": [
      (book) => book.onReport(report({ state: "FAILED" }), "h", "w"),
      (book) => book.onReport(report(), "h", "w"),
    ],
    "the last snapshot of a checkpoint": [
      (book) => book.onSnapshot(snapshot("b")),
      (book) => {
        open(book);
        book.onSnapshot(snapshot("a"));
      },
    ],
  };
  const SAME: typeof CHANGES = {
    "a host has deployed an earlier attempt": [(book) => book.onDeployed("h", 1), (book) => book.rest()],
    "a report as the one before": [
      (book) => book.onReport(report({ rowsRead: 9n }), "h", "w"),
      (book) => book.onReport(report(), "h", "w"),
    ],
    "a report of another attempt": [(book) => book.onReport(report({ attempt: 2 }), "h", "w")],
    "a snapshot, where others are awaited": [(book) => book.onSnapshot(snapshot("a")), open],
    "a snapshot that comes again": [
      (book) => book.onSnapshot(snapshot("a")),
      (book) => {
        open(book);
        book.onSnapshot(snapshot("a"));
      },
    ],
    "it goes on as it did": [(book) => book.pause(false)],
  };

  function changesOf([change, before]: (typeof CHANGES)[string]): number {
    let changes = 0;
    const book = new RegionBook("r", ["a", "b"], fakePorts().clock, 1, () => void changes++);
    before?.(book);
    changes = 0;
    change(book);
    return changes;
  }
  for (const [what, change] of Object.entries(CHANGES)) {
    it(what, () => assert.ok(changesOf(change) > 0, "and nobody looks"));
  }
  for (const [what, change] of Object.entries(SAME)) {
    it(`not: ${what}`, () => assert.equal(changesOf(change), 0));
  }
});
