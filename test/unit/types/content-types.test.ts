import assert from "node:assert/strict";
import type { Struct } from "apache-arrow";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, type Columns, type ColumnType, type Row, t } from "../../../src/types/columns.js";
import { inline, isContentType } from "../../../src/types/content-types.js";

const ref = { uri: "file:///a.png", offset: 0n, sizeBytes: 3n, sha256: "", mediaType: "image/png" };

describe("types/content-types: values", () => {
  it("content with its bytes comes back with them", () => {
    const columns = { image: t.image };
    const rows = [{ image: inline(Uint8Array.of(1, 2, 3), "image/png") }];
    assert.deepEqual(rowsOf(columns, batchFromRows(columns, rows)), rows);
  });

  it("an object reference is content without its bytes", () => {
    const columns = { image: t.optional(t.image), images: t.list(t.image) };
    const there = { ...ref, bytes: null };
    assert.deepEqual(rowsOf(columns, batchFromRows(columns, [{ image: ref, images: [ref, there] }])), [
      { image: there, images: [there, there] },
    ]);
  });

  it("isContentType knows the forms of content from all else, optional or not", () => {
    for (const type of [t.image, t.pixels(), t.audio, t.samples("int16"), t.video, t.document]) {
      assert.ok(isContentType(type) && isContentType(t.optional(type)), type.name);
    }
    for (const type of [t.objectRef, t.binary, t.list(t.image), t.struct({ image: t.image })]) {
      assert.ok(!isContentType(type), type.name);
    }
  });

  it("bytes are not copied on their way in by `inline`, and are views of the batch on their way out", () => {
    const bytes = Uint8Array.of(1);
    const content = inline(bytes, "image/png");
    assert.equal(content.bytes, bytes);
    const columns = { image: t.image };
    const [first, second] = rowsOf(columns, batchFromRows(columns, [{ image: content }, { image: content }]));
    assert.equal(first?.image.bytes?.buffer, second?.image.bytes?.buffer);
  });
});

describe("types/content-types: what they are in Arrow", () => {
  const fields: readonly (readonly [ColumnType, string, string, readonly string[]])[] = [
    [t.image, "millrace.image", '{"form":"encoded"}', []],
    [t.pixels(), "millrace.image", '{"form":"pixels","dtype":"uint8","layout":"HWC"}', ["width", "height", "channels"]],
    [t.audio, "millrace.audio", '{"form":"encoded"}', []],
    [
      t.samples(),
      "millrace.audio",
      '{"form":"samples","dtype":"float32","layout":"interleaved"}',
      ["sampleRate", "channels"],
    ],
    [t.video, "millrace.video", "{}", []],
    [t.document, "millrace.document", "{}", []],
  ];
  for (const [type, name, metadata, more] of fields) {
    it(`${type.name}: the content columns and what its form needs, as ${name}`, () => {
      const field = arrowSchema({ c: type }).fields[0]!;
      assert.deepEqual(Object.fromEntries(field.metadata), {
        "ARROW:extension:name": name,
        "ARROW:extension:metadata": metadata,
      });
      const parts = (field.type as Struct).children;
      assert.deepEqual(
        parts.map(({ name, nullable }) => `${name}${nullable ? "?" : ""}`),
        ["uri", "offset", "sizeBytes", "sha256", "mediaType", "bytes?", ...more],
      );
      assert.ok(isContentType(field), "the field of a batch is known, too");
    });
  }
});

describe("types/content-types: values that do not fit", () => {
  const held = inline(new Uint8Array(12), "");
  const pixels = { ...held, width: 2, height: 2, channels: 3 };
  const samples = { ...held, sampleRate: 8_000, channels: 3 };
  const wrong: readonly (readonly [ColumnType, unknown, RegExp])[] = [
    [t.image, { ...held, bytes: null }, /column "c" \(image\): row 0 has neither bytes nor a uri; give one/],
    [t.audio, { ...held, sizeBytes: 11n }, /row 0 has 12 bytes where its sizeBytes is 11/],
    [t.image, { ...held, bytes: "abc" }, /column "c\.bytes" \(binary\?\): got "abc" of type string/],
    [t.video, "file:///a", /column "c" \(video\): got "file:\/\/\/a" of type string/],
    [t.document, null, /row 0 has no value/],
    [t.pixels(), { ...pixels, height: 3 }, /row 0 has 12 bytes where 2 x 3 pixels of 3 channels have 18/],
    [t.pixels("float32"), pixels, /row 0 has 12 bytes where 2 x 2 pixels of 3 channels have 48/],
    [t.pixels(), { ...pixels, width: 0 }, /row 0 is 0 x 2 pixels of 3 channels; give each from 1 on/],
    [t.pixels(), held, /row 0 is undefined x undefined pixels/],
    [t.pixels(), { ...pixels, uri: "file:///a", bytes: null, sizeBytes: 5n }, /row 0 has 5 bytes where 2 x 2 pixels/],
    [t.samples(), { ...samples, channels: 2 }, /row 0 has 12 bytes, which are no whole samples of 2 channels/],
    [t.samples("int16"), { ...samples, channels: 4 }, /which are no whole samples of 4 channels/],
    [t.samples(), { ...samples, sampleRate: 0 }, /row 0 has 3 channels of 0 samples a second; give each from 1 on/],
  ];
  for (const [type, value, message] of wrong) {
    it(`${message.source} (MILL_RECORD_INVALID)`, () => {
      const rows = [{ c: value }] as Row<Columns>[];
      assert.throws(() => batchFromRows({ c: type } as Columns, rows), { code: "MILL_RECORD_INVALID", message });
    });
  }

  it("a size that is not known is no wrong one", () => {
    const columns = { p: t.pixels(), s: t.samples() };
    const there = { uri: "file:///a", bytes: null, sizeBytes: -1n };
    assert.equal(batchFromRows(columns, [{ p: { ...pixels, ...there }, s: { ...samples, ...there } }]).numRows, 1);
  });
});
