import assert from "node:assert/strict";
import fc from "fast-check";
import { limits } from "../../../src/base/limits.js";
import { frame } from "../../../src/wire/frame.js";
import { answerFrame, dataFrame, decodeFrame, endFrame, frameKind, loadReportFrame } from "../../../src/wire/frames.js";
import { arbitraryOf } from "./arbitrary.js";
import { GOLDEN } from "./golden-frames.js";
import { schemas } from "./hex-file.js";

const header = { channel: "a-b", attempt: 1, sequence: 0n, rows: 1, schemaId: new Uint8Array(8), schema: null };
const end = { channel: "a-b", attempt: 1, sequence: 9_007_199_254_740_993n, barriers: 0n };

describe("wire/frame: what goes in comes out", () => {
  for (const kind of schemas.kinds) {
    it(`${kind}: any header, any payload`, () => {
      const { header: type, hasPayload } = schemas.current(kind);
      const codec = frame<unknown>(kind);
      const pieces = hasPayload ? fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 3 }) : fc.constant([]);
      fc.assert(
        fc.property(arbitraryOf(type), pieces, (given, payload) => {
          const decoded = decodeFrame(codec.encode(given, payload));
          assert.equal(decoded.kind, kind);
          assert.deepEqual(decoded.header, given);
          assert.deepEqual(Buffer.from(decoded.payload), Buffer.concat(payload));
        }),
        { numRuns: 50 },
      );
    });
  }

  it("longs are bigint, exact beyond 2^53", () => {
    assert.deepEqual(endFrame.decode(endFrame.encode(end)).header, end);
  });

  it("records are plain objects, nested ones too", () => {
    const { header: answer } = answerFrame.decode(GOLDEN.answer!.bytes);
    for (const record of [answer, answer.load, answer.rejectedRows[0]!]) {
      assert.equal(Object.getPrototypeOf(record), Object.prototype);
    }
  });

  it("takes bytes as any Uint8Array, also a view of a larger buffer", () => {
    const schema = new Uint8Array([0, 1, 2, 3]).subarray(1, 3);
    const decoded = dataFrame.decode(dataFrame.encode({ ...header, schema }));
    assert.deepEqual([...decoded.header.schema!], [1, 2]);
  });

  it("a header larger than the scratch buffer fits", () => {
    const channel = "c".repeat(100_000);
    assert.equal(endFrame.decode(endFrame.encode({ ...end, channel })).header.channel, channel);
  });
});

describe("wire/frame: the payload", () => {
  it("is a view of the frame, not a copy (F2)", () => {
    // Not a `Buffer`, whose `slice` is a view too.
    const bytes = new Uint8Array(dataFrame.encode(header, [Uint8Array.of(1, 2), Uint8Array.of(3)]));
    const { payload } = dataFrame.decode(bytes);
    assert.deepEqual([...payload], [1, 2, 3]);
    bytes[bytes.length - 1] = 9;
    assert.deepEqual([...payload], [1, 2, 9]);
    assert.equal(payload.buffer, bytes.buffer);
  });

  it("is not copied into pieces, which are the bytes of the frame (F2)", () => {
    const payload = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)];
    const [head, ...rest] = frame<typeof header>("data").pieces(header, payload);
    assert.deepEqual(
      rest.map((piece, i) => piece === payload[i]),
      [true, true, true],
    );
    const whole = Buffer.concat([head!, ...rest]);
    assert.ok(whole.equals(dataFrame.encode(header, payload)));
    assert.deepEqual([...dataFrame.decode(whole).payload], [1, 2, 3]);
  });

  it("is read from a frame that lies anywhere in a larger buffer", () => {
    const bytes = dataFrame.encode(header, Uint8Array.of(7));
    for (let offset = 0; offset < 8; offset++) {
      const buffer = new Uint8Array(bytes.length + 16);
      buffer.set(bytes, offset);
      assert.deepEqual([...dataFrame.decode(buffer.subarray(offset, offset + bytes.length)).payload], [7]);
    }
  });

  it("is refused for a kind without one", () => {
    assert.throws(() => endFrame.encode(end, Uint8Array.of(1)), { code: "MILL_FRAME_INVALID" });
  });
});

describe("wire/frame: what is not a frame of the kind", () => {
  it("names the field of a header that does not fit its schema", () => {
    const wrong = { ...end, sequence: 1 as unknown as bigint };
    assert.throws(() => endFrame.encode(wrong), {
      code: "MILL_FRAME_INVALID",
      message: /"end" has a number at "sequence"/,
    });
    assert.throws(() => endFrame.encode({ ...end, sequence: 2n ** 63n }), {
      code: "MILL_FRAME_INVALID",
      message: /sequence/,
    });
    const { attempt: _, ...missing } = end;
    assert.throws(() => endFrame.encode(missing as typeof end), {
      code: "MILL_FRAME_INVALID",
      message: /no value at "attempt"/,
    });
    assert.throws(() => dataFrame.encode({ ...header, schemaId: new Uint8Array(7) }), { code: "MILL_FRAME_INVALID" });
  });

  it("says which kind came instead", () => {
    const bytes = endFrame.encode(end);
    assert.equal(frameKind(bytes), "end");
    assert.throws(() => loadReportFrame.decode(bytes), {
      code: "MILL_FRAME_INVALID",
      message: /"load-report", got "end"/,
    });
  });

  it("refuses an unknown fingerprint by name", () => {
    const bytes = endFrame.encode(end);
    bytes.fill(0xab, 2, 10);
    const expected = { code: "MILL_FRAME_UNKNOWN_SCHEMA", message: /abababababababab/ };
    assert.throws(() => decodeFrame(bytes), expected);
    assert.throws(() => endFrame.decode(bytes), expected);
    assert.throws(() => frameKind(bytes), expected);
  });

  it("refuses bytes behind the frame", () => {
    const longer = Buffer.concat([endFrame.encode(end), Buffer.from([0])]);
    assert.throws(() => endFrame.decode(longer), { code: "MILL_FRAME_INVALID", message: /1 bytes too many/ });
  });
});

describe("wire/frame: limits (F4)", () => {
  const tooLarge = { code: "MILL_FRAME_TOO_LARGE" };

  it("does not make a frame over limits.frameBytesMax, and allocates nothing for it", () => {
    const piece = new Uint8Array(16 * 1024 * 1024);
    const pieces = Array.from({ length: limits.frameBytesMax / piece.length }, () => piece);
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => dataFrame.encode(header, pieces), tooLarge);
    assert.ok(process.memoryUsage().arrayBuffers - before < piece.length);
  });

  it("does not read a frame over limits.frameBytesMax", () => {
    const bytes = new Uint8Array(limits.frameBytesMax + 1);
    bytes.set(dataFrame.encode(header));
    assert.throws(() => dataFrame.decode(bytes), tooLarge);
  });

  it("neither makes nor reads a header over limits.frameHeaderBytesMax", () => {
    const channel = "c".repeat(limits.frameHeaderBytesMax);
    assert.throws(() => endFrame.encode({ ...end, channel }), tooLarge);
    const short = endFrame.encode({ ...end, channel: "" });
    const length = Buffer.from([0x80, 0x80, 0x80, 0x04]); // zigzag of 4 MiB
    const long = Buffer.concat([short.subarray(0, 10), length, Buffer.from(channel), short.subarray(11)]);
    assert.equal(limits.frameHeaderBytesMax, 4 * 1024 * 1024);
    assert.throws(() => endFrame.decode(long), tooLarge);
  });
});
