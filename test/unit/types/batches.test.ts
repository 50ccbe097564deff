import assert from "node:assert/strict";
import { Float64, makeData, makeVector, Utf8, vectorFromArray } from "apache-arrow";
import fc from "fast-check";
import { batchFromColumns, batchFromRows, columnOf, rowsOf } from "../../../src/types/batches.js";
import { type Columns, type ColumnType, type Row, t } from "../../../src/types/columns.js";
import { anyRows, plainTypes, tensorKinds } from "./arbitrary.js";

/** What the compiler would refuse, as it comes from plain JavaScript. */
function batchOf(columns: Columns, rows: readonly unknown[]) {
  return batchFromRows(columns, rows as Row<Columns>[]);
}

function backAndForth(columns: Columns, rows: readonly unknown[]) {
  return rowsOf(columns, batchOf(columns, rows));
}

describe("types/batches: rows to a batch and back", () => {
  for (const [name, { type, values }] of Object.entries({ ...plainTypes, ...tensorKinds })) {
    it(`t.${name}: every value comes back as it was, and null where it is optional`, () => {
      const columns = { value: type, maybe: t.optional(type) };
      const row = fc.record({ value: values, maybe: fc.option(values) }, { noNullPrototype: true });
      fc.assert(
        fc.property(fc.array(row, { maxLength: 20 }), (rows) => assert.deepEqual(backAndForth(columns, rows), rows)),
      );
    });
  }

  it("lists, structs and optional ones of any depth come back as they were", () => {
    fc.assert(
      fc.property(anyRows, ({ columns, rows }) => assert.deepEqual(backAndForth(columns, rows), rows)),
      { numRuns: 300 },
    );
  });

  it("a text that begins with U+FEFF, which is a byte order mark to others, comes back whole", () => {
    const rows = [
      { text: "\ufeffa", maybe: null },
      { text: "a\ufeff", maybe: "\ufeff" },
    ];
    assert.deepEqual(backAndForth({ text: t.utf8, maybe: t.optional(t.utf8) }, rows), rows);
  });

  it("a slice of a batch reads its own rows", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(12), fc.nat(12), ({ columns, rows }, a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        assert.deepEqual(rowsOf(columns, batchOf(columns, rows).slice(start, end)), rows.slice(start, end));
      }),
    );
  });

  it("missing properties count as null where the column is optional", () => {
    assert.deepEqual(backAndForth({ a: t.optional(t.utf8) }, [{}]), [{ a: null }]);
  });

  it("properties that are no columns are left out", () => {
    assert.deepEqual(backAndForth({ a: t.int32 }, [{ a: 1, b: 2 }]), [{ a: 1 }]);
  });

  it("columns named like methods of an Arrow row come back", () => {
    const columns = { inner: t.struct({ toJSON: t.utf8, toArray: t.int32, toString: t.utf8 }), get: t.utf8 };
    const rows = [{ inner: { toJSON: "a", toArray: 1, toString: "b" }, get: "c" }];
    assert.deepEqual(backAndForth(columns, rows), rows);
  });

  it("a typed array fills a list of numbers", () => {
    assert.deepEqual(backAndForth({ v: t.list(t.float32) }, [{ v: Float32Array.of(0.5, -1) }]), [{ v: [0.5, -1] }]);
  });

  it("binary values are views of the batch, not copies", () => {
    const batch = batchFromRows({ b: t.binary }, [{ b: Uint8Array.of(1, 2) }, { b: Uint8Array.of(3) }]);
    const [first, second] = rowsOf({ b: t.binary }, batch);
    assert.equal(first?.b.buffer, second?.b.buffer);
  });

  it("columns keep the metadata that names their extension type", () => {
    const batch = batchFromRows({ ref: t.objectRef }, []);
    assert.equal(batch.schema.fields[0]?.metadata.get("ARROW:extension:name"), "millrace.object_ref");
  });
});

describe("types/batches: values that do not fit", () => {
  const wrong: readonly (readonly [string, ColumnType, unknown])[] = [
    ["a number", t.bool, 1],
    ["a fraction", t.int32, 1.5],
    ["NaN", t.int32, Number.NaN],
    ["2^31", t.int32, 2 ** 31],
    ["-2^31 - 1", t.int32, -(2 ** 31) - 1],
    ["a number", t.int64, 1],
    ["2^63", t.int64, 2n ** 63n],
    ["-2^63 - 1", t.int64, -(2n ** 63n) - 1n],
    ["a string", t.float32, "1"],
    ["a bigint", t.float64, 1n],
    ["a number", t.utf8, 1],
    ["bytes", t.utf8, Uint8Array.of(1)],
    ["a string", t.binary, "abc"],
    ["an array", t.binary, [1, 2]],
    ["a Date", t.timestamp, new Date(0)],
    ["a fraction", t.timestamp, 0.5],
    ["2^53", t.timestamp, 2 ** 53],
    ["a string", t.list(t.utf8), "abc"],
    ["an object", t.list(t.utf8), {}],
    ["a string", t.struct({ a: t.utf8 }), "abc"],
    ["a string", t.objectRef, "file:///a"],
    ["null", t.utf8, null],
    ["undefined", t.list(t.utf8), undefined],
  ];
  for (const [what, type, value] of wrong) {
    it(`${what} for ${type.name} is MILL_RECORD_INVALID and names column and type`, () => {
      assert.throws(() => batchOf({ fine: t.int32, broken: type }, [{ fine: 1, broken: value }]), {
        code: "MILL_RECORD_INVALID",
        message: /column "broken/,
        facts: { column: "broken", type: type.name },
      });
    });
  }

  const nested: readonly (readonly [string, ColumnType, unknown])[] = [
    ["c[]", t.list(t.int32), [1, "2"]],
    ["c.a", t.struct({ a: t.int32 }), { a: "1" }],
    ["c.a", t.struct({ a: t.int32 }), {}],
    ["c[].a[]", t.list(t.struct({ a: t.list(t.utf8) })), [{ a: ["x", null] }]],
    ["c.sizeBytes", t.objectRef, { uri: "", offset: 0n, sizeBytes: 5, sha256: "", mediaType: "" }],
  ];
  for (const [path, type, value] of nested) {
    it(`the name shows where in ${type.name} it is: ${path}`, () => {
      assert.throws(() => batchOf({ c: type }, [{ c: value }]), {
        code: "MILL_RECORD_INVALID",
        facts: { column: path, type: /.*/.exec(typeAt(type, path))![0] },
      });
    });
  }

  it("a missing part of a struct is refused, also where another row has no struct at all", () => {
    const columns = { s: t.optional(t.struct({ a: t.utf8, b: t.optional(t.utf8) })) };
    assert.deepEqual(backAndForth(columns, [{ s: null }, { s: { a: "x" } }]), [
      { s: null },
      { s: { a: "x", b: null } },
    ]);
    assert.throws(() => batchOf(columns, [{ s: null }, { s: { b: "y" } }]), {
      code: "MILL_RECORD_INVALID",
      message: /column "s\.a" \(utf8\): row 1 has no value/,
    });
  });

  it("the message says what to do about a null", () => {
    assert.throws(() => batchOf({ a: t.utf8 }, [{ a: "x" }, { a: null }]), {
      message: 'column "a" (utf8): row 1 has no value; give one, or declare the column with t.optional(...).',
    });
  });

  for (const row of [null, undefined, 5, "row"]) {
    it(`a row that is ${row} is MILL_RECORD_INVALID and named by its place`, () => {
      assert.throws(() => batchOf({ a: t.utf8 }, [{ a: "x" }, row]), {
        code: "MILL_RECORD_INVALID",
        message: /^row 1 is /,
      });
    });
  }

  it("more bytes than 32-bit offsets reach are refused, not laid out wrong", () => {
    const megabyte = { b: new Uint8Array(2 ** 20) };
    assert.throws(
      () =>
        batchFromRows(
          { b: t.binary },
          Array.from({ length: 2048 }, () => megabyte),
        ),
      {
        code: "MILL_RECORD_INVALID",
        message: /column "b" \(binary\): 2048 rows have 2147483648 bytes; one batch holds 2147483647/,
      },
    );
  });
});

describe("types/batches: whole columns to a batch", () => {
  const columns = { n: t.float64, name: t.utf8 };

  it("takes arrays, vectors and data, and does not copy the latter", () => {
    const values = Float64Array.of(1, 2);
    const batch = batchFromColumns(columns, { n: makeVector(values), name: ["a", "b"] });
    assert.deepEqual(rowsOf(columns, batch), [
      { n: 1, name: "a" },
      { n: 2, name: "b" },
    ]);
    assert.equal(columnOf(batch, "n").data[0]?.values.buffer, values.buffer);
    const again = batchFromColumns(columns, { n: makeData({ type: new Float64(), data: values }), name: ["a", "b"] });
    assert.equal(columnOf(again, "n").data[0]?.values.buffer, values.buffer);
  });

  it("takes a column of another batch", () => {
    const batch = batchFromRows(columns, [{ n: 1, name: "a" }]);
    const next = { name: t.utf8, length: t.int32 };
    const made = batchFromColumns(next, { name: columnOf(batch, "name"), length: [1] });
    assert.deepEqual(rowsOf(next, made), [{ name: "a", length: 1 }]);
  });

  it("columns of different lengths are refused, and the one that differs is named", () => {
    assert.throws(() => batchFromColumns(columns, { n: [1, 2], name: ["a"] }), {
      code: "MILL_RECORD_INVALID",
      message: /column "name" \(utf8\): it has 1 values where the columns before it have 2/,
    });
  });

  it("a column that was not given is named", () => {
    const given = { n: [1] } as unknown as { n: number[]; name: string[] };
    assert.throws(() => batchFromColumns(columns, given), { code: "MILL_RECORD_INVALID", message: /column "name"/ });
  });

  it("a vector of another type is refused with both types", () => {
    const given = { n: vectorFromArray(["a"], new Utf8()), name: ["a"] };
    assert.throws(() => batchFromColumns(columns, given), {
      code: "MILL_RECORD_INVALID",
      message: /column "n" \(float64\): it is of Arrow type Utf8; give an array, or a vector of Float64/,
    });
  });

  it("what is neither array nor vector is refused", () => {
    const given = { n: Float64Array.of(1), name: ["a"] } as unknown as { n: number[]; name: string[] };
    assert.throws(() => batchFromColumns(columns, given), { code: "MILL_RECORD_INVALID", message: /column "n"/ });
  });

  it("a vector of several chunks is refused", () => {
    const chunks = makeVector(Float64Array.of(1)).concat(makeVector(Float64Array.of(2)));
    assert.throws(() => batchFromColumns(columns, { n: chunks, name: ["a", "b"] }), {
      code: "MILL_RECORD_INVALID",
      message: /column "n" \(float64\): the vector has 2 chunks; give one/,
    });
  });

  it("nulls in a vector are refused where the column has none, at any depth", () => {
    const loose = { v: t.optional(t.list(t.optional(t.struct({ a: t.optional(t.utf8) })))) };
    const strict = { v: t.list(t.struct({ a: t.utf8 })) };
    const vectorOf = (v: Row<typeof loose>["v"]) => columnOf(batchFromRows(loose, [{ v: [{ a: "x" }] }, { v }]), "v");
    const taken = batchFromColumns(strict, { v: vectorOf([]) });
    assert.deepEqual(rowsOf(strict, taken), [{ v: [{ a: "x" }] }, { v: [] }]);
    for (const [column, v] of [
      ["v", null],
      ["v[]", [null]],
      ["v[].a", [{ a: null }]],
    ] as const) {
      assert.throws(() => batchFromColumns(strict, { v: vectorOf(v as Row<typeof loose>["v"]) }), {
        code: "MILL_RECORD_INVALID",
        message: new RegExp(`column "${column.replace(/[[\].]/g, "\\$&")}" \\(.*\\): 1 values are null`),
      });
    }
  });

  it("a null part is refused where its struct is there, and not where it is missing", () => {
    const loose = { s: t.optional(t.struct({ a: t.optional(t.utf8) })) };
    const strict = { s: t.optional(t.struct({ a: t.utf8 })) };
    const taken = (rows: Row<typeof loose>[]) =>
      rowsOf(strict, batchFromColumns(strict, { s: columnOf(batchFromRows(loose, rows), "s") }));
    assert.deepEqual(taken([{ s: null }, { s: { a: "x" } }]), [{ s: null }, { s: { a: "x" } }]);
    assert.throws(() => taken([{ s: null }, { s: { a: null } }]), {
      code: "MILL_RECORD_INVALID",
      message: /column "s\.a" \(utf8\): 1 values are null/,
    });
  });

  it("nulls outside a slice are nobody's", () => {
    const batch = batchFromRows({ a: t.optional(t.utf8) }, [{ a: null }, { a: "x" }, { a: null }]);
    const taken = batchFromColumns({ a: t.utf8 }, { a: columnOf(batch.slice(1, 2), "a") });
    assert.deepEqual(rowsOf({ a: t.utf8 }, taken), [{ a: "x" }]);
  });
});

describe("types/batches: a column of a batch", () => {
  it("one that is not there is MILL_TOPOLOGY_COLUMN and says what is", () => {
    const batch = batchFromRows({ a: t.int32, b: t.int32 }, []);
    assert.throws(() => columnOf(batch, "c"), {
      code: "MILL_TOPOLOGY_COLUMN",
      message: 'the batch has no column "c". It has: a, b.',
    });
  });
});

/** Name of the type that a path such as `c[].a` leads to. */
function typeAt(type: ColumnType, path: string): string {
  const steps = path.match(/\[\]|\.[a-zA-Z]+/g) ?? [];
  return steps.reduce<ColumnType>((at, step) => (step === "[]" ? at.item! : at.columns![step.slice(1)]!), type).name;
}
