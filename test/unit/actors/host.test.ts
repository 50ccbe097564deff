import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Host } from "../../../src/actors/host.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { ChannelId, HostId, JobId, Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import type { Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects, jobSubjects } from "../../../src/bus/subjects.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import {
  acknowledgementFrame,
  completeFrame,
  deployEnumeratorFrame,
  deployFrame,
  type HostReport,
  type Snapshot,
  startFrame,
  stopHostFrame,
  stopRegionFrame,
  triggerFrame,
} from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { regionRecordFrame } from "../../../src/wire/stored.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { published, type SmallJobParts, SOURCE, smallJob } from "./small-job.js";
import { gate, isOpen, noContent, noOutput, within } from "./support.js";

const namespace = "test" as Namespace;
const job = "job" as JobId;
const subjects = jobSubjects(namespace, job);
const keys = jobKeys(job);
const ACTORS = ["numbers-0", "check-0"];

interface Parts extends SmallJobParts {
  /** Awaited before a subscription to that subject is made. */
  readonly subscribing?: (subject: string) => Promise<void>;
}

interface About {
  readonly actors?: readonly string[];
  readonly checkpoint?: bigint;
  readonly term?: bigint;
  readonly attempt?: number;
  readonly region?: string;
}

class Bench {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly store = new MemoryStore();
  readonly reports: HostReport[] = [];
  readonly snapshots: Snapshot[] = [];
  readonly parts: ReturnType<typeof smallJob>;
  readonly region: string;
  readonly host: Host;

  constructor(parts: Parts = {}) {
    this.parts = smallJob(parts);
    const slow: Bus = Object.create(this.bus, {
      subscribe: {
        value: async (...args: Parameters<Bus["subscribe"]>) => {
          await parts.subscribing?.(args[0]);
          return this.bus.subscribe(...args);
        },
      },
    });
    const { topology, plan, letters } = this.parts;
    this.region = plan.regions[0]!.id;
    this.host = new Host({
      bus: parts.subscribing === undefined ? this.bus : slow,
      store: this.store,
      ports: this.ports,
      namespace,
      job,
      host: "h1" as HostId,
      topology,
      plan,
      content: noContent,
      outputFor: () => noOutput,
      deadLetterSink: letters,
    });
  }

  async open(): Promise<this> {
    await this.bus.subscribe(clusterSubjects(namespace).coordinatorReport, ({ payload }) => {
      const { kind, header } = decodeFrame(payload);
      if (kind === "host-report") this.reports.push(header as HostReport);
      else this.snapshots.push(header as Snapshot);
    });
    await this.host.open();
    await this.clock.settle();
    return this;
  }

  ask(frame: Uint8Array): Promise<{ code: string; message: string }> {
    const answer = this.bus.request(subjects.hostCommand("h1" as HostId), frame);
    return answer.then(({ payload }) => acknowledgementFrame.decode(payload).header);
  }
  async tell(frame: Uint8Array): Promise<{ code: string; message: string }> {
    const answer = this.ask(frame);
    await this.clock.settle();
    return within("an acknowledgement", answer);
  }

  #base({ term = 1n, attempt = 1, region = this.region }: About) {
    return { term, job, region, attempt };
  }
  enumerate(about: { source?: string; attempt?: number; term?: bigint } = {}) {
    const { source = SOURCE, attempt = 1, term = 1n } = about;
    return deployEnumeratorFrame.encode({ term, job, source, attempt });
  }
  deploy(about: About = {}) {
    const { actors = ACTORS, checkpoint = 0n } = about;
    return deployFrame.encode({ ...this.#base(about), actors, checkpoint });
  }
  start(about: About = {}) {
    return startFrame.encode(this.#base(about));
  }
  trigger(checkpoint: bigint, about: About = {}) {
    return triggerFrame.encode({ ...this.#base(about), checkpoint, traceparent: "" });
  }
  complete(checkpoint: bigint, about: About = {}) {
    return completeFrame.encode({ ...this.#base(about), checkpoint });
  }
  stop(about: About = {}) {
    return stopRegionFrame.encode(this.#base(about));
  }

  /** Deployed and started, with somebody to hand out splits. */
  async running(): Promise<this> {
    await this.open();
    for (const frame of [this.enumerate(), this.deploy(), this.start()]) {
      assert.deepEqual(await this.tell(frame), { code: "", message: "" });
    }
    return this;
  }

  /** Snapshots of a checkpoint. */
  async cut(checkpoint: bigint, about: About = {}): Promise<Snapshot[]> {
    const before = this.snapshots.length;
    assert.equal((await this.tell(this.trigger(checkpoint, about))).code, "");
    await this.clock.advance(limits.barrierAlignmentMs);
    return this.snapshots.slice(before);
  }

  /** The record of these snapshots is in the region's log. */
  async commit(number: bigint, snapshots: readonly Snapshot[]): Promise<void> {
    const record = { kind: "COMMIT", job, region: this.region, number, term: 1n, attempt: 1, createdMs: 0n } as const;
    await this.store.put(
      keys.regionRecord(this.region, number),
      regionRecordFrame.encode({ ...record, actors: snapshots }),
    );
  }

  get last(): HostReport {
    return this.reports.at(-1)!;
  }
  get states(): string[] {
    return this.last.actors.map(({ actor, attempt, state }) => `${actor} ${attempt} ${state}`).sort();
  }
}

describe("actors/host: deploying", () => {
  it("runs the actors it was given from deploy to the last checkpoint, and reports each step (T2, T4)", async () => {
    const bench = await new Bench({ splits: [[1, 2], [3]] }).running();
    await bench.clock.advance(limits.hostReportIntervalMs);
    assert.deepEqual(bench.states, ["check-0 1 FINISHED", "numbers-0 1 FINISHED"]);
    const snapshots = await bench.cut(2n);
    assert.deepEqual(
      snapshots.map(({ actor, attempt, checkpoint, finished }) => [actor, attempt, checkpoint, finished]).sort(),
      [
        ["check-0", 1, 2n, true],
        ["numbers-0", 1, 2n, true],
      ],
    );
    assert.deepEqual(published(bench.parts.sink), []);
    assert.equal((await bench.tell(bench.complete(2n))).code, "");
    assert.deepEqual(published(bench.parts.sink), [2, 4, 6]);
    assert.deepEqual(
      bench.last.actors.map((actor) => actor.published),
      [2n, 2n],
    );
    assert.equal(bench.last.rowsTotal, 3n);
    const [read, written] = ACTORS.map((id) => bench.last.actors.find(({ actor }) => actor === id));
    assert.deepEqual([read?.rowsRead, written?.rowsWritten], [3n, 3n]);
    assert.equal((await bench.tell(bench.stop())).code, "");
    assert.deepEqual(bench.last.actors, []);
    await bench.host.close();
  });

  it("acknowledges a Deploy only when every subscription is known to the server, asked again or not (T1)", async () => {
    const known = gate();
    const [channel] = smallJob().plan.channels;
    const { data } = subjects.channel(channel!.id as ChannelId, 1);
    const bench = await new Bench({
      subscribing: (subject) => (subject === data ? known.promise : Promise.resolve()),
    }).open();
    const frame = bench.deploy({ actors: ["check-0"] });
    const first = bench.ask(frame);
    const again = bench.ask(frame);
    assert.ok(await isOpen(first), "acknowledged before the subscription was made");
    assert.ok(await isOpen(again), "the second time it was acknowledged too early");
    const early = bench.ask(bench.start());
    assert.ok(await isOpen(early), "started before it was deployed");
    assert.deepEqual(bench.states, []);
    known.open();
    await bench.clock.settle();
    for (const one of await within("all acknowledgements", Promise.all([first, again, early]))) {
      assert.equal(one.code, "");
    }
    assert.deepEqual(bench.states, ["check-0 1 RUNNING"]);
    await bench.host.close();
  });

  it("acknowledges an enumerator only when readers can ask it, asked again or not (T1)", async () => {
    const known = gate();
    const bench = await new Bench({
      subscribing: (subject) => (subject === subjects.splits(SOURCE) ? known.promise : Promise.resolve()),
    }).open();
    const asked = [bench.ask(bench.enumerate()), bench.ask(bench.enumerate())];
    for (const one of asked) assert.ok(await isOpen(one), "acknowledged too early");
    known.open();
    await bench.clock.settle();
    for (const one of await within("both", Promise.all(asked))) assert.equal(one.code, "");
    await bench.host.close();
  });

  it("refuses a Start, a trigger and a completion of what was never deployed (T1, T3)", async () => {
    const bench = await new Bench().open();
    for (const frame of [bench.start(), bench.trigger(1n), bench.complete(1n)]) {
      assert.equal((await bench.tell(frame)).code, "MILL_COMMAND_REFUSED");
    }
    assert.equal((await bench.tell(bench.stop())).code, "", "there is nothing to stop");
    await bench.host.close();
  });

  it("told twice, it starts, cuts and publishes once", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    await Promise.all([bench.tell(bench.start()), bench.tell(bench.start()), bench.tell(bench.deploy())]);
    await bench.clock.advance(limits.hostReportIntervalMs);
    await bench.cut(2n);
    await bench.cut(2n);
    await bench.tell(bench.complete(2n));
    await bench.tell(bench.complete(2n));
    assert.deepEqual(published(bench.parts.sink), [2]);
    assert.equal(bench.parts.sink.asked("commit"), 1);
    assert.equal(bench.last.rowsTotal, 1n);
    await bench.host.close();
  });

  it("an actor or a source that its plan does not have is MILL_PLAN_MISMATCH, and says which", async () => {
    const bench = await new Bench().open();
    const actor = await bench.tell(bench.deploy({ actors: ["numbers-0", "nobody-0"] }));
    assert.equal(actor.code, "MILL_PLAN_MISMATCH");
    assert.match(actor.message, /actor "nobody-0" in region/);
    assert.notEqual((await bench.tell(bench.start())).code, "", "half of a deployment was started");
    const source = await bench.tell(bench.enumerate({ source: "nothing" }));
    assert.equal(source.code, "MILL_PLAN_MISMATCH");
    assert.match(source.message, /source "nothing"/);
    await bench.host.close();
  });

  it("a deployment that failed is begun again when it is asked again", async () => {
    const bench = await new Bench().open();
    const get = bench.store.get.bind(bench.store);
    bench.store.get = () => Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "no store today"));
    assert.equal((await bench.tell(bench.deploy({ checkpoint: 2n }))).code, "MILL_STORE_UNREACHABLE");
    bench.store.get = get;
    assert.equal((await bench.tell(bench.deploy())).code, "");
    assert.deepEqual(bench.states, ["check-0 1 DEPLOYED", "numbers-0 1 DEPLOYED"]);
    await bench.host.close();
  });

  it("an enumerator that cannot be opened is opened when it is asked again", async () => {
    const bench = await new Bench().open();
    const get = bench.store.get.bind(bench.store);
    bench.store.get = () => Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "no store today"));
    assert.equal((await bench.tell(bench.enumerate())).code, "MILL_STORE_UNREACHABLE");
    bench.store.get = get;
    assert.equal((await bench.tell(bench.enumerate())).code, "");
    await bench.host.close();
  });

  it("refuses what is no command of a host and what is no frame, and goes on", async () => {
    const bench = await new Bench().open();
    const foreign = await bench.tell(stopHostFrame.encode({ term: 1n, job, host: "h1" }));
    assert.equal(foreign.code, "MILL_COMMAND_REFUSED");
    assert.match((await bench.tell(new Uint8Array([1]))).code, /^MILL_FRAME_/);
    assert.equal((await bench.tell(bench.deploy())).code, "");
    await bench.host.close();
  });
});

describe("actors/host: reports", () => {
  it("says hello, and then all there is on every heartbeat, each with a higher number (T2)", async () => {
    const bench = await new Bench().open();
    assert.deepEqual([bench.reports.length, bench.last.host, bench.last.actors], [1, "h1", []]);
    await bench.tell(bench.deploy());
    const before = bench.reports.length;
    await bench.clock.advance(3 * limits.hostReportIntervalMs);
    assert.equal(bench.reports.length, before + 3);
    assert.deepEqual(bench.states, ["check-0 1 DEPLOYED", "numbers-0 1 DEPLOYED"]);
    assert.ok(bench.reports.every((one, i) => i === 0 || one.sequence > bench.reports[i - 1]!.sequence));
    await bench.host.close();
  });

  it("reports a change without waiting for the heartbeat, changes of one turn together (T2)", async () => {
    const bench = await new Bench({ check: () => assert.fail("it does not check") }).open();
    await bench.tell(bench.enumerate());
    await bench.tell(bench.deploy());
    const before = bench.reports.length;
    await bench.tell(bench.start());
    const failed = bench.last.actors.find(({ actor }) => actor === "check-0");
    assert.deepEqual([failed?.state, failed?.code], ["FAILED", "MILL_OPERATOR_FAILED"]);
    assert.match(failed!.message, /it does not check/);
    assert.ok(bench.reports.length - before <= 4, `${bench.reports.length - before} reports of a few changes`);
    await bench.host.close();
  });

  it("says how its actors spend their time once in a second, not in every report", async () => {
    const bench = await new Bench().running();
    await bench.clock.advance(3_000);
    const told = bench.reports.filter(({ actors }) => actors.some(({ load }) => load !== null)).length;
    assert.ok(told >= 3 && told <= 5, `${told} of ${bench.reports.length} reports in 3 s had loads`);
    assert.ok(bench.reports.length >= 3 * told);
    await bench.host.close();
  });

  it("loads count the rows of each operator, the time it worked and what waits on its channels", async () => {
    const doubled = gate();
    const double = async (n: number) => {
      await doubled.promise;
      return 2 * n;
    };
    const bench = await new Bench({ splits: [[1, 2], [3], [4], [5]], double }).running();
    await bench.clock.advance(2_000);
    const load = (id: string) =>
      bench.reports.flatMap(({ actors }) => actors).findLast(({ actor, load: own }) => actor === id && own !== null)!
        .load!;
    const check = load("check-0");
    assert.deepEqual(
      load("numbers-0").operators.map(({ operator, rowsIn, rowsOut }) => [operator, rowsIn, rowsOut]),
      [["numbers", 0n, 5n]],
    );
    const { channels, queuedBatches, queuedBytes, ...edge } = check.inputs[0]!;
    assert.deepEqual([edge, channels, queuedBatches], [{ from: "numbers", to: "check" }, 1, 2]);
    assert.ok(queuedBytes > 0n);
    const time = new Map(check.operators.map((own) => [own.operator, own]));
    assert.ok(time.get("double")!.busyMs > 0.9 * check.forMs, "it waits for its own function");
    assert.ok(time.get("check")!.backPressuredMs > 0.9 * check.forMs, "it waits for the one behind it");
    assert.deepEqual([check.busyMs, time.get("out")!.rowsIn], [time.get("double")!.busyMs, 0n]);
    doubled.open();
    await bench.clock.advance(2_000);
    assert.deepEqual([load("check-0").inputs[0]!.queuedBatches, load("check-0").operators.at(-1)!.rowsIn], [0, 5n]);
    await bench.host.close();
  });

  it("closed, it stops its actors, drops what was not committed, says nothing more and leaves no timer", async () => {
    const bench = await new Bench({ reading: () => new Promise(() => {}) }).running();
    await within("the close", bench.host.close());
    const before = bench.reports.length;
    await bench.clock.advance(5 * limits.hostReportIntervalMs);
    assert.equal(bench.reports.length, before);
    assert.equal(bench.clock.waiting, 0);
    await assert.rejects(bench.ask(bench.complete(1n)), { code: "MILL_BUS_NO_RESPONDER" });
    assert.deepEqual(published(bench.parts.sink), []);
  });

  it("closed while it deploys, it starts nothing and ends", async () => {
    const known = gate();
    const bench = await new Bench({
      subscribing: (subject) => (subject.includes(".channel.") ? known.promise : Promise.resolve()),
    }).open();
    const asked = bench.ask(bench.deploy({ actors: ["check-0"] }));
    asked.catch(() => {});
    await bench.clock.settle();
    const closed = bench.host.close();
    known.open();
    await within("the close", closed);
    await bench.clock.settle();
    assert.equal(bench.clock.waiting, 0);
  });
});

describe("actors/host: terms and attempts", () => {
  it("refuses commands of an older term, and they change nothing (T3)", async () => {
    const bench = await new Bench().open();
    assert.equal((await bench.tell(bench.deploy({ term: 2n }))).code, "");
    for (const frame of [bench.start(), bench.stop(), bench.enumerate(), bench.deploy({ attempt: 2 })]) {
      const late = await bench.tell(frame);
      assert.equal(late.code, "MILL_TERM_OVER");
      assert.match(late.message, /term 1 is over; the coordinator of term 2 leads/);
    }
    assert.deepEqual(bench.states, ["check-0 1 DEPLOYED", "numbers-0 1 DEPLOYED"]);
    assert.equal((await bench.tell(bench.start({ term: 3n }))).code, "", "a newer one is followed");
    assert.equal((await bench.tell(bench.trigger(2n, { term: 2n }))).code, "MILL_TERM_OVER");
    assert.deepEqual(bench.snapshots, []);
    await bench.host.close();
  });

  it("refuses commands of another attempt than the region's, and they change nothing (T3)", async () => {
    const bench = await new Bench().open();
    await bench.tell(bench.enumerate());
    await bench.tell(bench.deploy({ attempt: 2 }));
    const others = [1, 3].flatMap((attempt) => {
      return [bench.start({ attempt }), bench.trigger(2n, { attempt }), bench.complete(2n, { attempt })];
    });
    for (const frame of [...others, bench.deploy({ attempt: 1 })]) {
      const refused = await bench.tell(frame);
      assert.equal(refused.code, "MILL_COMMAND_REFUSED");
      assert.match(refused.message, /is in attempt 2 here/);
    }
    await bench.tell(bench.stop({ attempt: 1 }));
    assert.deepEqual(bench.states, ["check-0 2 DEPLOYED", "numbers-0 2 DEPLOYED"]);
    await bench.host.close();
  });

  it("a deployment of a later attempt ends the earlier one, which says and publishes nothing any more (T3)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    await bench.clock.advance(limits.hostReportIntervalMs);
    await bench.commit(2n, await bench.cut(2n));
    assert.equal((await bench.tell(bench.deploy({ attempt: 2, checkpoint: 2n }))).code, "");
    assert.deepEqual(bench.states, ["check-0 2 DEPLOYED", "numbers-0 2 DEPLOYED"]);
    assert.equal((await bench.tell(bench.complete(2n))).code, "MILL_COMMAND_REFUSED");
    assert.deepEqual(published(bench.parts.sink), []);
    assert.equal((await bench.tell(bench.start({ attempt: 2 }))).code, "");
    await bench.clock.settle();
    assert.deepEqual(published(bench.parts.sink), [2], "what the commit had pending");
    assert.deepEqual(bench.states, ["check-0 2 FINISHED", "numbers-0 2 FINISHED"]);
    const snapshots = await bench.cut(4n, { attempt: 2 });
    assert.deepEqual([...new Set(snapshots.map(({ attempt }) => attempt))], [2]);
    await bench.tell(bench.complete(4n, { attempt: 2 }));
    assert.deepEqual(published(bench.parts.sink), [2]);
    await bench.host.close();
  });

  it("a later attempt waits until the one before has stopped, also while that one is still being deployed (T3)", async () => {
    const first = gate();
    const [channel] = smallJob().plan.channels;
    const { data } = subjects.channel(channel!.id as ChannelId, 1);
    const bench = await new Bench({
      subscribing: (subject) => (subject === data ? first.promise : Promise.resolve()),
    }).open();
    const one = bench.ask(bench.deploy({ actors: ["check-0"] }));
    await bench.clock.settle();
    const two = bench.ask(bench.deploy({ actors: ["check-0"], attempt: 2 }));
    await bench.clock.settle();
    first.open();
    await bench.clock.settle();
    await within("both", Promise.all([one, two]));
    assert.deepEqual(bench.states, ["check-0 2 DEPLOYED"]);
    assert.equal((await bench.tell(bench.start())).code, "MILL_COMMAND_REFUSED");
    assert.equal((await bench.tell(bench.start({ attempt: 2 }))).code, "");
    await bench.host.close();
  });

  it("a region told to stop drops what it had, and may be deployed again in a later attempt (T3)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    await bench.clock.advance(limits.hostReportIntervalMs);
    assert.equal((await bench.tell(bench.stop({ attempt: 2 }))).code, "", "what is to end includes earlier attempts");
    assert.deepEqual(bench.last.actors, []);
    assert.equal((await bench.tell(bench.deploy({ attempt: 3 }))).code, "");
    assert.deepEqual(bench.states, ["check-0 3 DEPLOYED", "numbers-0 3 DEPLOYED"]);
    await bench.host.close();
  });

  it("an enumerator of an older attempt does not replace the newer one", async () => {
    const bench = await new Bench({ splits: [[1]] }).open();
    await bench.tell(bench.enumerate({ attempt: 2 }));
    assert.equal((await bench.tell(bench.enumerate({ attempt: 1 }))).code, "");
    assert.equal((await bench.tell(bench.enumerate({ attempt: 3 }))).code, "");
    for (const frame of [bench.deploy(), bench.start()]) await bench.tell(frame);
    await bench.clock.advance(limits.hostReportIntervalMs);
    assert.deepEqual(bench.states, ["check-0 1 FINISHED", "numbers-0 1 FINISHED"]);
    assert.equal(bench.last.rowsTotal, 1n, "one of them counts");
    await bench.host.close();
  });
});

describe("actors/host: snapshots", () => {
  it("a small one rides in its message; a large one is an object that the message names (T4)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    bench.parts.sink.padding = 2 * limits.snapshotInlineBytesMax;
    await bench.clock.advance(limits.hostReportIntervalMs);
    const snapshots = await bench.cut(2n);
    const [small, large] = ACTORS.map((id) => snapshots.find(({ actor }) => actor === id)!) as [Snapshot, Snapshot];
    assert.deepEqual([small.key, small.sha256, BigInt(small.inline.length)], ["", "", small.sizeBytes]);
    assert.equal(large.key, keys.snapshot(bench.region, 2n, 1, "check-0"));
    assert.equal(large.inline.length, 0);
    const stored = await bench.store.get(large.key);
    assert.equal(BigInt(stored.length), large.sizeBytes);
    assert.equal(large.sha256, createHash("sha256").update(stored).digest("hex"));
    await bench.commit(2n, snapshots);
    for (const frame of [bench.deploy({ attempt: 2, checkpoint: 2n }), bench.start({ attempt: 2 })]) {
      assert.equal((await bench.tell(frame)).code, "");
    }
    assert.deepEqual(published(bench.parts.sink), [2]);
    await bench.host.close();
  });

  it("one of several chunks is stored in one object, and restored from it (T4)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    bench.parts.sink.padding = limits.snapshotChunkBytes + 1;
    await bench.clock.advance(limits.hostReportIntervalMs);
    const snapshots = await bench.cut(2n);
    const large = snapshots.find(({ actor }) => actor === "check-0")!;
    const stored = await bench.store.get(large.key);
    assert.ok(stored.length > limits.snapshotChunkBytes);
    assert.deepEqual(
      [large.sizeBytes, large.sha256],
      [BigInt(stored.length), createHash("sha256").update(stored).digest("hex")],
    );
    await bench.commit(2n, snapshots);
    const answers = [bench.tell(bench.deploy({ attempt: 2, checkpoint: 2n })), bench.clock.advance(1)] as const;
    assert.equal((await answers[0]).code, "");
    assert.equal((await bench.tell(bench.start({ attempt: 2 }))).code, "");
    assert.deepEqual(published(bench.parts.sink), [2]);
    await bench.host.close();
  });

  it("one that could not be stored is not told of; asked again it is stored (T4)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    bench.parts.sink.padding = 2 * limits.snapshotInlineBytesMax;
    await bench.clock.advance(limits.hostReportIntervalMs);
    const put = bench.store.put.bind(bench.store);
    bench.store.put = () => Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "no store today"));
    const first = await bench.cut(2n);
    assert.deepEqual(
      first.map(({ actor }) => actor),
      ["numbers-0"],
    );
    bench.store.put = put;
    const again = await bench.cut(2n);
    assert.ok(again.some(({ actor }) => actor === "check-0"));
    await bench.host.close();
  });

  it("one that is stored only after its region was stopped is not told of (T3, T4)", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    bench.parts.sink.padding = 2 * limits.snapshotInlineBytesMax;
    await bench.clock.advance(limits.hostReportIntervalMs);
    const stored = gate();
    const put = bench.store.put.bind(bench.store);
    bench.store.put = async (...args) => {
      await stored.promise;
      return put(...args);
    };
    await bench.cut(2n);
    await bench.tell(bench.stop());
    stored.open();
    await bench.clock.settle();
    assert.ok(!bench.snapshots.some(({ actor }) => actor === "check-0"));
    await bench.host.close();
  });

  it("a snapshot that is not what was written, and one that is missing, are MILL_STORE_CORRUPT and named", async () => {
    const bench = await new Bench({ splits: [[1]] }).running();
    bench.parts.sink.padding = 2 * limits.snapshotInlineBytesMax;
    await bench.clock.advance(limits.hostReportIntervalMs);
    const snapshots = await bench.cut(2n);
    await bench.commit(2n, snapshots);
    const { key } = snapshots.find((one) => one.key !== "")!;
    await bench.store.put(key, new Uint8Array(3));
    const changed = await bench.tell(bench.deploy({ attempt: 2, checkpoint: 2n }));
    assert.equal(changed.code, "MILL_STORE_CORRUPT");
    assert.ok(changed.message.includes(key), changed.message);
    await bench.commit(3n, snapshots.slice(0, 1));
    const missing = await bench.tell(bench.deploy({ attempt: 3, checkpoint: 3n }));
    assert.equal(missing.code, "MILL_STORE_CORRUPT");
    assert.match(missing.message, /checkpoint 3 of region .* has no snapshot of actor "/);
    const none = await bench.tell(bench.deploy({ attempt: 4, checkpoint: 9n }));
    assert.equal(none.code, "MILL_STORE_NOT_FOUND");
    await bench.host.close();
  });
});
