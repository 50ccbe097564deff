import assert from "node:assert/strict";
import {
  DateMillisecond,
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Int32,
  LargeUtf8,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Utf8,
  vectorFromArray,
} from "apache-arrow";
import fc from "fast-check";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import {
  decodeBatch,
  decodeSchema,
  encodeBatch,
  encodeSchema,
  SchemaReceiver,
  SchemaSender,
  schemaId,
} from "../../../src/wire/arrow.js";

const columns = {
  id: t.int64,
  text: t.optional(t.utf8),
  ok: t.optional(t.bool),
  tags: t.list(t.utf8),
  box: t.optional(t.struct({ x: t.float32, n: t.optional(t.int32) })),
  deep: t.list(t.list(t.float64)),
  raw: t.binary,
  ref: t.objectRef,
};

const cell = fc.record(
  {
    id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    text: fc.option(fc.string({ unit: "binary" })),
    ok: fc.option(fc.boolean()),
    tags: fc.array(fc.string(), { maxLength: 4 }),
    box: fc.option(
      fc.record(
        { x: fc.float({ noNaN: true }), n: fc.option(fc.integer({ min: -5, max: 5 })) },
        { noNullPrototype: true },
      ),
    ),
    deep: fc.array(fc.array(fc.double({ noNaN: true }), { maxLength: 3 }), { maxLength: 3 }),
    raw: fc.uint8Array({ maxLength: 20 }),
    ref: fc.record(
      {
        uri: fc.string(),
        offset: fc.nat().map(BigInt),
        sizeBytes: fc.constant(-1n),
        sha256: fc.constant(""),
        mediaType: fc.string(),
      },
      { noNullPrototype: true },
    ),
  },
  { noNullPrototype: true },
);

const schema = arrowSchema(columns);

function joined(batch: RecordBatch): Uint8Array {
  return new Uint8Array(Buffer.concat(encodeBatch(batch)));
}

describe("wire/arrow: what goes in comes out", () => {
  it("any rows, and any slice of them (P2)", () => {
    fc.assert(
      fc.property(fc.array(cell, { maxLength: 25 }), fc.nat(25), fc.nat(25), (rows, from, count) => {
        const slice = rows.slice(from, from + count);
        const batch = batchFromRows(columns, rows).slice(from, from + count);
        assert.deepEqual(rowsOf(columns, decodeBatch(schema, joined(batch)) as typeof batch), slice);
      }),
      { numRuns: 200 },
    );
  });

  it("a batch that was received is sent on, whole or sliced", () => {
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1, maxLength: 20 }), fc.nat(20), (rows, from) => {
        const received = decodeBatch(schema, joined(batchFromRows(columns, rows)));
        const again = decodeBatch(schema, joined(received.slice(from, 20)));
        assert.deepEqual(rowsOf(columns, again as never), rows.slice(from, 20));
      }),
      { numRuns: 50 },
    );
  });

  it("no rows", () => {
    for (const empty of [batchFromRows(columns, []), new RecordBatch(schema, undefined)]) {
      const back = decodeBatch(schema, joined(empty as RecordBatch));
      assert.equal(back.numRows, 0);
      assert.equal(decodeBatch(schema, joined(back)).numRows, 0);
    }
  });

  it("fixed-size lists, large text and dates, sliced", () => {
    const vec = new Field("vec", new FixedSizeList(2, new Field("item", new Float32())), true);
    const wide = new Schema([
      vec,
      new Field("text", new LargeUtf8(), true),
      new Field("at", new DateMillisecond(), true),
    ]);
    const data = makeData({
      type: new Struct(wide.fields),
      length: 4,
      nullCount: 0,
      children: [
        vectorFromArray([[1, 2], null, [5, 6], [7, 8]], vec.type).data[0]!,
        vectorFromArray(["a", null, "ccc", ""], new LargeUtf8()).data[0]!,
        vectorFromArray([new Date(1), new Date(2), null, new Date(4)], new DateMillisecond()).data[0]!,
      ],
    });
    const batch = new RecordBatch(wide, data as never);
    const plain = (one: RecordBatch) => one.toArray().map((row) => JSON.stringify(row));
    assert.deepEqual(plain(decodeBatch(wide, joined(batch.slice(1, 4)))), plain(batch.slice(1, 4)));
    assert.match(plain(batch)[2]!, /ccc/);
  });

  it("a schema keeps the metadata of its fields, nested ones too, and its own", () => {
    const inner = new Field("item", new Int32(), false, new Map([["unit", "px"]]));
    const fields = [
      new Field("ref", t.objectRef.arrow, false, new Map(t.objectRef.metadata)),
      new Field("box", new Struct([inner]), true),
    ];
    const back = decodeSchema(encodeSchema(new Schema(fields, new Map([["made", "here"]]))));
    assert.equal(back.fields[0]!.metadata.get("ARROW:extension:name"), "millrace.object_ref");
    assert.equal((back.fields[1]!.type as Struct).children[0]!.metadata.get("unit"), "px");
    assert.equal(back.metadata.get("made"), "here");
  });
});

describe("wire/arrow: bytes are not copied without need", () => {
  const images = { image: t.binary };
  const image = new Uint8Array(50_000).fill(7);
  const batch = batchFromRows(
    images,
    Array.from({ length: 4 }, () => ({ image })),
  );

  it("pieces are views of the batch's buffers (P1)", () => {
    const values = batch.data.children[0]!.values as Uint8Array;
    assert.ok(encodeBatch(batch).some((piece) => piece.buffer === values.buffer && piece.length === values.length));
  });

  it("a slice sends its own bytes only (P2)", () => {
    const bytes = encodeBatch(batch.slice(1, 2)).reduce((sum, piece) => sum + piece.length, 0);
    assert.ok(bytes > image.length && bytes < image.length + 500, `${bytes} bytes for one image of ${image.length}`);
  });

  it("a payload is read in place wherever it lies, and only numbers off their alignment are copied (A1)", () => {
    const payload = joined(batch);
    for (let offset = 0; offset < 8; offset++) {
      const buffer = new Uint8Array(payload.length + 8);
      buffer.set(payload, offset);
      const read = decodeBatch(arrowSchema(images), buffer.subarray(offset, offset + payload.length));
      const { values, valueOffsets } = read.data.children[0]! as { values: Uint8Array; valueOffsets: Int32Array };
      assert.equal(values.buffer, buffer.buffer, "the images are a view of the payload");
      assert.equal(valueOffsets.buffer === buffer.buffer, offset % 4 === 0);
      assert.deepEqual(read.get(3)!.toJSON().image, image);
    }
  });
});

describe("wire/arrow: what is refused", () => {
  const strings = new Schema([new Field("text", new Dictionary(new Utf8(), new Int32()), true)]);

  it("a column of a type that is not sent, by name (P3)", () => {
    const expected = { code: "MILL_RECORD_INVALID", message: /column "text" has the Arrow type Dictionary/ };
    assert.throws(() => encodeSchema(strings), expected);
    assert.throws(() => encodeBatch(new RecordBatch({ text: vectorFromArray(["a", "b"]).data[0]! })), expected);
    const nested = new Schema([new Field("box", new Struct([strings.fields[0]!]), true)]);
    assert.throws(() => encodeSchema(nested), { message: /column "box\.text"/ });
  });

  it("a payload of another schema", () => {
    const payload = joined(batchFromRows({ id: t.int64 }, [{ id: 1n }]));
    assert.throws(() => decodeBatch(schema, payload), {
      code: "MILL_FRAME_INVALID",
      message: /parts where its schema has/,
    });
    const wider = batchFromRows({ id: t.int32 }, [{ id: 1 }, { id: 2 }, { id: 3 }]);
    assert.throws(() => decodeBatch(arrowSchema({ id: t.int64 }), joined(wider)), { code: "MILL_FRAME_INVALID" });
  });

  it("offsets that go back or point outside (A2)", () => {
    const payload = joined(batchFromRows({ text: t.utf8 }, [{ text: "ab" }, { text: "cd" }]));
    const texts = arrowSchema({ text: t.utf8 });
    const offsets = 8 + Buffer.from(payload).readInt32LE(4);
    const withOffsets = (...values: number[]): Uint8Array => {
      const changed = Buffer.from(payload);
      for (const [i, value] of values.entries()) changed.writeInt32LE(value, offsets + 4 * i);
      return changed;
    };
    assert.deepEqual([...decodeBatch(texts, withOffsets(0, 2, 4)).getChild("text")!], ["ab", "cd"]);
    for (const wrong of [withOffsets(0, 4, 2), withOffsets(-1, 2, 4), withOffsets(0, 2, 99)]) {
      assert.throws(() => decodeBatch(texts, wrong), { code: "MILL_FRAME_INVALID" });
    }
  });

  it("a schema message where a batch is expected, and the other way round", () => {
    assert.throws(() => decodeBatch(schema, encodeSchema(schema)), {
      code: "MILL_FRAME_INVALID",
      message: /not a record batch/,
    });
    assert.throws(() => decodeSchema(joined(batchFromRows(columns, []))), {
      code: "MILL_FRAME_INVALID",
      message: /not a schema/,
    });
  });
});

describe("wire/arrow: the schema once per channel", () => {
  const sender = new SchemaSender(schema);
  const first = sender.next();
  const second = sender.next();

  it("is spelt out in the first frame and named by its id after that", () => {
    assert.deepEqual(first.schema, encodeSchema(schema));
    assert.deepEqual(second, { schemaId: first.schemaId, schema: null });
    assert.deepEqual(first.schemaId, schemaId(first.schema!));
    assert.equal(first.schemaId.length, 8);
  });

  it("is found by its id", () => {
    const receiver = new SchemaReceiver();
    const spelt = receiver.accept(first);
    assert.equal(receiver.accept(second), spelt);
    assert.deepEqual(spelt.names, schema.names);
  });

  it("that was never spelt out is unknown", () => {
    assert.throws(() => new SchemaReceiver().accept(second), { code: "MILL_FRAME_UNKNOWN_SCHEMA" });
  });

  it("whose bytes do not have its id is refused, and is not kept", () => {
    const receiver = new SchemaReceiver();
    const schemaBytes = Uint8Array.from(first.schema!);
    schemaBytes[40]! ^= 1;
    assert.throws(() => receiver.accept({ ...first, schema: schemaBytes }), {
      code: "MILL_FRAME_INVALID",
      message: /have the id/,
    });
    assert.throws(() => receiver.accept(second), { code: "MILL_FRAME_UNKNOWN_SCHEMA" });
  });
});
