/**
 * What is stored: frames of every kind as they are written today, and savepoints of earlier versions, whose bytes were written once and
 * must stay readable. `MILLRACE_GOLDEN=write` writes the files of today's kinds instead of comparing them.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { redistributeJob } from "../../../src/actors/saved-state.js";
import { planTopology } from "../../../src/plan/plan.js";
import { contentsOfSnapshot } from "../../../src/wire/content-hashes.js";
import { unpackEntries } from "../../../src/wire/exchange-frames.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import {
  actorSnapshotFrame,
  savepointFrame,
  sinkStateFrame,
  sourceStateFrame,
  splitRecordFrame,
} from "../../../src/wire/stored.js";
import { built, nowhere, pages } from "../topology/support.js";
import { GOLDEN } from "./golden-frames.js";
import { GOLDEN_STORED } from "./golden-stored-frames.js";
import { annotate, packageRoot, readHex } from "./hex-file.js";

const pathOf = (name: string) => join(packageRoot, "test", "golden", "stored", `${name}.hex`);
const golden = (name: string) => readHex(pathOf(name));

/** A `Buffer` is not deeply equal to a `Uint8Array`. */
const plain = (_key: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);
const shown = (header: object) =>
  JSON.stringify(header, function (this: Record<string, unknown>, key, value) {
    const raw = this[key];
    return raw instanceof Uint8Array ? Buffer.from(raw).toString("hex") : plain(key, value);
  });

if (process.env.MILLRACE_GOLDEN === "write") {
  for (const [kind, { title, bytes, header }] of Object.entries(GOLDEN_STORED)) {
    writeFileSync(pathOf(kind), annotate(title, bytes, header as Readonly<Record<string, unknown>>));
  }
}

describe("wire/golden: what is stored", () => {
  it("there is a golden frame of every kind that is stored", () => {
    const kinds = new Set(
      [...Object.values(GOLDEN), ...Object.values(GOLDEN_STORED)].map(({ bytes }) => decodeFrame(bytes).kind),
    );
    const needed = readdirSync(join(packageRoot, "schemas", "stored")).map((file) => file.slice(0, -".avsc".length));
    assert.deepEqual(
      needed.filter((kind) => !kinds.has(kind)),
      [],
    );
  });

  for (const [kind, { title, bytes, header }] of Object.entries(GOLDEN_STORED)) {
    it(`${kind}: today's encoder makes the bytes of the file, comments included`, () => {
      assert.equal(
        annotate(title, bytes, header as Readonly<Record<string, unknown>>),
        readFileSync(pathOf(kind), "utf8"),
      );
    });

    it(`${kind}: the file's bytes decode to the header that went in (F5)`, () => {
      const decoded = decodeFrame(golden(kind));
      assert.equal(decoded.kind, kind);
      assert.deepEqual(JSON.parse(shown(decoded.header as object)), JSON.parse(shown(header)));
    });
  }

  it("exchange-entries: the entries of the file are frames themselves", () => {
    const { entries } = unpackEntries(golden("exchange-entries"));
    assert.deepEqual(
      entries.map((entry) => decodeFrame(entry).kind),
      ["exchange-entry", "exchange-entry"],
    );
  });

  it("exchange-entries: an object that does not hold what it lists is refused (MILL_FRAME_INVALID)", () => {
    const bytes = golden("exchange-entries");
    assert.throws(() => unpackEntries(bytes.subarray(0, bytes.length - 1)), { code: "MILL_FRAME_INVALID" });
  });
});

describe("wire/golden: snapshots of earlier versions", () => {
  it("actor-snapshot.1 and sink-state.2: they refer to no owned content (F5)", () => {
    const { header, payload } = actorSnapshotFrame.decode(golden("actor-snapshot.1"));
    assert.deepEqual([header.contents, header.rowsRead, BigInt(payload.length)], [-1, 7n, header.blobs[0]]);
    assert.deepEqual(contentsOfSnapshot(golden("actor-snapshot.1")), []);
    const { pending } = sinkStateFrame.decode(golden("sink-state.2")).header;
    assert.deepEqual(
      pending.map(({ checkpoint, blob, contents }) => [checkpoint, blob, contents]),
      [
        [4n, -1, -1],
        [5n, 2, -1],
      ],
    );
  });

  it("actor-snapshot: what it refers to is found in it", () => {
    assert.deepEqual(contentsOfSnapshot(golden("actor-snapshot")), ["ab".repeat(32)]);
  });
});

describe("wire/golden: savepoints of earlier versions", () => {
  it("savepoint.1: is read as one of today (F5)", () => {
    const { header } = savepointFrame.decode(golden("savepoint.1"));
    assert.deepEqual([header.job, header.name, header.topology], ["words-1", "half-way", "words"]);
    assert.deepEqual(
      header.operators.map(({ operator, kind, parallelism }) => [operator, kind, parallelism]),
      [
        ["texts", "source", 1],
        ["words", "sink", 1],
      ],
    );
    const [region] = header.regions;
    assert.deepEqual([region!.region, region!.number, region!.actors[0]!.actor], ["region-texts-0", 4n, "texts-0"]);
    assert.equal(region!.actors[0]!.sha256, createHash("sha256").update(golden("savepoint-actor.1")).digest("hex"));
    assert.deepEqual(header.sources, [{ source: "texts", records: 2n }]);
  });

  it("split-record.1: an enumerator reads on in it, and is later than whoever wrote it (F5)", () => {
    const { header } = splitRecordFrame.decode(golden("split-record.1"));
    const split = { id: "b.txt", payload: Buffer.from([1, 2]), rows: 7 };
    const { assignments, ...rest } = header;
    assert.deepEqual(rest, { source: "texts", number: 2n, listed: true, term: 0n, attempt: 0 });
    assert.deepEqual(
      assignments.map((one) => ({ ...one, split: { ...one.split, payload: Buffer.from(one.split.payload) } })),
      [{ reader: "texts-0", number: 2n, split }],
    );
  });

  it("savepoint-actor.1: a job starts from it, though readers note more today (F5)", () => {
    const topology = built((job) => job.read(pages, { id: "texts" }).to(nowhere, { id: "words" }));
    const { operators } = savepointFrame.decode(golden("savepoint.1")).header;
    const saved = { operators, actors: [{ actor: "texts-0", subtask: 0, snapshot: golden("savepoint-actor.1") }] };
    const { snapshots, taken } = redistributeJob(saved, { topology, plan: planTopology(topology), operators }, false);
    const { header } = actorSnapshotFrame.decode(snapshots.get("texts-0")!);
    const { split, batches, taken: own, started } = sourceStateFrame.decode(header.operators[0]!.state).header;
    assert.deepEqual([split?.id, batches, own, started], ["b.txt", 3n, 0n, []]);
    assert.deepEqual([header.rowsRead, header.rowsWritten], [7n, 5n]);
    assert.deepEqual([...taken.get("texts")!], [["texts-0", 2n]]);
  });
});
