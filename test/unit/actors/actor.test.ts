/** The life of one actor, with the test at the other end of its channel. Snapshots in motion: `actor-checkpoint.test.ts`. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { Actor, type ActorState } from "../../../src/actors/actor.js";
import type { Cut, Restored } from "../../../src/actors/actor-options.js";
import type { ChannelItem, ChannelReceiver, ChannelSender } from "../../../src/actors/channel.js";
import { SplitEnumerator } from "../../../src/actors/split-enumerator.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { published, type SmallJobParts, SOURCE, smallJob } from "./small-job.js";
import { gate, noContent, noOutput, numbered, numbers, rows, within } from "./support.js";

const JOB = "job" as JobId;
const subjects = jobSubjects("test" as Namespace, JOB);

type Incoming = RecordBatch | bigint | undefined;

/** Both ends of a channel, and what was asked of each, in order. */
class TestChannel implements ChannelSender, ChannelReceiver {
  readonly local = true;
  readonly calls: string[] = [];
  readonly sent: RecordBatch[] = [];
  /** What `next` gives before the end: batches, and barriers by number. */
  readonly incoming: (Promise<Incoming> | Incoming)[] = [];

  async open(): Promise<void> {
    this.calls.push("open");
  }
  start(): void {
    this.calls.push("start");
  }
  offer(batch: RecordBatch): boolean {
    this.calls.push("offer");
    this.sent.push(batch);
    return true;
  }
  async room(): Promise<void> {}
  barrier(checkpoint: bigint): void {
    this.calls.push(`barrier ${checkpoint}`);
  }
  end(): void {
    this.calls.push("end");
  }
  async delivered(): Promise<void> {}
  async next(hold?: (batch: RecordBatch) => void): Promise<ChannelItem | undefined> {
    this.calls.push("next");
    const item = await this.incoming.shift();
    if (item === undefined) return undefined;
    if (typeof item === "bigint") return { kind: "barrier", checkpoint: item };
    hold?.(item);
    return { kind: "batch", batch: item };
  }
  async capture(): Promise<readonly RecordBatch[]> {
    return [];
  }
  queued() {
    return { batches: this.incoming.length, bytes: 0 };
  }
  close(): void {
    this.calls.push("close");
  }
}

interface BenchParts extends SmallJobParts {
  readonly attempt?: number;
  readonly restored?: Restored;
}

/** One of the two actors of a small job. */
class Bench {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly channel = new TestChannel();
  readonly states: ActorState["kind"][] = [];
  readonly cuts: Cut[] = [];
  readonly job: ReturnType<typeof smallJob>;
  readonly actor: Actor;

  constructor(which: "numbers-0" | "check-0", parts: BenchParts = {}) {
    this.job = smallJob(parts);
    const { topology, plan, letters } = this.job;
    this.actor = new Actor({
      topology,
      plan,
      actor: plan.actors.find(({ id }) => id === which)!,
      attempt: parts.attempt ?? 1,
      restored: parts.restored,
      bus: this.bus,
      subjects,
      ports: this.ports,
      content: noContent,
      outputFor: () => noOutput,
      deadLetterSink: letters,
      clientFor: () => assert.fail("there is no service"),
      senderFor: () => this.channel,
      receiverFor: () => this.channel,
      acknowledge: async (cut) => void this.cuts.push(cut),
      onChange: () => {
        if (this.states.at(-1) !== this.actor.state.kind) this.states.push(this.actor.state.kind);
      },
    });
  }

  /** Hands out the splits of the source. */
  async enumerate(): Promise<SplitEnumerator> {
    const [source] = this.job.topology.operators;
    assert.ok(source?.kind === "source");
    const enumerator = new SplitEnumerator({
      source: source.source,
      operator: SOURCE,
      subject: subjects.splits(SOURCE),
      readers: 1,
      rank: { term: 1n, attempt: 1 },
      bus: this.bus,
      store: new MemoryStore(),
      logKey: (number) => jobKeys(JOB).splitRecord(SOURCE, number),
      pageKey: (size, number) => jobKeys(JOB).splitPage(SOURCE, size, number),
      clock: this.clock,
      context: { content: noContent, log: this.ports.log, signal: new AbortController().signal },
    });
    await enumerator.open();
    return enumerator;
  }

  get kind(): ActorState["kind"] {
    return this.actor.state.kind;
  }
  get error(): MillraceError {
    const { state } = this.actor;
    return state.kind === "FAILED" ? state.error : assert.fail(`it is ${state.kind}`);
  }

  async run(): Promise<void> {
    await this.actor.open();
    await within("the actor to end", this.actor.start());
    await this.clock.settle();
  }

  /** The actor's part of a checkpoint. */
  async cut(checkpoint: bigint): Promise<Cut> {
    this.actor.trigger(checkpoint);
    await this.clock.settle();
    const cut = this.cuts.at(-1);
    assert.equal(cut?.checkpoint, checkpoint, `checkpoint ${checkpoint} was not acknowledged`);
    return cut!;
  }
}

describe("actors/actor: from open to published", () => {
  it("opens its input before the start, and takes nothing from it until then (A1)", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.actor.open();
    await bench.clock.settle();
    assert.deepEqual(bench.channel.calls, ["open"]);
    assert.equal(bench.kind, "DEPLOYED");
    await within("the actor to end", bench.actor.start());
    assert.deepEqual(bench.channel.calls.slice(0, 3), ["open", "start", "next"]);
  });

  it("opens its outputs before the start, and asks for no split until then (A1)", async () => {
    const bench = new Bench("numbers-0");
    let asked = 0;
    await bench.bus.subscribe(subjects.splits(SOURCE), () => void asked++);
    await bench.actor.open();
    await bench.clock.settle();
    assert.deepEqual([bench.channel.calls, asked], [["open"], 0]);
    void bench.actor.start();
    await bench.clock.settle();
    assert.equal(asked, 1);
    await bench.actor.stop();
  });

  it("reads every split, hands the rows on and says that they have ended before it is FINISHED (A5)", async () => {
    const bench = new Bench("numbers-0", { splits: [[1, 2], [3], [4]] });
    await bench.enumerate();
    const { calls, sent } = bench.channel;
    const atEnd: string[] = [];
    bench.channel.end = () => {
      calls.push("end");
      atEnd.push(bench.kind);
    };
    await bench.run();
    assert.equal(bench.kind, "FINISHED");
    assert.deepEqual(calls, ["open", "offer", "offer", "offer", "end"]);
    assert.deepEqual(atEnd, ["RUNNING"]);
    assert.deepEqual(rows(numbered, sent), [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
    assert.equal(bench.actor.counters.rowsRead, 4);
    assert.deepEqual(bench.states, ["RUNNING", "FINISHED"]);
  });

  it("is FINISHED only when its input has ended; nothing shows before its checkpoint is complete (A3, A5)", async () => {
    const end = gate();
    const bench = new Bench("check-0");
    bench.channel.incoming.push(
      numbers(1, 2),
      end.promise.then(() => undefined),
    );
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    assert.equal(bench.kind, "RUNNING");
    end.open();
    await within("the actor to end", started);
    assert.equal(bench.kind, "FINISHED");
    const cut = await bench.cut(1n);
    assert.equal(cut.finished, true);
    assert.deepEqual([published(bench.job.sink), bench.actor.published], [[], 0n]);
    await within("the publication", bench.actor.complete(1n));
    assert.deepEqual([published(bench.job.sink), bench.actor.published], [[2, 4], 1n]);
    assert.equal(bench.actor.counters.rowsWritten, 2);
  });

  it("waits for what its operators still hold (A5)", async () => {
    const slow = gate();
    const bench = new Bench("check-0", {
      double: async (n) => {
        await slow.promise;
        return 2 * n;
      },
    });
    bench.channel.incoming.push(numbers(1));
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    assert.equal(bench.kind, "RUNNING");
    slow.open();
    await within("the actor to end", started);
    await bench.cut(1n);
    await bench.actor.complete(1n);
    assert.deepEqual(published(bench.job.sink), [2]);
  });

  it("acknowledges a cut only when all of it is durable, and not as finished while more may come (A2)", async () => {
    const durable = gate();
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1), 1n, new Promise(() => {}));
    bench.job.sink.holds.set("prepare", durable.promise);
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    bench.actor.trigger(1n);
    await bench.clock.settle();
    assert.deepEqual(bench.cuts, [], "acknowledged before its sink had prepared");
    durable.open();
    await bench.clock.settle();
    assert.deepEqual(
      bench.cuts.map(({ actor, checkpoint, finished }) => [actor, checkpoint, finished]),
      [["check-0", 1n, false]],
    );
    await bench.actor.stop();
    await started;
  });

  it("sends its barrier after what was before the cut, and none when it has ended its outputs (A2)", async () => {
    const second = gate();
    const bench = new Bench("numbers-0", { reading: (split) => (split === 1 ? second.promise : Promise.resolve()) });
    await bench.enumerate();
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    await bench.cut(1n);
    second.open();
    await within("the actor to end", started);
    const last = await bench.cut(2n);
    assert.equal(last.finished, true);
    assert.deepEqual(bench.channel.calls, ["open", "offer", "barrier 1", "offer", "end"]);
  });

  it("asked before it is restored, it cuts as soon as it is: nobody has to ask again, a heartbeat later (A2)", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1), 2n, new Promise(() => {}));
    await bench.actor.open();
    bench.actor.trigger(1n);
    bench.actor.trigger(2n);
    const started = bench.actor.start();
    await bench.clock.settle();
    assert.deepEqual(
      bench.cuts.map(({ checkpoint }) => checkpoint),
      [2n],
    );
    await bench.actor.stop();
    await started;
  });

  it("asked for a checkpoint that it has cut, it acknowledges the same again (A2)", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    const first = await bench.cut(1n);
    assert.equal(await bench.cut(1n), first);
    assert.equal(bench.job.sink.asked("prepare"), 1);
  });

  it("publishes everything up to the checkpoint it is told of, oldest first, once (A3)", async () => {
    const second = gate();
    const bench = new Bench("check-0");
    bench.channel.incoming.push(
      numbers(1),
      1n,
      second.promise.then(() => numbers(2)),
    );
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    await bench.cut(1n);
    second.open();
    await within("the actor to end", started);
    await bench.cut(2n);
    await bench.cut(3n);
    assert.deepEqual(published(bench.job.sink), []);
    await bench.actor.complete(2n);
    assert.deepEqual([published(bench.job.sink), bench.actor.published], [[2, 4], 2n]);
    await bench.actor.complete(1n);
    await bench.actor.complete(2n);
    assert.equal(bench.actor.published, 2n);
    const commits = bench.job.sink.asked("commit");
    await bench.actor.complete(3n);
    assert.ok(bench.job.sink.asked("commit") <= commits + 1);
    assert.deepEqual(published(bench.job.sink), [2, 4]);
  });

  it("publishes once, told twice and while it is under way; before its start it publishes nothing (A3)", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.actor.complete(1n);
    assert.equal(bench.actor.published, 0n);
    await bench.run();
    await bench.cut(1n);
    const committing = gate();
    bench.job.sink.holds.set("commit", committing.promise);
    const both = Promise.all([bench.actor.complete(1n), bench.actor.complete(1n)]);
    await bench.clock.settle();
    assert.equal(bench.actor.published, 0n, "published before it was");
    committing.open();
    await within("both", both);
    await bench.actor.complete(1n);
    assert.equal(bench.job.sink.asked("commit"), 1);
    assert.equal(bench.actor.published, 1n);
  });

  it("a bad record is a dead letter that appears with its checkpoint; the others go on (A3, guarantee 7, rule 11)", async () => {
    const bench = new Bench("check-0", {
      double: (n) => {
        if (n === 2) throw new MillraceError("MILL_RECORD_INVALID", "two is bad");
        return 2 * n;
      },
    });
    bench.channel.incoming.push(numbers(1, 2, 3));
    await bench.run();
    await bench.cut(1n);
    assert.deepEqual([bench.kind, bench.job.letters.rows()], ["FINISHED", []]);
    await bench.actor.complete(1n);
    assert.deepEqual(published(bench.job.sink), [2, 6]);
    const [letter] = bench.job.letters.rows() as { operator: string; code: string; record: string }[];
    assert.deepEqual([letter?.operator, letter?.code, letter?.record], ["double", "MILL_RECORD_INVALID", '{"n":2}']);
    assert.equal(bench.actor.counters.deadLetters, 1);
  });

  it("a bad record fails the actor where the topology says so, naming operator and reason", async () => {
    const bench = new Bench("check-0", { double: () => assert.fail("all are bad"), badRecords: "fail" });
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    assert.equal(bench.error.code, "MILL_JOB_FAILED");
    assert.match(bench.error.message, /operator "double".*all are bad.*badRecords: "fail"/);
    assert.deepEqual(bench.job.letters.rows(), []);
  });
});

describe("actors/actor: another attempt", () => {
  /** What the first attempt would go on from: rows 1 and 2 are pending, in one checkpoint each. */
  async function leftBehind(finished: boolean): Promise<Cut> {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(
      numbers(1),
      1n,
      numbers(2),
      ...(finished ? [] : [2n, new Promise<undefined>(() => {})]),
    );
    await bench.actor.open();
    void bench.actor.start();
    await bench.clock.settle();
    const cut = await bench.cut(2n);
    await bench.actor.stop();
    assert.deepEqual(published(bench.job.sink), []);
    return cut;
  }

  it("publishes what its snapshot has pending, counts on from there, and goes on (A2, A3)", async () => {
    const bench = new Bench("check-0", { attempt: 2, restored: await leftBehind(false) });
    bench.channel.incoming.push(numbers(3));
    await bench.run();
    assert.deepEqual([published(bench.job.sink), bench.actor.published], [[2, 4], 2n]);
    assert.equal(bench.actor.counters.rowsWritten, 3);
    await bench.cut(4n);
    await bench.actor.complete(4n);
    assert.deepEqual(published(bench.job.sink), [2, 4, 6]);
  });

  it("one that was finished takes nothing from its inputs, and is finished again (A5)", async () => {
    const bench = new Bench("check-0", { attempt: 2, restored: await leftBehind(true) });
    bench.channel.incoming.push(numbers(3));
    await bench.run();
    assert.equal(bench.kind, "FINISHED");
    assert.ok(!bench.channel.calls.includes("next"));
    assert.deepEqual(published(bench.job.sink), [2, 4]);
    assert.equal((await bench.cut(4n)).finished, true);
  });

  it("one that was finished says so, also where it was asked before it is again (A2, A5)", async () => {
    const bench = new Bench("check-0", { attempt: 2, restored: await leftBehind(true) });
    await bench.actor.open();
    bench.actor.trigger(4n);
    await within("the actor to end", bench.actor.start());
    await bench.clock.settle();
    const [{ checkpoint, finished }] = bench.cuts as [Cut];
    assert.deepEqual([checkpoint, finished], [4n, true]);
  });

  it("without a snapshot it drops what the attempt before had staged, before it writes (A4)", async () => {
    const bench = new Bench("check-0", { attempt: 2 });
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    assert.deepEqual(
      bench.job.sink.calls.filter((call) => /^(open|recover)/.test(call)),
      ["open out 2", "recover out 0"],
    );
  });
});

describe("actors/actor: failing and stopping", () => {
  const mistake = () => {
    throw new TypeError("no such thing");
  };

  it("an operator's mistake fails the actor once, names it, keeps the cause, and drops what was written (A4)", async () => {
    const bench = new Bench("check-0", { check: mistake });
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    assert.equal(bench.error.code, "MILL_OPERATOR_FAILED");
    assert.match(bench.error.message, /"?check"?.*no such thing/s);
    assert.ok(bench.error.cause instanceof TypeError);
    await bench.actor.stop();
    await bench.actor.complete(1n);
    bench.actor.trigger(1n);
    await bench.clock.settle();
    assert.match(bench.error.message, /no such thing/, "a later error replaced the first");
    assert.deepEqual([bench.states, bench.cuts], [["RUNNING", "FAILED"], []]);
    assert.ok(bench.job.sink.asked("abort") > 0);
    assert.deepEqual(published(bench.job.sink), []);
    assert.ok(bench.channel.calls.includes("close"));
    assert.ok(!bench.channel.calls.includes("end"), "its end would be taken for the end of the rows");
  });

  it("a source whose enumerator is out of reach waits for the next one, and stops waiting when it is told to", async () => {
    const bench = new Bench("numbers-0", { splits: [[1], [2]] });
    const stopped = new Bench("numbers-0");
    await bench.actor.open();
    const started = bench.actor.start();
    const other = stopped.actor.start();
    await bench.clock.advance(limits.heartbeatTimeoutMs);
    await stopped.clock.settle();
    assert.equal(bench.kind, "RUNNING");
    await bench.enumerate();
    await bench.clock.advance(limits.splitRequestTimeoutMs);
    await within("the actor to end", started);
    assert.equal(bench.kind, "FINISHED");
    await stopped.actor.stop();
    await within("the other to end", other);
    await stopped.clock.settle();
    assert.match(stopped.error.message, /was told to stop/);
  });

  it("an input that breaks off fails it with what broke (A4)", async () => {
    const bench = new Bench("check-0");
    const gap = new MillraceError("MILL_CHANNEL_GAP", "frames 3 to 5 are lost");
    const broken = Promise.reject<undefined>(gap);
    broken.catch(() => {});
    bench.channel.incoming.push(numbers(1), broken);
    await bench.run();
    assert.equal(bench.error, gap);
    bench.actor.trigger(1n);
    await bench.clock.settle();
    assert.deepEqual(bench.cuts, []);
  });

  it("stopped while its sink opens: stays FAILED, and what was opened is let go of (A4)", async () => {
    const door = gate();
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    bench.job.sink.holds.set("open", door.promise);
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    const stopped = bench.actor.stop();
    await bench.clock.settle();
    door.open();
    await within("start and stop", Promise.all([started, stopped]));
    assert.deepEqual(bench.states, ["RUNNING", "FAILED"]);
    assert.match(bench.job.sink.calls.at(-1)!, /^abort/);
    await bench.actor.complete(1n);
    assert.deepEqual(published(bench.job.sink), []);
  });

  it("stopped while its sink prepares: the cut is not acknowledged, and nothing shows (A2, A4)", async () => {
    const door = gate();
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    bench.job.sink.holds.set("prepare", door.promise);
    bench.actor.trigger(1n);
    await bench.clock.settle();
    await within("the stop", bench.actor.stop());
    door.open();
    await bench.clock.settle();
    await bench.actor.complete(1n);
    assert.deepEqual(published(bench.job.sink), []);
    assert.deepEqual(bench.states, ["RUNNING", "FINISHED", "FAILED"]);
  });

  it("stopped while a row is being worked on: that row's end changes nothing any more (A4)", async () => {
    const slow = gate();
    const bench = new Bench("check-0", {
      double: async () => {
        await slow.promise;
        throw new Error("later");
      },
    });
    bench.channel.incoming.push(numbers(1));
    await bench.actor.open();
    const started = bench.actor.start();
    await bench.clock.settle();
    await within("the stop", bench.actor.stop());
    slow.open();
    await within("the start", started);
    await bench.clock.settle();
    assert.match(bench.error.message, /was told to stop/);
    assert.deepEqual(bench.states, ["RUNNING", "FAILED"]);
    assert.equal(bench.actor.counters.deadLetters, 0);
  });

  it("one that is FINISHED and told to stop publishes nothing, not even when it is told late that it may (A3)", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    await bench.cut(1n);
    await bench.actor.stop();
    await bench.actor.complete(1n);
    assert.equal(bench.kind, "FAILED");
    assert.deepEqual(published(bench.job.sink), []);
  });

  it("a publication that fails is the actor's failure (A4)", async () => {
    const broken = Promise.reject(new MillraceError("MILL_STORE_REFUSED", "no more writing here"));
    broken.catch(() => {});
    const bench = new Bench("check-0");
    bench.channel.incoming.push(numbers(1));
    await bench.run();
    await bench.cut(1n);
    bench.job.sink.holds.set("commit", broken);
    await bench.actor.complete(1n);
    assert.deepEqual([bench.error.code, bench.actor.published], ["MILL_STORE_REFUSED", 0n]);
  });

  it("told to stop before its start, it never starts", async () => {
    const bench = new Bench("check-0");
    await bench.actor.open();
    await bench.actor.stop();
    await bench.actor.start();
    assert.equal(bench.kind, "FAILED");
    assert.equal(bench.job.sink.asked("open"), 0);
  });
});

describe("actors/actor: what a cut says of itself", () => {
  it("that it did not wait for a barrier, and that it did", async () => {
    const bench = new Bench("check-0");
    bench.channel.incoming.push(2n, new Promise(() => {}));
    await bench.actor.open();
    void bench.actor.start();
    await bench.clock.settle();
    assert.equal((await bench.cut(2n)).unaligned, false);
    bench.actor.trigger(3n);
    await bench.clock.advance(limits.barrierAlignmentMs);
    const { checkpoint, unaligned } = bench.cuts.at(-1)!;
    assert.deepEqual([checkpoint, unaligned], [3n, true]);
    await bench.actor.stop();
  });
});
