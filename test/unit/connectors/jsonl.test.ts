import assert from "node:assert/strict";
import fc from "fast-check";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Columns, type ColumnType, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { anyRows } from "../types/arbitrary.js";
import { everyRow, everyType, published } from "./writing.js";

async function textOf(columns: Columns, ...parts: (readonly unknown[])[]): Promise<string> {
  const batches = parts.map((rows) => batchFromRows(columns, rows as never));
  return Buffer.from(await published(jsonl("out"), columns, batches)).toString("utf8");
}

describe("connectors/jsonl: rows as lines", () => {
  it("every column type has its form", async () => {
    assert.equal(
      await textOf(everyType, everyRow),
      [
        `{"flag":true,"small":-2147483648,"large":"9223372036854775807","single":0.5,"double":1e+300,`,
        `"text":"naïve \\"日本\\"\\n\u2028","bytes":"AP8K","when":1700000000123,"list":[1,2,3],`,
        `"struct":{"text":"a","flag":false},"nested":[{"quad":[0,1.5]},{"quad":[]}],`,
        `"ref":{"uri":"file:///a%20b.png","offset":0,"sizeBytes":-1,"sha256":"","mediaType":"image/png"},"maybe":null}\n`,
        `{"flag":false,"small":2147483647,"large":5,"single":-1,"double":0,"text":"","bytes":"","when":0,"list":[],`,
        `"struct":{"text":"","flag":true},"nested":[],`,
        `"ref":{"uri":"s3://b/k","offset":"9007199254740992","sizeBytes":7,"sha256":"ab","mediaType":""},"maybe":"there"}\n`,
      ].join(""),
    );
  });

  const forms: readonly (readonly [string, ColumnType, unknown, string])[] = [
    ["the largest safe integer is a number", t.int64, 2n ** 53n - 1n, "9007199254740991"],
    ["one more is a string: a number would be read as another", t.int64, 2n ** 53n, '"9007199254740992"'],
    ["so is one less than the smallest", t.int64, -(2n ** 53n), '"-9007199254740992"'],
    ["NaN is a string", t.float64, Number.NaN, '"NaN"'],
    ["infinity is a string", t.float32, -Infinity, '"-Infinity"'],
    ["a line break stays within its line", t.utf8, "a\r\nb", '"a\\r\\nb"'],
    ["control characters are escaped", t.utf8, "\u0000\u001f", '"\\u0000\\u001f"'],
    ["bytes in a list are base64", t.list(t.binary), [Uint8Array.of(1)], '["AQ=="]'],
    ["a tensor of one shape is its elements", t.tensor("uint8", [2, 2]), Uint8Array.of(1, 2, 3, 4), "[1,2,3,4]"],
    ["so is an embedding", t.embedding(2, { metric: "dot" }), Float32Array.of(0.5, Number.NaN), '[0.5,"NaN"]'],
    ["large elements are strings", t.tensor("int64", [2]), BigInt64Array.of(1n, 2n ** 60n), `[1,"${2n ** 60n}"]`],
    ["half floats are their values", t.tensor("float16", [2]), Uint16Array.of(0x3c00, 0xc100), "[1,-2.5]"],
    [
      "a tensor of another shape in each row has it beside them",
      t.list(t.struct({ v: t.tensor("uint8", [null, 1]) })),
      [{ v: { data: Uint8Array.of(7, 8), shape: [2, 1] } }],
      '[{"v":{"data":[7,8],"shape":[2,1]}}]',
    ],
    [
      "content has its bytes or none",
      t.list(t.image),
      [inline(Uint8Array.of(1), "image/png")],
      '[{"uri":"","offset":0,"sizeBytes":1,"sha256":"","mediaType":"image/png","bytes":"AQ=="}]',
    ],
    ["nulls stay within lists and structs", t.list(t.optional(t.int32)), [1, null], "[1,null]"],
    ["an absent struct is null", t.optional(t.struct({ a: t.int32 })), null, "null"],
  ];
  for (const [what, type, value, json] of forms) {
    it(what, async () => assert.equal(await textOf({ v: type }, [{ v: value }]), `{"v":${json}}\n`));
  }

  it("a part named toJSON is a value like any other", async () => {
    const columns = { s: t.struct({ toJSON: t.utf8 }) };
    assert.equal(await textOf(columns, [{ s: { toJSON: "x" } }]), '{"s":{"toJSON":"x"}}\n');
  });

  it("batches follow one another, and one without rows adds nothing", async () => {
    assert.equal(await textOf({ n: t.int32 }, [{ n: 1 }], [], [{ n: 2 }]), '{"n":1}\n{"n":2}\n');
  });

  it("any rows come out as one line of JSON each", async () => {
    const someRows = anyRows.filter(({ rows }) => rows.length > 0);
    await fc.assert(
      fc.asyncProperty(someRows, async ({ columns, rows }) => {
        const lines = (await textOf(columns, rows)).split("\n");
        assert.equal(lines.pop(), "");
        assert.deepEqual(
          lines.map((line) => Object.keys(JSON.parse(line))),
          rows.map(() => Object.keys(columns)),
        );
      }),
    );
  });
});
