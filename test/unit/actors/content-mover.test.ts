import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { RecordBatch } from "apache-arrow";
import { ContentMover, staysAsItIs } from "../../../src/actors/content-mover.js";
import { joined } from "../../../src/actors/snapshot-chunks.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, type Row, t } from "../../../src/types/columns.js";
import { type Content, inline } from "../../../src/types/content-types.js";
import { lineageFrom, lineageOf, withLineage } from "../../../src/types/lineage.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";

const LIMIT = 10;

const small = new Uint8Array(LIMIT).fill(1);
const large = new Uint8Array(LIMIT + 1).fill(2);
const larger = new Uint8Array(LIMIT + 2).fill(3);

class Store {
  readonly puts: { readonly bytes: Uint8Array; readonly mediaType: string | undefined }[] = [];
  underWay = 0;
  mostUnderWay = 0;

  async put(bytes: Uint8Array, options: { readonly mediaType?: string } = {}): Promise<Content> {
    this.puts.push({ bytes: new Uint8Array(bytes), mediaType: options.mediaType });
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await new Promise((resolve) => setImmediate(resolve));
    this.underWay -= 1;
    return refTo(bytes, options.mediaType);
  }
}

function refTo(bytes: Uint8Array, mediaType = ""): Content {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { uri: `store:/${sha256}`, offset: 0n, sizeBytes: BigInt(bytes.length), sha256, mediaType, bytes: null };
}

function batchOf<C extends Columns>(columns: C, rows: readonly Row<C>[]): RecordBatch {
  return batchFromRows(columns, rows) as unknown as RecordBatch;
}

function moverOf(columns: Columns, store = new Store()) {
  return { store, move: new ContentMover(store, LIMIT).outOf(columns) };
}

async function movedRows<C extends Columns>(columns: C, rows: readonly Row<C>[]): Promise<Row<C>[]> {
  const moved = await moverOf(columns).move(batchOf(columns, rows));
  // As another process sees it, too.
  const read = decodeBatch(moved.schema, joined(encodeBatch(moved)));
  assert.deepEqual(rowsOf(columns, read as never), rowsOf(columns, moved as never));
  return rowsOf(columns, moved as never) as Row<C>[];
}

describe("actors/content-mover: what becomes a reference", () => {
  const columns = { n: t.int32, image: t.image };

  it("bytes above the limit do, others stay, and so does all else of a row", async () => {
    const rows = [
      { n: 1, image: inline(small, "image/png") },
      { n: 2, image: inline(large, "image/jpeg") },
      { n: 3, image: refTo(larger, "image/webp") },
    ];
    assert.deepEqual(await movedRows(columns, rows), [rows[0], { n: 2, image: refTo(large, "image/jpeg") }, rows[2]]);
  });

  it("a batch without such bytes passes as it is, at once (V1)", () => {
    const { move, store } = moverOf(columns);
    const batch = batchOf(columns, [{ n: 1, image: inline(small, "") }]);
    assert.equal(move(batch), batch);
    assert.equal(store.puts.length, 0);
  });

  it("batches of columns without content are not looked at (V4)", () => {
    assert.equal(moverOf({ n: t.int32, bytes: t.binary, ref: t.objectRef, list: t.list(t.binary) }).move, staysAsItIs);
  });

  it("the other columns are not copied", async () => {
    const batch = batchOf(columns, [{ n: 1, image: inline(large, "") }]);
    const moved = await moverOf(columns).move(batch);
    assert.equal(moved.data.children[0], batch.data.children[0]);
  });

  it("of parts of structs and elements of lists, whatever is null between them", async () => {
    const nested = {
      doc: t.optional(t.document),
      pages: t.optional(t.list(t.optional(t.struct({ number: t.int32, scan: t.optional(t.image) })))),
      clip: t.struct({ audio: t.audio, pixels: t.pixels("uint8") }),
    };
    const clip = (bytes: Uint8Array) => ({
      audio: inline(small, "audio/wav"),
      pixels: { ...inline(bytes, ""), width: bytes.length, height: 1, channels: 1 },
    });
    const pages = (bytes: Uint8Array) => [
      null,
      { number: 1, scan: null },
      { number: 2, scan: inline(bytes, "image/png") },
    ];
    const rows = [
      { doc: null, pages: null, clip: clip(small) },
      { doc: inline(larger, "text/plain"), pages: pages(large), clip: clip(large) },
      { doc: inline(small, ""), pages: [], clip: clip(small) },
    ];
    const [first, second, third] = await movedRows(nested, rows as never);
    assert.deepEqual(first, rows[0]);
    assert.deepEqual(third, rows[2]);
    assert.deepEqual(second, {
      doc: refTo(larger, "text/plain"),
      pages: [null, { number: 1, scan: null }, { number: 2, scan: refTo(large, "image/png") }],
      clip: { ...clip(small), pixels: { ...refTo(large), width: large.length, height: 1, channels: 1 } },
    });
  });

  it("of a slice only its own rows, and these in their place", async () => {
    const nested = { image: t.optional(t.image), list: t.list(t.image) };
    const rows = [
      { image: inline(larger, ""), list: [inline(larger, "")] },
      { image: null, list: [inline(small, ""), inline(large, "")] },
      { image: inline(large, ""), list: [] },
    ];
    const { move, store } = moverOf(nested);
    const moved = await move(batchOf(nested, rows).slice(1, 3));
    assert.deepEqual(rowsOf(nested, moved as never), [
      { image: null, list: [rows[1]!.list[0], refTo(large)] },
      { image: refTo(large), list: [] },
    ]);
    assert.deepEqual(
      store.puts.map(({ bytes }) => bytes),
      [large, large],
    );
  });
});

describe("actors/content-mover: how it is done", () => {
  const columns = { image: t.image };
  const one = (bytes: Uint8Array) => batchOf(columns, [{ image: inline(bytes, "") }]);

  it("a batch that leaves on two ways is moved once (V3)", async () => {
    const { move, store } = moverOf(columns);
    const batch = one(large);
    const [first, second] = await Promise.all([move(batch), move(batch)]);
    assert.equal(first, second);
    assert.equal(store.puts.length, 1);
  });

  it("rows keep their lineage: a service knows them again (V3)", async () => {
    const lineage = lineageFrom("split/0", 7);
    const moved = await moverOf(columns).move(withLineage(one(large), lineage));
    assert.deepEqual(lineageOf(moved), lineage);
  });

  it("a few values of a batch are put at a time, and all of them before it is handed on (V2)", async () => {
    const { move, store } = moverOf(columns);
    const rows = Array.from({ length: 11 }, (_, i) => ({ image: inline(new Uint8Array(LIMIT + 1).fill(i), "") }));
    await move(batchOf(columns, rows));
    assert.deepEqual([store.puts.length, store.mostUnderWay, store.underWay], [11, 4, 0]);
  });

  it("what cannot be put is an error, and another who asks tries again", async () => {
    const store = new Store();
    const put = store.put.bind(store);
    store.put = () => Promise.reject(new Error("no store"));
    const { move } = moverOf(columns, store);
    const batch = one(large);
    await assert.rejects(async () => move(batch), /no store/);
    store.put = put;
    const moved = await move(batch);
    assert.deepEqual(rowsOf(columns, moved as never), [{ image: refTo(large) }]);
  });
});
