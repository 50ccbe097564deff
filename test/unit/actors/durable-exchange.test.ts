/** Both sides of a durable exchange as actors of two regions, with the bus in memory and a coordinator of two calls. */
import assert from "node:assert/strict";
import { Actor } from "../../../src/actors/actor.js";
import type { Cut } from "../../../src/actors/actor-options.js";
import type { ActorId, JobId, Namespace, OperatorId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { Source } from "../../../src/topology/endpoints.js";
import { topology } from "../../../src/topology/topology.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { splitAssignmentFrame } from "../../../src/wire/control.js";
import { published, SmallSink } from "./small-job.js";
import { gate, isOpen, noContent, noOutput, range, until, within } from "./support.js";

const columns = { n: t.int32, filler: t.utf8 };
const LOG_BYTES = 2 * limits.exchangeEntryBytesMax;
const SUBJECTS = jobSubjects("test" as Namespace, "job" as JobId);
const HANDOVER = "handover" as OperatorId;

/** `batches` of one row each, of `rowBytes`, with `step` awaited before each. */
function setUp({ batches = 6, rowBytes = 10, step = async (_n: number): Promise<void> => {} } = {}) {
  const ports = realPorts(silentLog);
  const bus = new MemoryBus(ports);
  const sink = new SmallSink("out");
  const source: Source<typeof columns> = {
    kind: "test",
    columns,
    describe: "test",
    async *splits() {},
    async *read() {
      for (let n = 0; n < batches; n++) {
        await step(n);
        yield batchFromRows(columns, [{ n, filler: "x".repeat(rowBytes) }]);
      }
    },
  };
  const built = topology("durable", (job) =>
    job.read(source, { id: "in" }).durable({ id: HANDOVER, bytesMax: LOG_BYTES }).select("n").to(sink, { id: "out" }),
  ).build({});
  const plan = planTopology(built);
  const cuts = new Map<string, Cut>();

  async function listen(): Promise<void> {
    let asked = 0;
    await bus.subscribe(SUBJECTS.splits("in" as OperatorId), ({ replyTo }) => {
      const split = { id: "all", payload: new Uint8Array(), rows: batches };
      const none = { split: null, done: true, code: "", message: "", more: [] };
      void bus.publish(replyTo!, splitAssignmentFrame.encode(asked++ === 0 ? { ...none, split, done: false } : none));
    });
  }

  function actor(id: string, attempt = 1, restored?: Cut): Actor {
    const made = new Actor({
      plan,
      topology: built,
      actor: plan.actors.find((candidate) => candidate.id === (id as ActorId))!,
      attempt,
      restored,
      bus,
      subjects: SUBJECTS,
      ports,
      content: noContent,
      outputFor: () => noOutput,
      deadLetterSink: sink,
      clientFor: () => assert.fail("there is no service"),
      senderFor: () => assert.fail("there is no channel"),
      receiverFor: () => assert.fail("there is no channel"),
      acknowledge: async (cut) => void cuts.set(`${cut.actor} ${cut.checkpoint}`, cut),
      onChange: () => {},
    });
    return made;
  }

  /** Takes a checkpoint; whether it is committed is the test's business. */
  async function checkpoint(of: Actor, number: bigint): Promise<Cut> {
    const name = `${of.id} ${number}`;
    await until(`checkpoint ${name}`, () => {
      if (!cuts.has(name)) of.trigger(number);
      return cuts.has(name);
    });
    return cuts.get(name)!;
  }

  /** Checkpoints, each committed, until the actor has finished; the number of the next one, as many as it took. */
  async function readToTheEnd(reader: Actor): Promise<bigint> {
    let number = 1n;
    for (; !isFinished(reader)(); number++) {
      await checkpoint(reader, number);
      await reader.complete(number);
    }
    return number;
  }

  const log = () => bus.log(SUBJECTS.exchangeLog(HANDOVER, 0));
  return { listen, actor, checkpoint, readToTheEnd, log, sink };
}

const isFinished = (actor: Actor) => () => {
  if (actor.state.kind === "FAILED") throw actor.state.error;
  return actor.state.kind === "FINISHED";
};

describe("actors/durable-exchange: both ends", () => {
  it("rows are read when their checkpoint is committed, no sooner, and the readers end with the writers (X1)", async () => {
    const { listen, actor, checkpoint, log, sink } = setUp();
    await listen();
    const [writer, reader] = [actor("in-0"), actor("handover-0")];
    void writer.start();
    void reader.start();
    await until("the writer to finish", isFinished(writer));
    await checkpoint(writer, 1n);
    assert.equal(await (await log()).last(), 0n, "it is acknowledged, not committed");
    await writer.complete(1n);
    await until("the reader to finish", isFinished(reader));
    await checkpoint(reader, 1n);
    await reader.complete(1n);
    assert.deepEqual(published(sink), range(0, 6));
    assert.deepEqual(
      [writer.counters.rowsWritten, reader.counters.rowsRead],
      [0, 0],
      "rows in between are not counted",
    );
  });

  it("the log is let go of up to the position of the reader's committed checkpoint, no further", async () => {
    const holds = range(0, 4).map(() => gate());
    const { listen, actor, checkpoint, log } = setUp({ batches: 4, step: (n) => holds[n]!.promise });
    await listen();
    const [writer, reader] = [actor("in-0"), actor("handover-0")];
    void writer.start();
    void reader.start();
    for (const n of [1, 2, 3]) {
      holds[n - 1]!.open();
      await until(`row ${n} to be read`, () => writer.counters.rowsRead === n);
      await checkpoint(writer, BigInt(n));
      await writer.complete(BigInt(n));
      await until(`row ${n} to be written`, () => reader.counters.rowsWritten === n);
      await checkpoint(reader, BigInt(n));
    }
    assert.equal(await (await log()).first(), 1n, "acknowledged checkpoints let nothing go");
    await reader.complete(2n);
    assert.equal(await (await log()).first(), 3n);
    const cut = await checkpoint(reader, 4n);
    await reader.stop();
    const next = actor("handover-0", 2, { ...cut });
    void next.start();
    await checkpoint(next, 5n);
    assert.equal(await (await log()).first(), 4n, "what it is restored from is committed");
    assert.equal(await (await log()).last(), 3n);
    await Promise.all([writer.stop(), next.stop()]);
  });
});

describe("actors/durable-exchange: a log that is full (X5)", () => {
  const large = { batches: 8, rowBytes: limits.exchangeEntryBytesMax - 1_000 };

  /** A writer that has published what fits, and waits with the rest. */
  async function waiting() {
    const all = setUp(large);
    await all.listen();
    const writer = all.actor("in-0");
    void writer.start();
    await until("the writer to finish", isFinished(writer));
    const cut = await all.checkpoint(writer, 1n);
    const completing = writer.complete(1n);
    const log = await all.log();
    let last = 0n;
    await until("the log to be full", () => {
      void log.last().then((now) => {
        last = now;
      });
      return last >= 1n;
    });
    assert.ok(await isOpen(completing));
    return { ...all, writer, cut, completing };
  }

  it("keeps a checkpoint's publication waiting, and no later checkpoint", async () => {
    const { actor, checkpoint, readToTheEnd, writer, completing, sink } = await waiting();
    await checkpoint(writer, 2n);
    assert.equal(writer.published, 0n);
    assert.equal(writer.sinksPublished, 1n, "its sinks, the dead letters, have nothing to wait for");
    const reader = actor("handover-0");
    void reader.start();
    const next = await readToTheEnd(reader);
    await within("the publication", completing);
    await checkpoint(reader, next);
    await reader.complete(next);
    assert.equal(writer.published, 1n);
    assert.deepEqual(published(sink), range(0, large.batches));
  });

  it("does not keep an actor from stopping, while it publishes", async () => {
    const { writer, completing } = await waiting();
    await within("the actor to stop", writer.stop());
    await within("the publication to end", completing);
    assert.equal(writer.state.kind, "FAILED");
  });

  it("keeps the next attempt from nothing: it takes checkpoints, stops, and the last one publishes what is left, once", async () => {
    const { actor, checkpoint, readToTheEnd, cut, writer, sink } = await waiting();
    await writer.stop();
    const second = actor("in-0", 2, cut);
    void second.start();
    const later = await checkpoint(second, 2n);
    assert.equal(second.published, 0n);
    await within("the actor to stop", second.stop());
    const third = actor("in-0", 3, later);
    void third.start();
    const reader = actor("handover-0");
    void reader.start();
    const next = await readToTheEnd(reader);
    await until("the third attempt to publish", () => third.published === 2n);
    await checkpoint(reader, next);
    await reader.complete(next);
    assert.deepEqual(published(sink), range(0, large.batches));
  });
});
