import assert from "node:assert/strict";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import type { ActorReport, Snapshot } from "../../../src/wire/control.js";
import type { RegionRecord } from "../../../src/wire/stored.js";
import { FakeClock } from "./fake-ports.js";

const actors = ["a", "b"];

function setUp() {
  const clock = new FakeClock();
  const book = new RegionBook("r", actors, clock);
  const facts = () =>
    book.facts(
      (host) => (host === "lost" ? undefined : { host, worker: "w", group: "", state: "up", failure: undefined }),
      false,
    );
  return { clock, book, facts };
}

const report = (actor: string, attempt: number, over: Partial<ActorReport> = {}): ActorReport => ({
  actor,
  region: "r",
  attempt,
  state: "RUNNING",
  published: 0n,
  sinksPublished: 0n,
  load: null,
  code: "",
  message: "",
  rowsRead: 0n,
  rowsWritten: 0n,
  rowsInFlight: 0n,
  deadLetters: 0n,
  ...over,
});

const snapshot = (actor: string, attempt: number, checkpoint: bigint): Snapshot =>
  ({
    job: "j",
    region: "r",
    attempt,
    checkpoint,
    actor,
    finished: true,
    inline: new Uint8Array(),
    key: "",
    sha256: "",
    sizeBytes: 0n,
  }) as Snapshot;

const record = (number: bigint, kind: RegionRecord["kind"], attempt: number, finished = false): RegionRecord => ({
  kind,
  job: "j",
  region: "r",
  number,
  term: 1n,
  attempt,
  createdMs: 0n,
  actors:
    kind === "FENCE"
      ? []
      : actors.map((actor) => ({ actor, finished, inline: new Uint8Array(), key: "", sha256: "", sizeBytes: 0n })),
});

describe("coordinator/region-book: facts of one region", () => {
  it("what an earlier or later attempt says changes nothing (C7, rule 9)", () => {
    const { book, facts } = setUp();
    book.onLog([]);
    book.place(new Map(actors.map((actor) => [actor, "w"])));
    book.settle(() => "h");
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    book.openCheckpoint(3n);
    for (const attempt of [1, 3]) {
      assert.equal(book.onReport(report("a", attempt), "h", "w"), false);
      assert.equal(book.onSnapshot(snapshot("a", attempt, 3n)), false);
      book.onDeployed("h", attempt);
      book.onStarted("h", attempt);
    }
    book.settle(() => "h");
    const [a] = facts().members;
    assert.deepEqual([a!.state, a!.acknowledged], [undefined, false]);
    assert.deepEqual(
      facts().hosts.map(({ deployed, started }) => [deployed, started]),
      [[false, false]],
    );
    assert.equal(book.onReport(report("a", 2), "h", "w"), true);
  });

  it("counts an acknowledgement of the open checkpoint once, of no other (C2)", () => {
    const { book, facts } = setUp();
    book.onLog([]);
    book.openCheckpoint(5n);
    assert.equal(book.onSnapshot(snapshot("a", 1, 4n)), false);
    assert.equal(book.onSnapshot(snapshot("a", 1, 5n)), false);
    assert.equal(book.onSnapshot(snapshot("a", 1, 5n)), false);
    assert.deepEqual(
      facts().members.map(({ acknowledged }) => acknowledged),
      [true, false],
    );
    assert.equal(book.onSnapshot(snapshot("b", 1, 5n)), true);
    assert.deepEqual(
      book.manifest().map(({ actor }) => actor),
      actors,
    );
  });

  it("a record closes what was open; a commit forgets failures (C1)", () => {
    const { book, facts } = setUp();
    book.onLog([record(1n, "FENCE", 1)]);
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    book.onRecord(record(2n, "FENCE", 2));
    book.openCheckpoint(3n);
    book.onRecord(record(3n, "COMMIT", 2, true));
    const { newest, committed, finished, open, failures } = facts();
    assert.deepEqual([newest, committed, finished, open, failures], [3n, 3n, true, undefined, 0]);
  });

  it("the failures in a row are those since the newest commit", () => {
    const { book, facts } = setUp();
    book.onLog([]);
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    assert.deepEqual([facts().failures, book.attempt], [2, 3]);
  });

  it("an unknown host counts as gone", () => {
    const { book, facts } = setUp();
    book.place(new Map(actors.map((actor) => [actor, "w"])));
    book.settle(() => "lost");
    assert.equal(facts().hosts[0]!.state, "gone");
  });
});

describe("coordinator/region-book: what an earlier leader has left", () => {
  it("actors of the newest attempt that tell of themselves are placed where they are (C8)", () => {
    const { book, facts } = setUp();
    book.onLog([record(1n, "FENCE", 1), record(2n, "FENCE", 2)]);
    assert.equal(facts().inherited, true);
    book.onReport(report("a", 2), "h1", "w1");
    const { members, hosts } = facts();
    assert.deepEqual(
      members.map(({ host, state }) => [host, state]),
      [
        ["h1", "RUNNING"],
        ["", undefined],
      ],
    );
    assert.deepEqual(
      hosts.map(({ host, deployed, started }) => [host, deployed, started]),
      [["h1", true, true]],
    );
  });

  it("an attempt that is taken over has its next checkpoint at once; one that begins anew, after its interval (C8)", () => {
    const { book, clock, facts } = setUp();
    book.onLog([record(1n, "FENCE", 1), record(2n, "COMMIT", 1)]);
    book.onRecord(record(3n, "FENCE", 1));
    assert.equal(facts().sinceCheckpointMs, Number.POSITIVE_INFINITY);
    book.onRecord(record(4n, "COMMIT", 1));
    assert.equal(facts().sinceCheckpointMs, 0);
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    void clock.freeze(500);
    book.onRecord(record(5n, "FENCE", 2));
    assert.equal(facts().sinceCheckpointMs, 0);
  });

  it("a zombie of the first attempt that reports before the log is read is not taken for the newest (C7, guarantee 8)", () => {
    const { book, facts } = setUp();
    for (const actor of actors) book.onReport(report(actor, 1), "zombie", "w");
    book.onLog([record(1n, "FENCE", 1), record(2n, "FENCE", 2)]);
    assert.equal(book.attempt, 2);
    assert.deepEqual(
      facts().members.map(({ host, state }) => [host, state]),
      [
        ["", undefined],
        ["", undefined],
      ],
    );
  });

  it("a listing that left out the newest records does not bring back an old attempt (C4, rule 1)", () => {
    const { book, facts } = setUp();
    book.onLog([]);
    assert.equal(facts().inherited, false);
    book.inherit(3);
    book.onRecord(record(1n, "FENCE", 3));
    assert.deepEqual([book.attempt, facts().inherited], [3, true]);
    book.inherit(2);
    assert.equal(book.attempt, 3);
    book.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    assert.deepEqual([book.attempt, facts().inherited], [4, false]);
  });
});
