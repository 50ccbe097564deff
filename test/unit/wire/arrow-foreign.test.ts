import assert from "node:assert/strict";
import { join } from "node:path";
import { decodeBatch, SchemaReceiver } from "../../../src/wire/arrow.js";
import { dataFrame } from "../../../src/wire/frames.js";
import { packageRoot, readHex } from "./hex-file.js";

const folder = join(packageRoot, "test", "golden", "foreign");
const first = dataFrame.decode(readHex(join(folder, "data.hex")));
const empty = dataFrame.decode(readHex(join(folder, "data-empty.hex")));

/** Row i of the eight that the other program made; it sent rows 1 to 5. */
function rowOf(i: number): unknown {
  return {
    id: BigInt(i),
    text: i % 2 ? null : `t${i}`,
    ok: i === 3 ? null : i % 3 === 0,
    tags: i === 4 ? null : Array.from({ length: i % 3 }, (_, j) => `a${j}`),
    box: i === 2 ? null : { x: i / 2, n: i === 1 ? null : i },
    vec: [i, i + 0.5],
    raw: Array.from({ length: i }, (_, j) => j),
    nothing: null,
    at: i * 1000,
    price: i * 100 + 25,
    m: { k: i },
  };
}

describe("wire: frames written by fastavro and pyarrow", () => {
  const schema = new SchemaReceiver().accept(first.header);

  it("every type, with nulls, from a slice of a larger batch", () => {
    const batch = decodeBatch(schema, first.payload);
    const rows = batch.toArray().map((row) => {
      const { tags, box, vec, raw, price, m, ...rest } = row.toJSON();
      return {
        ...rest,
        tags: tags === null ? null : [...tags],
        box: box === null ? null : box.toJSON(),
        vec: [...vec],
        raw: [...raw],
        price: new Int32Array(price.buffer, price.byteOffset, 1)[0],
        m: m.toJSON(),
      };
    });
    assert.deepEqual(
      rows,
      [1, 2, 3, 4, 5].map(rowOf).map((row) => ({ ...(row as object) })),
    );
  });

  it("no rows, where pyarrow leaves buffers empty", () => {
    assert.equal(decodeBatch(schema, empty.payload).numRows, 0);
  });
});
