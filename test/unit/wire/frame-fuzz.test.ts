import assert from "node:assert/strict";
import fc from "fast-check";
import { MillraceError } from "../../../src/base/errors.js";
import { decodeBatch, decodeSchema } from "../../../src/wire/arrow.js";
import { readBatchMetadata } from "../../../src/wire/arrow-message.js";
import { answerFrame, decodeFrame, type SchemaFields } from "../../../src/wire/frames.js";
import { GOLDEN } from "./golden-frames.js";
import { schemas } from "./hex-file.js";

/** Generous for one frame of under 2 KB, and far below what following a count of 2^60 would take. */
const DECODE_MS_MAX = 200;
const MEMORY_BYTES_MAX = 32 * 1024 * 1024;

/** Others have the processor in between: the least of a few times is that of the work. */
const MEASURED_MAX = 5;

function readAll(bytes: Uint8Array, speltOut: Uint8Array | undefined): void {
  let tookMs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < MEASURED_MAX && tookMs >= DECODE_MS_MAX; i++) {
    const fromMs = performance.now();
    readOnce(bytes, speltOut);
    tookMs = Math.min(tookMs, performance.now() - fromMs);
  }
  assert.ok(tookMs < DECODE_MS_MAX, `decoding took ${tookMs} ms for ${Buffer.from(bytes).toString("hex")}`);
}

/** Reads all there is in a frame: header, schema, rows. Only our own error may come out. */
function readOnce(bytes: Uint8Array, speltOut: Uint8Array | undefined): void {
  try {
    const { header, payload } = decodeFrame(bytes);
    const schemaBytes = (header as Partial<SchemaFields>).schema ?? speltOut;
    if (schemaBytes === undefined || payload.length === 0) return;
    const batch = decodeBatch(decodeSchema(schemaBytes), payload);
    for (let row = 0; row < Math.min(batch.numRows, 10); row++)
      JSON.stringify(batch.get(row), (_, v) => (typeof v === "bigint" ? `${v}` : v));
  } catch (error) {
    if (isBeyondArrowsGetter(error)) return;
    if (!MillraceError.is(error)) throw error;
    assert.match(error.code, /^MILL_FRAME_(INVALID|UNKNOWN_SCHEMA|TOO_LARGE)$/);
  }
}

/** A valid timestamp beyond 2^53 ms, which apache-arrow cannot give as a number; the wire does not judge values. */
function isBeyondArrowsGetter(error: unknown): boolean {
  return error instanceof TypeError && error.message.includes("is not safe to convert to a number");
}

const wordsSchema = (decodeFrame(GOLDEN.data!.bytes).header as SchemaFields).schema!;

describe("wire: garbage is refused quickly, whatever it is (F3, K1 to K3, M1, A2)", () => {
  for (const [name, { bytes }] of Object.entries(GOLDEN)) {
    it(`${name}: every prefix`, () => {
      for (let length = 0; length < bytes.length; length++) {
        const cut = bytes.slice(0, length);
        assert.throws(() => decodeFrame(cut), { code: /^MILL_FRAME_INVALID$/ }, `the first ${length} bytes`);
      }
    });

    it(`${name}: every byte, each changed in several ways`, function () {
      this.timeout(60_000);
      const before = process.memoryUsage().arrayBuffers;
      for (let at = 0; at < bytes.length; at++) {
        for (const change of [0x01, 0x40, 0x80, 0xff, bytes[at]! ^ 0x7f]) {
          const changed = Uint8Array.from(bytes);
          changed[at]! ^= change;
          readAll(changed, wordsSchema);
        }
      }
      assert.ok(process.memoryUsage().arrayBuffers - before < MEMORY_BYTES_MAX);
    });
  }

  it("random bytes, with and without a true beginning", () => {
    const beginnings = [Buffer.alloc(0), ...schemas.kinds.map((kind) => prefixOf(kind))];
    fc.assert(
      fc.property(fc.constantFrom(...beginnings), fc.uint8Array({ maxLength: 400 }), (beginning, rest) => {
        readAll(Buffer.concat([beginning, rest]), wordsSchema);
      }),
      { numRuns: 3_000 },
    );
  });

  it("a random run of bytes within a frame", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(GOLDEN)),
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 16 }),
        (golden, at, run) => {
          const changed = Uint8Array.from(golden.bytes);
          const start = at % changed.length;
          changed.set(run.subarray(0, changed.length - start), start);
          readAll(changed, wordsSchema);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe("wire: lengths and counts that lie", () => {
  const huge = Buffer.from("80808080808080802000".slice(0, 18), "hex"); // zigzag of 2^60
  const negative = Buffer.from([0x01]);

  it("a string of 2^60 bytes, and one of -1", () => {
    for (const length of [huge, negative]) {
      assert.throws(() => decodeFrame(Buffer.concat([prefixOf("end"), length, Buffer.from("abc")])), {
        code: "MILL_FRAME_INVALID",
      });
    }
  });

  it("an array of 2^60 items, by a plain and by a negative count", () => {
    const { bytes } = GOLDEN["answer-failed"]!;
    const [before, after] = aroundRejectedRows(bytes);
    const negativeHuge = Buffer.from("ffffffffffffffff1f", "hex"); // zigzag of -2^60
    for (const count of [huge, Buffer.concat([negativeHuge, Buffer.from([2])])]) {
      const lying = Buffer.concat([before, count, after]);
      assert.throws(() => answerFrame.decode(lying), {
        code: "MILL_FRAME_INVALID",
        message: /a block of 115292150460684\d+ items/,
      });
    }
  });

  it("a string that is not UTF-8 (K3)", () => {
    const lying = Buffer.concat([prefixOf("end"), Buffer.from([0x04, 0xc3, 0x28, 0x02, 0x00])]);
    assert.throws(() => decodeFrame(lying), { code: "MILL_FRAME_INVALID", message: /not UTF-8/ });
  });

  it("an Arrow schema whose vectors are longer than itself (M1)", () => {
    let claims = 0;
    for (let at = 8; at + 4 <= wordsSchema.length; at += 4) {
      const lying = Buffer.from(wordsSchema);
      lying.writeUInt32LE(0x7fffffff, at);
      try {
        decodeSchema(lying);
      } catch (error) {
        assert.ok(MillraceError.is(error) && error.code === "MILL_FRAME_INVALID", String(error));
        if (error.message.includes("claims 2147483647 parts")) claims++;
      }
    }
    assert.ok(claims > 0, "the count of fields was one of them");
  });

  it("a number of more than 64 bits", () => {
    const over = Buffer.alloc(11, 0xff);
    assert.throws(() => decodeFrame(Buffer.concat([prefixOf("end"), over])), { message: /more than 64 bits/ });
  });

  it("a payload longer or shorter than it says", () => {
    const { bytes } = GOLDEN.data!;
    assert.throws(() => decodeFrame(bytes.subarray(0, -8)), { code: "MILL_FRAME_INVALID" });
    assert.throws(() => decodeFrame(Buffer.concat([bytes, Buffer.alloc(8)])), { code: "MILL_FRAME_INVALID" });
  });

  it("an Arrow message whose vectors are longer than itself", () => {
    const { payload } = decodeFrame(GOLDEN.data!.bytes);
    const metadata = 8 + Buffer.from(payload).readInt32LE(4);
    for (let at = 8; at + 4 <= metadata; at += 4) {
      const lying = Buffer.from(payload);
      lying.writeUInt32LE(0x7fffffff, at);
      try {
        readBatchMetadata(lying, 2, 5);
      } catch (error) {
        assert.ok(MillraceError.is(error) && error.code === "MILL_FRAME_INVALID", String(error));
      }
    }
  });
});

function prefixOf(kind: string): Buffer {
  const prefix = Buffer.from([0xc3, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]);
  prefix.writeBigUInt64LE(schemas.current(kind).fingerprint, 2);
  return prefix;
}

/** `rejectedRows` of the golden answer is empty: the one zero byte behind its message. */
function aroundRejectedRows(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  const at = Buffer.from(bytes).indexOf("out of memory") + "out of memory".length;
  assert.equal(bytes[at], 0);
  return [bytes.subarray(0, at), bytes.subarray(at + 1)];
}
