/** One frame of each kind in `schemas/stored` with known content: what files under `test/golden/stored` are made from. */
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { encodeBatch } from "../../../src/wire/arrow.js";
import { packHashes } from "../../../src/wire/content-hashes.js";
import { packEntries } from "../../../src/wire/exchange-frames.js";
import * as stored from "../../../src/wire/stored.js";
import { GOLDEN } from "./golden-frames.js";

export interface GoldenStored {
  readonly title: string;
  readonly bytes: Uint8Array;
  /** undefined: a frame whose header is made while it is packed. */
  readonly header: object;
}

const text = (of: string) => new TextEncoder().encode(of);
const batch = Buffer.concat(encodeBatch(batchFromRows({ word: t.utf8 }, [{ word: "mill" }]) as never));
const split = { id: "b.txt", payload: text("s3://in/b.txt"), rows: 30 };
const place = { inline: new Uint8Array(), key: "", sha256: "", sizeBytes: 0n };
const HASH = "0".repeat(64);

function golden<H extends object>(
  title: string,
  frame: { encode(header: H, payload?: readonly Uint8Array[]): Uint8Array },
  header: H,
  payload: readonly Uint8Array[] = [],
): GoldenStored {
  return { title, header, bytes: frame.encode(header, payload) };
}

const source: stored.SourceState = {
  taken: 2n ** 53n + 1n,
  ended: false,
  split,
  batches: 3n,
  position: Uint8Array.of(7),
  started: [{ ...split, id: "c.txt", batches: 1n, position: null }],
};

const entries = { operator: "handover", partition: 1, number: 2n, last: true };
const entry = GOLDEN["exchange-entry"]!.bytes;

/** By kind. Those of `exchange-pending` and `exchange-position` are in `golden-frames.ts`. */
export const GOLDEN_STORED: Readonly<Record<string, GoldenStored>> = {
  lease: golden("lease of a leader that has renewed it five times", stored.leaseFrame, {
    term: 3n,
    holder: "coordinator-node-1-x7k2m9qa",
    http: "http://10.0.0.7:8080",
    counter: 5n,
  }),
  "actor-snapshot": golden(
    "snapshot of an actor: a source, and a batch on its way into a channel",
    stored.actorSnapshotFrame,
    {
      operators: [{ operator: "texts", state: stored.sourceStateFrame.encode(source) }],
      parked: [{ place: ">texts-0--count-1", blob: 0 }],
      rowsRead: 7n,
      rowsWritten: 0n,
      deadLetters: 1n,
      blobs: [BigInt(batch.length), 32n],
      contents: 1,
    },
    [batch, packHashes(["ab".repeat(32)])],
  ),
  "source-state": golden(
    "a source in the middle of a split, with another to go on with",
    stored.sourceStateFrame,
    source,
  ),
  "infer-state": golden("requests in flight: one answered, one refused, one open", stored.inferStateFrame, {
    entries: [
      {
        batch: 0,
        done: 1,
        calls: [
          {
            start: 0,
            rows: 2,
            answer: 1,
            rejected: [{ row: 1, code: "MILL_RECORD_INVALID", message: "no text" }],
            code: "",
            message: "",
          },
          { start: 2, rows: 1, answer: null, rejected: [], code: "MILL_SERVICE_FAILED", message: "out of memory" },
          { start: 3, rows: 1, answer: null, rejected: [], code: "", message: "" },
        ],
      },
    ],
  }),
  "keyed-state": golden("the keys of two groups", stored.keyedStateFrame, {
    keyGroups: 128,
    first: 0,
    end: 64,
    groups: [
      { group: 3, keys: 0, states: 1 },
      { group: 63, keys: 2, states: 3 },
    ],
  }),
  "saved-answer": golden("the reason of a refused row, which has no answer", stored.savedAnswerFrame, {
    code: "MILL_RECORD_INVALID",
    message: "no text",
    schema: text("schema"),
  }),
  "sink-state": golden("output of two checkpoints, the second as a blob", stored.sinkStateFrame, {
    pending: [
      { checkpoint: 4n, prepared: text("staged"), blob: -1, contents: -1 },
      { checkpoint: 5n, prepared: new Uint8Array(), blob: 2, contents: 3 },
    ],
  }),
  "region-record": golden("a commit of two actors, one inline, one an object", stored.regionRecordFrame, {
    kind: "COMMIT",
    job: "words-1",
    region: "region-texts-0",
    number: 4n,
    term: 2n,
    attempt: 3,
    createdMs: 1_700_000_000_123n,
    actors: [
      { ...place, actor: "texts-0", finished: false, inline: text("snapshot"), sizeBytes: 8n },
      { ...place, actor: "count-0", finished: true, key: "jobs/words-1/s", sha256: HASH, sizeBytes: 2n ** 40n },
    ],
  }),
  "split-record": golden("an enumerator's record of one assignment", stored.splitRecordFrame, {
    source: "texts",
    number: 2n,
    assignments: [{ reader: "texts-0", number: 1n, split }],
    listed: true,
    term: 2n,
    attempt: 1,
  }),
  savepoint: golden("a savepoint of a job with a durable exchange", stored.savepointFrame, {
    job: "words-1",
    name: "half-way",
    topology: "words",
    planHash: HASH,
    createdMs: 1_700_000_000_123n,
    operators: [{ operator: "handover", kind: "durable", parallelism: 1, columns: "[]" }],
    regions: [
      {
        region: "region-handover-0",
        number: 4n,
        actors: [{ actor: "handover-0", subtask: 0, key: "jobs/words-1/a", sha256: HASH, sizeBytes: 9n }],
      },
    ],
    sources: [{ source: "texts", records: 2n }],
    exchanges: [
      {
        operator: "handover",
        partitions: [
          { next: 3n, last: 9n, objects: [{ key: "jobs/words-1/e", sha256: HASH, sizeBytes: 512n }], seeds: 0 },
        ],
      },
    ],
  }),
  "exchange-entries": {
    title: "entries of a durable exchange: two, of the second object of a partition",
    header: { ...entries, sizes: [entry.length, entry.length] },
    bytes: packEntries(entries, [entry, entry]),
  },
};
