import assert from "node:assert/strict";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { columnsFrom } from "../../../src/types/columns-from.js";
import { decodeSchema, encodeSchema } from "../../../src/wire/arrow.js";

describe("types/columns-from: columns of an Arrow schema", () => {
  it("are those that the schema was made of, by name", () => {
    const columns = {
      ...{ a: t.bool, b: t.int32, c: t.int64, d: t.float32, e: t.float64, f: t.utf8, g: t.binary, h: t.timestamp },
      list: t.list(t.list(t.float32)),
      struct: t.struct({ x: t.int32, names: t.list(t.utf8) }),
      maybe: t.optional(t.utf8),
      tensor: t.tensor("float32", [3, 224, 224]),
    };
    const found = columnsFrom(decodeSchema(encodeSchema(arrowSchema(columns))));
    const names = (all: object) => Object.entries(all).map(([name, type]) => `${name}: ${type.name}`);
    assert.deepEqual(names(found), names(columns));
    assert.deepEqual(found.tensor!.tensor, columns.tensor.tensor);
    assert.equal(String(arrowSchema(found)), String(arrowSchema(columns)));
  });

  it("what no topology of these types declares keeps its Arrow type", () => {
    const columns = { picture: t.image };
    const found = columnsFrom(decodeSchema(encodeSchema(arrowSchema(columns))));
    assert.equal(String(arrowSchema(found)), String(arrowSchema(columns)));
  });
});
