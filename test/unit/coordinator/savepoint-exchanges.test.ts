/** What a savepoint keeps of a durable exchange's log. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { JobId, Namespace, OperatorId } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { ExchangeCursor } from "../../../src/connectors/exchange-cursor.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import type { JobBook } from "../../../src/coordinator/job-book.js";
import { keepExchange } from "../../../src/coordinator/savepoint-exchanges.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import {
  type ExchangeEntryHeader,
  exchangeEntryFrame,
  packEntries,
  unpackEntries,
} from "../../../src/wire/exchange-frames.js";
import { actorSnapshotFrame, type RegionRecord, type SourceState, sourceStateFrame } from "../../../src/wire/stored.js";
import { numbers } from "../actors/support.js";
import { fakePorts } from "./fake-ports.js";

const JOB = "job" as JobId;
const NAMESPACE = "test" as Namespace;
const LOG = jobSubjects(NAMESPACE, JOB).exchangeLog("between" as OperatorId, 0);
const split = { id: "between-0", payload: new Uint8Array(), rows: 0 };
const spec = {
  operator: "between",
  partitions: 1,
  readers: ["between-0"],
  writers: [
    { writer: "in-0", actor: "in-0" },
    { writer: "in-1", actor: "in-1" },
  ],
};
const regions = ["in-0", "in-1", "between-0"].map((actor) => [actor, { region: actor, actors: [actor] }] as const);
const book = { job: JOB, regions: new Map(regions) } as unknown as JobBook;

function recordOf(region: string, number: bigint, state?: Partial<SourceState>): RegionRecord {
  const at = { taken: 1n, ended: false, split, batches: 0n, position: null, started: [], ...state };
  const operators = [{ operator: "between", state: sourceStateFrame.encode(at) }];
  const counts = { rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n };
  const inline = actorSnapshotFrame.encode({ operators, parked: [], ...counts, blobs: [], contents: -1 });
  const actor = { actor: region, finished: false, inline, key: "", sha256: "", sizeBytes: 0n };
  return { kind: "COMMIT", job: JOB, region, number, term: 1n, attempt: 1, createdMs: 0n, actors: [actor] };
}

/** Two writers with three checkpoints each, in turn. The reader's snapshot says `state`; the writers' are of checkpoints 2 and 3. */
async function setUp(state: (cursor: ExchangeCursor) => Partial<SourceState>) {
  const ports = fakePorts();
  const [bus, store, contents] = [new MemoryBus(ports), new MemoryStore(), new MemoryStore()];
  const log = await bus.log(LOG);
  const cursor = new ExchangeCursor([], undefined);
  cursor.incarnation = await log.incarnation();
  for (const n of [1, 2, 3]) {
    for (const writer of ["in-0", "in-1"]) {
      const cut = { previous: BigInt(n - 1), batches: [numbers(n)], end: false };
      for (const entry of encodeEntries(writer, BigInt(n), cut)) {
        const sequence = await log.append(entry);
        if (n === 1) assert.equal([...cursor.take(sequence, entry)].length, 1);
      }
    }
  }
  const records = [recordOf("in-0", 2n), recordOf("in-1", 3n), recordOf("between-0", 5n, state(cursor))];
  const taken = new Map(records.map((record) => [record.region, record]));
  const keep = () => keepExchange(book, "half-way", spec, taken, { bus, store, contents, ports, namespace: NAMESPACE });
  const entriesOf = async (key: string) =>
    unpackEntries(await store.get(key)).entries.map((entry) => {
      const { writer, checkpoint } = exchangeEntryFrame.decode(entry).header;
      return `${writer} ${checkpoint}`;
    });
  return { bus, store, contents, log, keep, entriesOf };
}

const whole = (header: ExchangeEntryHeader, payload: Uint8Array) =>
  exchangeEntryFrame.encode({ ...header, index: 1 }, payload);

describe("coordinator/savepoint-exchanges: what is kept of a log", () => {
  it("from the reader's position on, up to each writer's checkpoint, in objects of the savepoint (V5)", async () => {
    const { log, keep, entriesOf } = await setUp((cursor) => ({ position: cursor.position }));
    await log.purgeBelow(3n); // the reader has let go of what it has passed
    const { operator, partitions } = await keep();
    const [{ next, last, objects, seeds }] = partitions as [(typeof partitions)[0]];
    assert.deepEqual([operator, next, last, objects.length, seeds], ["between", 3n, 6n, 1, 0]);
    assert.deepEqual(await entriesOf(objects[0]!.key), ["in-0 2", "in-1 2", "in-1 3"]);
    assert.ok(objects[0]!.key.startsWith("jobs/job/savepoint-exchanges/half-way/between/0/"));
  });

  it("all of it where the reader has begun nothing, and none where it has read to the end", async () => {
    const begun = await setUp(() => ({ taken: 0n, split: null }));
    const [all] = (await begun.keep()).partitions;
    assert.deepEqual([all!.next, (await begun.entriesOf(all!.objects[0]!.key)).length], [1n, 5]);
    const over = await setUp(() => ({ split: null }));
    assert.deepEqual((await over.keep()).partitions, [{ next: 1n, last: 0n, objects: [], seeds: 0 }]);
  });

  it("and the seeds before it that the reader has not passed", async () => {
    const { store, keep } = await setUp(() => ({ position: new ExchangeCursor([], undefined).positionIn(2n, 1) }));
    for (const number of [1n, 2n, 3n]) {
      const header = { operator: "between", partition: 0, number, last: number === 3n };
      await store.put(jobKeys(JOB).exchangeSeed("between", 0, number), packEntries(header, []));
    }
    const [kept] = (await keep()).partitions;
    assert.deepEqual([kept!.seeds, kept!.objects.length], [2, 3]);
    const numbersOf = await Promise.all(
      kept!.objects.slice(0, 2).map(async ({ key }) => unpackEntries(await store.get(key)).header.number),
    );
    assert.deepEqual(numbersOf, [2n, 3n]);
  });

  it("rows that lie beside the log, in their entries; not such as come again, whose bytes may be gone", async () => {
    const beside = await setUp((cursor) => ({ position: cursor.position }));
    const [entry] = encodeEntries("in-1", 3n, { previous: 3n, batches: [numbers(7)], end: false });
    const { header, payload } = exchangeEntryFrame.decode(entry!);
    const sha256 = createHash("sha256").update(payload).digest("hex");
    const content = { uri: `memory:/jobs/job/content/${sha256}`, sizeBytes: BigInt(payload.length), sha256 };
    await beside.log.append(exchangeEntryFrame.encode({ ...header, index: 1, content }));
    await beside.log.append(
      exchangeEntryFrame.encode({ ...header, checkpoint: 1n, content: { ...content, sha256: "" } }),
    );
    await beside.contents.put(jobKeys(JOB).contentTrash(sha256), payload); // nobody has named it for a while
    const { objects } = (await beside.keep()).partitions[0]!;
    assert.deepEqual(await beside.entriesOf(objects[0]!.key), ["in-0 2", "in-1 2", "in-1 3", "in-1 3"]);
    const kept = unpackEntries(await beside.store.get(objects[0]!.key)).entries.at(-1)!;
    assert.deepEqual(exchangeEntryFrame.decode(kept), exchangeEntryFrame.decode(whole(header, payload)));
    const lost = await setUp((cursor) => ({ position: cursor.position }));
    await lost.log.append(exchangeEntryFrame.encode({ ...header, index: 1, content }));
    await assert.rejects(lost.keep(), { code: "MILL_EXCHANGE_LOST", message: new RegExp(`the row ${sha256} is not`) });
    await lost.contents.put(jobKeys(JOB).content(sha256), Uint8Array.of(1));
    await assert.rejects(lost.keep(), { code: "MILL_EXCHANGE_LOST", message: /is another one/ });
  });

  it("or nothing, and an error says why: it was purged too far, or made anew (rule 13)", async () => {
    const purged = await setUp((cursor) => ({ position: cursor.position }));
    await purged.log.purgeBelow(4n);
    await assert.rejects(purged.keep(), { code: "MILL_EXCHANGE_LOST", message: /entries 4 to 6, not 3/ });
    const anew = await setUp((cursor) => ({ position: cursor.position }));
    await anew.bus.deleteLog(LOG);
    await anew.bus.log(LOG);
    await assert.rejects(anew.keep(), { code: "MILL_EXCHANGE_LOST", message: /made anew/ });
  });

  it("nor of a log that was deleted, which is not made anew for it", async () => {
    // Of a reader that has begun nothing, an empty log would hold all there is to keep.
    for (const taken of [0n, 1n]) {
      const { bus, keep } = await setUp((cursor) =>
        taken === 0n ? { taken, split: null } : { position: cursor.position },
      );
      await bus.deleteLog(LOG);
      await assert.rejects(keep(), { code: "MILL_EXCHANGE_LOST", message: /its log was deleted/ });
      await assert.rejects(bus.existingLog(LOG), { code: "MILL_BUS_LOG_GONE" });
    }
  });
});
