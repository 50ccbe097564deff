/** One job whose content is collected: what each kind of root keeps, when the rest goes, and who may do it. */
import assert from "node:assert/strict";
import type { JobId, Namespace, OperatorId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import { ContentCollector, type ContentJob, endedJob } from "../../../src/coordinator/content-collector.js";
import { OwnedContent } from "../../../src/storage/content-roots.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { encodeBatch, encodeSchema } from "../../../src/wire/arrow.js";
import { packHashes } from "../../../src/wire/content-hashes.js";
import { exchangeEntryFrame, exchangePositionFrame, packEntries } from "../../../src/wire/exchange-frames.js";
import {
  actorSnapshotFrame,
  type RegionRecord,
  savedAnswerFrame,
  savepointFrame,
  sourceStateFrame,
} from "../../../src/wire/stored.js";

const JOB = "job" as JobId;
const NAMESPACE = "test" as Namespace;
const keys = jobKeys(JOB);
const AGE = limits.contentAgeMsMin;
const columns = { page: t.document };
const hashOf = (letter: string) => letter.repeat(64);

class Bench {
  nowMs = 1_000_000;
  leads = true;
  commits: RegionRecord[] = [];
  finished = new Set<string>();
  taken: RegionRecord[] = [];
  exchanges: ContentJob["exchanges"] = [];
  /** When the newest commit of the only region was triggered. */
  fromMs: number | undefined = 1_000_000;
  readonly clock = {
    nowMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    after: () => ({ cancel() {} }),
    sleep: async () => {},
  };
  readonly ports = { clock: this.clock, random: { next: () => 0.5, id: () => "x" }, log: silentLog };
  readonly store = new MemoryStore(this.clock);
  readonly out = new MemoryStore(this.clock);
  readonly bus = new MemoryBus(this.ports);
  readonly prefix = `${this.store.url}/${keys.content("")}`;
  readonly collector = new ContentCollector({
    ...{ bus: this.bus, store: this.store, contents: this.store, namespace: NAMESPACE, ports: this.ports },
    outputAt: (url) => (url === "out" ? this.out : undefined),
    leads: async () => this.leads,
  });
  readonly job: ContentJob = {
    ...{ job: JOB, ended: false },
    exchanges: [],
    commits: () => this.commits,
    taken: () => this.taken,
    isFinished: (actor) => this.finished.has(actor),
    commitsFromMs: () => [this.fromMs],
  };

  async put(...letters: string[]): Promise<void> {
    for (const letter of letters) await this.store.put(keys.content(hashOf(letter)), Uint8Array.of(1));
  }

  batch(...letters: string[]) {
    const rows = letters.map((letter) => ({
      page: {
        uri: `${this.prefix}${hashOf(letter)}`,
        offset: 0n,
        sizeBytes: 1n,
        sha256: "",
        mediaType: "",
        bytes: null,
      },
    }));
    return batchFromRows(columns, rows);
  }

  /** Time goes on, and with it commits; enough for what nothing names to be put away, or to be purged. */
  async period(job: ContentJob = { ...this.job, exchanges: this.exchanges }) {
    this.nowMs += AGE + 1;
    await this.collector.collect(job);
    if (this.fromMs !== undefined) this.fromMs = this.nowMs;
    return this.collector.collect(job);
  }

  async left(): Promise<string> {
    const found: string[] = [];
    for (const prefix of [keys.content(""), keys.contentTrash("")]) {
      for await (const { key } of this.store.list(prefix)) {
        found.push(`${key.slice(prefix.length)[0]}${prefix === keys.content("") ? "" : " in the trash"}`);
      }
    }
    return found.join(", ");
  }
}

const snapshotOf = (contents: readonly string[], state?: Uint8Array) => {
  const operators = state === undefined ? [] : [{ operator: "log", state }];
  const counts = { rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n };
  const packed = packHashes(contents.map(hashOf));
  const header = { operators, parked: [], ...counts, blobs: [BigInt(packed.length)], contents: 0 };
  return actorSnapshotFrame.encode(header, [packed]);
};

const place = { finished: false, inline: new Uint8Array(), key: "", sha256: "", sizeBytes: 0n };

function commitOf(actor: string, inline: Uint8Array, key = ""): RegionRecord {
  const base = { kind: "COMMIT", job: JOB, region: `region-${actor}`, number: 1n, term: 1n, attempt: 1 } as const;
  return { ...base, createdMs: 0n, actors: [{ ...place, actor, inline, key }] };
}

/** As earlier versions cut what was too large for one entry. */
function inParts(entry: Uint8Array): Uint8Array[] {
  const { header, payload } = exchangeEntryFrame.decode(entry);
  const third = Math.ceil(payload.length / 3);
  return [0, 1, 2].map((index) =>
    exchangeEntryFrame.encode(
      { ...header, index, last: index === 2, more: index < 2, schema: index === 0 ? header.schema : null },
      payload.subarray(index * third, (index + 1) * third),
    ),
  );
}

describe("coordinator/content-collector: what keeps content", () => {
  it("nothing: it is put away, then purged, each once it is old (Q2, Q3)", async () => {
    const bench = new Bench();
    await bench.put("a");
    assert.equal((await bench.period()).putAway, 1);
    assert.equal(await bench.left(), "a in the trash");
    assert.equal((await bench.period()).purged, 1);
    assert.equal(await bench.left(), "");
  });

  it("a checkpoint, whose snapshots are in it or objects; one that a savepoint is being made of", async () => {
    const bench = new Bench();
    await bench.put("a", "b", "c", "d");
    await bench.store.put("snapshot", snapshotOf(["b"]));
    bench.commits = [commitOf("x", snapshotOf(["a"])), commitOf("y", new Uint8Array(), "snapshot")];
    bench.taken = [commitOf("z", snapshotOf(["c"]))];
    await bench.period();
    assert.equal(await bench.left(), "a, b, c, d in the trash");
  });

  it("a savepoint: its snapshots, and what it keeps of durable exchanges", async () => {
    const bench = new Bench();
    await bench.put("a", "b", "c");
    await bench.store.put("snapshot", snapshotOf(["a"]));
    const entries = encodeEntries("w-0", 1n, { previous: 0n, batches: [bench.batch("b")], end: false });
    await bench.store.put("kept", packEntries({ operator: "log", partition: 0, number: 1n, last: true }, entries));
    const object = { sha256: "", sizeBytes: 0n };
    const actors = [{ ...object, actor: "x", subtask: 0, key: "snapshot" }];
    const partitions = [{ next: 1n, last: 1n, objects: [{ ...object, key: "kept" }], seeds: 0 }];
    const about = { job: JOB, name: "s", topology: "", planHash: "", createdMs: 0n, operators: [], sources: [] };
    const regions = [{ region: "x", number: 1n, actors }];
    await bench.store.put(
      keys.savepoint("s"),
      savepointFrame.encode({ ...about, regions, exchanges: [{ operator: "log", partitions }] }),
    );
    await bench.period();
    assert.equal(await bench.left(), "a, b, c in the trash");
    await bench.period(endedJob(JOB));
    assert.equal(await bench.left(), "a, b", "also when the job has ended");
  });

  it("a saved answer, while the job goes on", async () => {
    const bench = new Bench();
    await bench.put("a");
    const answer = { code: "", message: "", schema: encodeSchema(bench.batch("a").schema) };
    const bytes = savedAnswerFrame.encode(answer, encodeBatch(bench.batch("a")));
    await bench.store.put(keys.savedAnswer("model", "00"), bytes);
    await bench.store.put(keys.savedAnswer("model", "any"), new Uint8Array());
    await bench.period();
    assert.equal(await bench.left(), "a");
    await bench.period(endedJob(JOB));
    assert.equal(await bench.left(), "a in the trash");
  });

  it("entries of a log that its reader's committed position has not passed, also such that are cut into several", async () => {
    const bench = new Bench();
    await bench.put("a", "b", "c", "d");
    const log = await bench.bus.log(jobSubjects(NAMESPACE, JOB).exchangeLog("log" as OperatorId, 0));
    const cut = (letter: string, checkpoint: bigint) =>
      encodeEntries("w-0", checkpoint, { previous: checkpoint - 1n, batches: [bench.batch(letter)], end: false });
    const passed = cut("a", 1n);
    const pieces = inParts(cut("b", 2n)[0]!);
    const half = pieces.slice(0, 2); // of a writer that died, and of the one that came after it
    for (const entry of [...passed, ...half, ...pieces, ...cut("c", 3n)]) await log.append(entry);
    bench.exchanges = [
      { operator: "log", partitions: 1, readers: ["r-0"], writers: [{ writer: "w-0", actor: "w-0" }] },
    ];
    const none = { writers: [], seed: 0n, seedBatches: 0, incarnation: "" };
    const position = exchangePositionFrame.encode({ next: 2n, ...none });
    const split = { id: "log-0", payload: new Uint8Array(), rows: 0 };
    const state = sourceStateFrame.encode({ taken: 1n, ended: false, split, batches: 1n, position, started: [] });
    bench.commits = [commitOf("w-0", snapshotOf([])), commitOf("r-0", snapshotOf([], state))];
    await bench.period();
    assert.equal(await bench.left(), "b, c, a in the trash, d in the trash");
    bench.finished.add("r-0");
    await bench.period();
    assert.equal(await bench.left(), "b in the trash, c in the trash", "it has read all");
  });

  describe("a published file", () => {
    const record = async (bench: Bench, url: string, name: string, ...letters: string[]) => {
      const contents = letters.map(hashOf);
      await new OwnedContent(bench.store, JOB).record("sink", `1-0-${letters[0]}`, { url, name, contents });
    };
    const records = async (bench: Bench) => {
      let count = 0;
      for await (const _ of bench.store.list(keys.contentRoots)) count += 1;
      return count;
    };

    it("as long as it is there; one that was deleted frees its content, and its record goes", async () => {
      const bench = new Bench();
      await bench.put("a", "b");
      await bench.out.put("sink-0-1.jsonl", Uint8Array.of(1));
      await record(bench, "out", "sink-0-1.jsonl", "a");
      await record(bench, "out", "sink-0-2.jsonl", "b");
      assert.equal((await bench.period()).recordsDeleted, 1);
      assert.equal(await bench.left(), "a, b in the trash");
      assert.equal(await records(bench), 1);
    });

    it("that nobody here can look at, or that has no name", async () => {
      const bench = new Bench();
      await bench.put("a", "b");
      await record(bench, "file:///elsewhere", "sink-0-1.jsonl", "a");
      await record(bench, "out", "", "b");
      await bench.period();
      await bench.period(endedJob(JOB));
      assert.equal(await bench.left(), "a, b");
    });

    it("that was not published by a job that has ended is kept until its record is old, and is left over until then", async () => {
      const bench = new Bench();
      await bench.put("a");
      await record(bench, "out", "sink-0-1.jsonl", "a");
      const { left, rooted } = await bench.collector.collect(endedJob(JOB));
      assert.deepEqual([left, rooted, await bench.left()], [1, 0, "a"]);
      await bench.period(endedJob(JOB));
      const { left: after } = await bench.period(endedJob(JOB));
      assert.deepEqual([after, await bench.left(), await records(bench)], [0, "", 0]);
    });

    it("that may be published yet, because a checkpoint names its content: the record stays, however old (Q10)", async () => {
      const bench = new Bench();
      await bench.put("a");
      await record(bench, "out", "sink-0-1.jsonl", "a");
      bench.commits = [commitOf("x", snapshotOf(["a"]))];
      await bench.period();
      await bench.period();
      await bench.out.put("sink-0-1.jsonl", Uint8Array.of(1));
      bench.commits = [commitOf("x", snapshotOf([]))];
      await bench.period();
      assert.equal(await bench.left(), "a");
    });
  });
});

describe("coordinator/content-collector: when the rest goes", () => {
  it("not before a commit that was triggered behind the last look (Q2, Q4, Q9)", async () => {
    const bench = new Bench();
    await bench.put("a");
    bench.nowMs += 10 * AGE;
    await bench.collector.collect(bench.job);
    assert.equal((await bench.collector.collect(bench.job)).putAway, 0, "the newest commit is as old as the content");
    bench.fromMs = undefined;
    const held = await bench.collector.collect(bench.job);
    assert.deepEqual([held.putAway, held.left], [0, 1]);
    assert.match(held.heldBy, /no checkpoint/);
    bench.fromMs = bench.nowMs;
    assert.equal((await bench.collector.collect(bench.job)).putAway, 1);
  });

  it("the coordinator's own clock says nothing (Q9)", async () => {
    const bench = new Bench();
    await bench.put("a");
    const late = { ...bench.ports, clock: { ...bench.clock, nowMs: () => bench.nowMs + 100 * AGE } };
    const other = new ContentCollector({
      ...{ bus: bench.bus, store: bench.store, contents: bench.store, namespace: NAMESPACE, ports: late },
      outputAt: () => undefined,
      leads: async () => true,
    });
    await other.collect(bench.job);
    bench.fromMs = bench.nowMs += 1;
    assert.equal((await other.collect(bench.job)).putAway, 0);
  });

  it("only by the leader (Q8), and not where it is only asked what would go", async () => {
    const bench = new Bench();
    await bench.put("a");
    await bench.collector.collect(endedJob(JOB));
    bench.nowMs += AGE + 1;
    assert.equal((await bench.collector.collect(endedJob(JOB), { dryRun: true })).putAway, 1);
    bench.leads = false;
    assert.equal((await bench.collector.collect(endedJob(JOB))).putAway, 0);
    assert.equal(await bench.left(), "a");
  });

  it("what a root names again comes back, and stays in the trash as well (Q1, Q11)", async () => {
    const bench = new Bench();
    await bench.put("a");
    await bench.period();
    bench.commits = [commitOf("x", snapshotOf(["a"]))];
    assert.equal((await bench.period()).broughtBack, 0, "the round before has");
    assert.equal(await bench.left(), "a, a in the trash");
  });
});
