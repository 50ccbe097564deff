/** What keeps the rows that lie beside a log, and what they refer to. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { JobId, Namespace, OperatorId } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import { ContentRoots, type JobFlow } from "../../../src/coordinator/content-roots.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { exchangeEntryFrame, exchangePositionFrame } from "../../../src/wire/exchange-frames.js";
import { actorSnapshotFrame, type RegionRecord, sourceStateFrame } from "../../../src/wire/stored.js";
import { fakePorts } from "./fake-ports.js";

const JOB = "job" as JobId;
const NAMESPACE = "test" as Namespace;
const keys = jobKeys(JOB);
const LOG = jobSubjects(NAMESPACE, JOB).exchangeLog("log" as OperatorId, 0);
const hashOf = (letter: string) => letter.repeat(64);
const split = { id: "log-0", payload: new Uint8Array(), rows: 0 };

class Bench {
  readonly ports = fakePorts();
  readonly store = new MemoryStore();
  readonly bus = new MemoryBus(this.ports);
  readonly prefix = `${this.store.url}/${keys.content("")}`;
  /** Newest entry of writer `w-0` that the reader's newest commit has handed on: (checkpoint, 0). */
  passed = 0n;
  /** Of the writer's newest commit. */
  attempt = 1;
  readonly roots = new ContentRoots(this.prefix, {
    ...{ bus: this.bus, store: this.store, contents: this.store, namespace: NAMESPACE, ports: this.ports },
    outputAt: () => undefined,
  });

  /** Entries of checkpoint 1, 2, ...: a row that refers to the letter, and lies beside the log. @returns hashes of the rows */
  async append(...letters: string[]): Promise<string[]> {
    const log = await this.bus.log(LOG);
    const hashes: string[] = [];
    for (const [i, letter] of letters.entries()) {
      const about = { offset: 0n, sizeBytes: 1n, sha256: "", mediaType: "", bytes: null };
      const batch = batchFromRows({ page: t.document }, [{ page: { uri: this.prefix + hashOf(letter), ...about } }]);
      const cut = { previous: BigInt(i), batches: [batch], end: false };
      const { header, payload } = exchangeEntryFrame.decode(encodeEntries("w-0", BigInt(i + 1), cut)[0]!);
      const sha256 = createHash("sha256").update(payload).digest("hex");
      const content = { uri: this.prefix + sha256, sizeBytes: BigInt(payload.length), sha256 };
      await this.store.put(keys.content(sha256), payload);
      await log.append(exchangeEntryFrame.encode({ ...header, content }));
      hashes.push(sha256);
    }
    return hashes;
  }

  async read(): Promise<string[]> {
    const commits = () => [this.#commit("w-0"), this.#commit("r-0", this.#position())];
    const writers = [{ writer: "w-0", actor: "w-0" }];
    const flow: JobFlow = {
      ...{ job: JOB, ended: false, commits, isFinished: () => false, taken: () => [] },
      exchanges: [{ operator: "log", partitions: 1, readers: ["r-0"], writers }],
    };
    return [...(await this.roots.read(flow)).rooted.keys()].sort();
  }

  /** It reads the log from its begin on: what is dropped is known by its number. */
  #position(): Uint8Array {
    const writers =
      this.passed === 0n ? [] : [{ writer: "w-0", checkpoint: this.passed, index: 0, last: true, ended: false }];
    const position = exchangePositionFrame.encode({ next: 1n, writers, seed: 0n, seedBatches: 0, incarnation: "" });
    return sourceStateFrame.encode({ taken: 1n, ended: false, split, batches: 1n, position, started: [] });
  }

  #commit(actor: string, state?: Uint8Array): RegionRecord {
    const operators = state === undefined ? [] : [{ operator: "log", state }];
    const counts = { rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n };
    const inline = actorSnapshotFrame.encode({ operators, parked: [], ...counts, blobs: [], contents: -1 });
    const one = { actor, finished: false, inline, key: "", sha256: "", sizeBytes: 0n };
    const base = { kind: "COMMIT", job: JOB, region: `region-${actor}`, number: 1n, term: 1n } as const;
    return { ...base, attempt: this.attempt, createdMs: 0n, actors: [one] };
  }
}

describe("coordinator/content-roots: a log that is not there", () => {
  it("is an error once a writer has committed (Q6), and is not made anew: its job may have ended", async () => {
    const bench = new Bench();
    await assert.rejects(bench.read(), { code: "MILL_BUS_LOG_GONE" });
    await assert.rejects(bench.bus.existingLog(LOG), { code: "MILL_BUS_LOG_GONE" });
  });

  it("holds nothing yet where the job began from a savepoint, and its writers will make it", async () => {
    const bench = new Bench();
    bench.attempt = 0;
    assert.deepEqual(await bench.read(), []);
    await assert.rejects(bench.bus.existingLog(LOG), { code: "MILL_BUS_LOG_GONE" });
  });
});

describe("coordinator/content-roots: rows beside a log", () => {
  it("are kept, and what they refer to, until their reader's committed position has passed them (Q5)", async () => {
    const bench = new Bench();
    const [a, b] = await bench.append("a", "b");
    assert.deepEqual(await bench.read(), [a, b, hashOf("a"), hashOf("b")].sort());
    bench.passed = 1n;
    assert.deepEqual(await bench.read(), [b, hashOf("b")].sort());
  });

  it("are read once (Q7), and from the trash, too", async () => {
    const bench = new Bench();
    const [a] = await bench.append("a");
    await bench.store.move(keys.content(a!), keys.contentTrash(a!));
    assert.deepEqual(await bench.read(), [a, hashOf("a")].sort());
    await bench.store.delete(keys.content(a!));
    await bench.store.delete(keys.contentTrash(a!));
    assert.deepEqual(await bench.read(), [a, hashOf("a")].sort(), "from memory");
  });

  it("that are gone are an error (Q6), unless the reader has passed them: before, or meanwhile", async () => {
    const bench = new Bench();
    const [a, b] = await bench.append("a", "b");
    await bench.store.delete(keys.content(a!));
    await assert.rejects(bench.read(), { code: "MILL_STORE_NOT_FOUND" });
    bench.passed = 1n;
    assert.deepEqual(await bench.read(), [b, hashOf("b")].sort(), "before");
    const other = new Bench();
    const [c, d] = await other.append("c", "d");
    await other.store.delete(keys.content(c!));
    const get = other.store.get.bind(other.store);
    other.store.get = async (key, options) => {
      if (key === keys.content(c!)) other.passed = 1n;
      return get(key, options);
    };
    assert.deepEqual(await other.read(), [d, hashOf("d")].sort(), "meanwhile");
  });
});
