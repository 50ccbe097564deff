import assert from "node:assert/strict";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { hashOf, isWhole, ownedContentOf, sliceContent } from "../../../src/types/content-refs.js";
import { type Content, inline, type ObjectRef } from "../../../src/types/content-types.js";

const HASH = "a".repeat(64);
const OTHER = "b".repeat(64);
const PREFIX = "s3://bucket/jobs/job-1/content/";

const whole: ObjectRef = { uri: "s3://b/k", offset: 0n, sizeBytes: 100n, sha256: HASH, mediaType: "image/png" };

function owned(hash: string): Content {
  return { ...inline(new Uint8Array(), ""), uri: `${PREFIX}${hash}`, sha256: hash, bytes: null };
}

describe("types/content-refs: parts of content", () => {
  it("a part is narrower, and of unknown hash and media type", () => {
    const part = sliceContent({ ...whole, offset: 7n }, { offset: 10, length: 20n });
    assert.deepEqual(part, { uri: "s3://b/k", offset: 17n, sizeBytes: 20n, sha256: "", mediaType: "" });
  });

  it("a part of a part is within it", () => {
    const part = sliceContent(sliceContent(whole, { offset: 10, length: 50 }), { offset: 5, length: 45 });
    assert.deepEqual([part.offset, part.sizeBytes], [15n, 45n]);
    assert.throws(() => sliceContent(part, { offset: 1, length: 45 }), { code: "MILL_RECORD_INVALID" });
  });

  it("a part that begins where its object does is told from all of an object that has grown", () => {
    assert.equal(isWhole(whole), true);
    const first = sliceContent(whole, { offset: 0, length: 10 });
    assert.equal(isWhole(first), false);
    assert.equal(hashOf(first), undefined);
    assert.equal(isWhole(sliceContent(first, { offset: 0, length: 10 })), false);
    assert.equal(isWhole(sliceContent(whole, { offset: 0, length: 100 })), true);
  });

  it("a part of bytes in hand is a view of them", () => {
    const part = sliceContent(inline(Buffer.from("abcdef"), "text/plain"), { offset: 2, length: 3 });
    assert.deepEqual([Buffer.from(part.bytes!).toString(), part.offset, part.sizeBytes], ["cde", 0n, 3n]);
  });

  for (const [what, range] of [
    ["begins before it", { offset: -1, length: 1 }],
    ["has less than no bytes", { offset: 0, length: -1 }],
    ["ends behind it", { offset: 90, length: 11 }],
  ] as const) {
    it(`a part that ${what} is MILL_RECORD_INVALID`, () => {
      assert.throws(() => sliceContent(whole, range), { code: "MILL_RECORD_INVALID" });
    });
  }
});

describe("types/content-refs: what a batch refers to", () => {
  const columns = {
    n: t.int32,
    text: t.utf8,
    image: t.optional(t.image),
    pages: t.list(t.struct({ ref: t.objectRef, page: t.document })),
  };
  const none = inline(new Uint8Array([1]), "");
  const at = (uri: string) => ({ ...owned(HASH), uri });

  it("are object references and content at any depth, each once", () => {
    const batch = batchFromRows(columns, [
      { n: 1, text: `${PREFIX}${"c".repeat(64)}`, image: owned(HASH), pages: [] },
      { n: 2, text: "", image: null, pages: [{ ref: owned(OTHER), page: owned(HASH) }] },
    ]);
    assert.deepEqual(ownedContentOf(batch, PREFIX).sort(), [HASH, OTHER]);
  });

  it("are not those below other prefixes, nor what only looks like one", () => {
    const others = [at(`s3://bucket/jobs/job-2/content/${HASH}`), at(`${PREFIX}${"x".repeat(64)}`), at(PREFIX), none];
    const batch = batchFromRows(
      columns,
      others.map((image, n) => ({ n, text: "", image, pages: [] })),
    );
    assert.deepEqual(ownedContentOf(batch, PREFIX), []);
  });

  it("are those of its own rows: not of the rows that a slice leaves out", () => {
    const batch = batchFromRows(columns, [
      { n: 1, text: "", image: owned(HASH), pages: [{ ref: owned(HASH), page: none }] },
      { n: 2, text: "", image: none, pages: [{ ref: owned(OTHER), page: none }] },
    ]);
    assert.deepEqual(ownedContentOf(batch.slice(1, 2), PREFIX), [OTHER]);
  });
});
