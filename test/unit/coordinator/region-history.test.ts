import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import type { CheckpointDetail } from "../../../src/coordinator/describe.js";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import { RegionHistory } from "../../../src/coordinator/region-history.js";
import type { Snapshot } from "../../../src/wire/control.js";
import type { RegionRecord } from "../../../src/wire/stored.js";
import { FakeClock } from "./fake-ports.js";

const actors = ["a", "b"];
const inline = new Uint8Array();

function setUp() {
  const clock = new FakeClock();
  const book = new RegionBook("r", actors, clock);
  book.onLog([]);
  book.place(new Map(actors.map((actor) => [actor, "w"])));
  const snapshot = (actor: string, checkpoint: bigint, unaligned = false) => {
    const { attempt } = book;
    const about: Snapshot = {
      ...{ job: "j", region: "r", attempt, checkpoint, actor, finished: false },
      ...{ inline, key: "", sha256: "", sizeBytes: 100n, unaligned },
    };
    book.onSnapshot(about);
  };
  const record = (number: bigint, kind: RegionRecord["kind"]) => {
    const told = kind === "COMMIT" ? book.manifest() : [];
    const about = { job: "j", region: "r", term: 1n, attempt: book.attempt, createdMs: BigInt(clock.nowMs()) };
    book.onRecord({ kind, number, ...about, actors: told });
  };
  return { clock, book, snapshot, record };
}

describe("coordinator/region-book: what is told of checkpoints", () => {
  it("the open one: since when, and how many actors have acknowledged it", async () => {
    const { clock, book, snapshot } = setUp();
    assert.equal(book.detail().open, undefined);
    const triggeredMs = clock.nowMs();
    book.openCheckpoint(1n);
    await clock.advance(20);
    snapshot("a", 1n);
    assert.deepEqual(book.detail().open, { number: 1, triggeredMs, acknowledged: 1 });
  });

  it("a committed one: its times, size and actors, and whether some actor did not wait for a barrier", async () => {
    const { clock, book, snapshot, record } = setUp();
    const triggeredMs = clock.nowMs();
    book.openCheckpoint(1n);
    await clock.advance(250);
    snapshot("a", 1n);
    snapshot("b", 1n, true);
    record(1n, "COMMIT");
    const committed: CheckpointDetail = {
      ...{ number: 1, state: "COMMITTED", reason: "", triggeredMs, endedMs: triggeredMs + 250, durationMs: 250 },
      ...{ bytes: 200, actors: 2, attempt: 1, unaligned: true, asked: false },
    };
    assert.deepEqual(book.detail().checkpoints, [committed]);
    book.wantCheckpoint();
    book.openCheckpoint(2n);
    for (const actor of actors) snapshot(actor, 2n);
    record(2n, "COMMIT");
    const { checkpoints, open, committed: newest } = book.detail();
    assert.deepEqual([checkpoints.map(({ number }) => number), open, newest], [[2, 1], undefined, 2]);
    assert.deepEqual([checkpoints[0]!.asked, checkpoints[0]!.unaligned], [true, false]);
  });

  it("one that was given up: because actors were silent, or its region started again", async () => {
    const { book, snapshot, record } = setUp();
    book.openCheckpoint(1n);
    snapshot("a", 1n);
    record(1n, "FENCE");
    book.openCheckpoint(2n);
    book.restart({ code: "MILL_WORKER_LOST", message: "host h ended" });
    const told = book
      .detail()
      .checkpoints.map(({ number, state, reason, actors: some }) => [number, state, reason, some]);
    assert.deepEqual(told, [
      [2, "GIVEN_UP", "host h ended", 0],
      [1, "GIVEN_UP", "1 of 2 actors did not answer in time", 1],
    ]);
  });

  it("a fence where none was open is none, and those of an earlier leader have no trigger", () => {
    const { book, record } = setUp();
    record(1n, "FENCE");
    assert.deepEqual(book.detail().checkpoints, []);
    const about = { job: "j", region: "r", term: 1n, attempt: 1, createdMs: 7n };
    book.onRecord({ kind: "COMMIT", number: 2n, ...about, actors: [] });
    const [found] = book.detail().checkpoints;
    assert.deepEqual([found!.triggeredMs, found!.durationMs, found!.endedMs], [0, 0, 7]);
  });

  it("restarts: the attempt that began, when and why, the newest first", async () => {
    const { clock, book } = setUp();
    book.restart({ code: "MILL_WORKER_LOST", message: "first" });
    await clock.advance(1_000);
    book.restart({ code: "MILL_OPERATOR_FAILED", message: "second" });
    const atMs = clock.nowMs();
    assert.deepEqual(book.detail().restarts, [
      { attempt: 3, atMs, code: "MILL_OPERATOR_FAILED", message: "second" },
      { attempt: 2, atMs: atMs - 1_000, code: "MILL_WORKER_LOST", message: "first" },
    ]);
  });
});

describe("coordinator/region-history: bounds", () => {
  const one = (number: number) => ({ number }) as CheckpointDetail;

  it("keeps the newest checkpoints and restarts of a region", () => {
    const history = new RegionHistory(1);
    for (let i = 1; i <= 300; i++) {
      history.checkpoint(one(i));
      history.restart({ attempt: i, atMs: 0, code: "", message: "" });
    }
    assert.deepEqual([history.checkpoints.length, history.checkpoints[0]!.number], [limits.checkpointsListedMax, 300]);
    assert.deepEqual([history.restarts.length, history.restarts[0]!.attempt], [limits.restartsListedMax, 300]);
  });

  it("regions of a large job share the room, and each keeps at least one", () => {
    const keptOf = (regions: number) => {
      const history = new RegionHistory(regions);
      for (let i = 0; i < 300; i++) history.checkpoint(one(i));
      return history.checkpoints.length;
    };
    assert.equal(keptOf(10_000), Math.floor(limits.regionHistoryMax / 10_000));
    assert.equal(keptOf(10_000_000), 1);
  });
});
