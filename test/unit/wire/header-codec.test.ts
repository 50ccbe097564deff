import assert from "node:assert/strict";
import fc from "fast-check";
import { HeaderReader, HeaderWriter } from "../../../src/wire/header-bytes.js";
import type { SchemaVersion } from "../../../src/wire/schema-registry.js";
import { Cursor } from "../../../src/wire/skim.js";
import { arbitraryOf } from "./arbitrary.js";
import { schemas } from "./hex-file.js";

const writer = new HeaderWriter(2 ** 20);

function written({ codec }: SchemaVersion, header: unknown): Buffer {
  writer.begin(new Uint8Array(0));
  codec!.write(writer, header);
  const bytes = Buffer.alloc(writer.length);
  writer.copyTo(bytes);
  return bytes;
}

const byAvsc = ({ header: type, shape }: SchemaVersion, header: unknown) => type.toBuffer(shape.toAvro(header));

function throws(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}

describe("wire/header-codec: the same bytes as avsc, and the same values (C1)", () => {
  for (const kind of schemas.kinds) {
    const version = schemas.current(kind);
    const headers = arbitraryOf(version.header);

    it(`${kind}: any header`, () => {
      fc.assert(
        fc.property(headers, (header) => {
          const bytes = byAvsc(version, header);
          assert.ok(written(version, header).equals(bytes));
          const reader = new HeaderReader(bytes, 0, bytes.length);
          assert.deepEqual(version.codec!.read(reader), header);
          assert.equal(reader.position, bytes.length);
        }),
        { numRuns: 50 },
      );
    });

    it(`${kind}: refuses a broken header exactly where it is refused when it is looked through (K1 to K3)`, () => {
      fc.assert(
        fc.property(headers, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (header, at, run) => {
          const bytes = Buffer.from(byAvsc(version, header));
          if (bytes.length === 0) return;
          bytes.set(run.subarray(0, bytes.length - (at % bytes.length)), at % bytes.length);
          const cursor = new Cursor(bytes, 0, bytes.length);
          const refused = throws(() => version.skim(cursor));
          const reader = new HeaderReader(bytes, 0, bytes.length);
          assert.equal(
            throws(() => version.codec!.read(reader)),
            refused,
          );
          if (!refused) assert.equal(reader.position, cursor.position);
        }),
        { numRuns: 100 },
      );
    });
  }

  it("a field that is left out has its default, and without one it is refused", () => {
    const version = schemas.current("credit");
    const header = { channel: "c", attempt: 1, acknowledged: 1n, bytesGranted: 2n, framesGranted: 3n };
    assert.ok(written(version, header).equals(byAvsc(version, header)));
    const { attempt: _, ...without } = header;
    assert.throws(() => written(version, without));
  });

  it("half of a surrogate pair, which no UTF-8 can say, becomes the sign for that; avsc writes what nobody may read", () => {
    const version = schemas.current("end");
    const bytes = written(version, { channel: "a\ud800", attempt: 1, sequence: 1n, barriers: 0n });
    const read = version.codec!.read(new HeaderReader(bytes, 0, bytes.length));
    assert.equal((read as { channel: string }).channel, "a\ufffd");
  });

  it("any value in the place of another is refused by both or by none", () => {
    const version = schemas.current("answer");
    const values = [0, -1, 0.5, 2 ** 31, 2n ** 63n, 1n, "", "OK", "é", null, undefined, true, [], {}, [null], [{}]];
    const bytes = new Uint8Array(8);
    fc.assert(
      fc.property(
        arbitraryOf(version.header),
        fc.constantFrom(...Object.keys(version.codec!.read(readerOf(version)) as object)),
        fc.constantFrom<unknown>(...values, bytes, new Uint8Array(7)),
        (header, field, value) => {
          const changed = { ...(header as object), [field]: value };
          const refused = throws(() => byAvsc(version, changed));
          assert.equal(
            throws(() => written(version, changed)),
            refused,
          );
          if (!refused) assert.ok(written(version, changed).equals(byAvsc(version, changed)));
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** Of some header. */
function readerOf(version: SchemaVersion): HeaderReader {
  const bytes = byAvsc(version, fc.sample(arbitraryOf(version.header), 1)[0]);
  return new HeaderReader(bytes, 0, bytes.length);
}
