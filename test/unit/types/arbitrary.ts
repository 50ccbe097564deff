/** Random column types with random values of them, nested up to a depth. */
import fc from "fast-check";
import { type Columns, type ColumnType, type Row, t } from "../../../src/types/columns.js";

interface TypeWithValues {
  readonly type: ColumnType;
  readonly values: fc.Arbitrary<unknown>;
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
// Well-formed: UTF-8 has no bytes for half of a surrogate pair.
const text = fc.string({ unit: "binary", maxLength: 8 });

/** Every type of `t` that holds no others, by its name. */
export const plainTypes: Readonly<Record<string, TypeWithValues>> = {
  bool: { type: t.bool, values: fc.boolean() },
  int32: { type: t.int32, values: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
  int64: { type: t.int64, values: int64 },
  float32: { type: t.float32, values: fc.float() },
  float64: { type: t.float64, values: fc.double() },
  utf8: { type: t.utf8, values: text },
  binary: { type: t.binary, values: fc.uint8Array({ maxLength: 12 }) },
  timestamp: { type: t.timestamp, values: fc.maxSafeInteger() },
  objectRef: {
    type: t.objectRef,
    values: fc.record(
      { uri: text, offset: int64, sizeBytes: int64, sha256: text, mediaType: text },
      { noNullPrototype: true },
    ),
  },
};

const leaf = fc.constantFrom(...Object.values(plainTypes));

function optional({ type, values }: TypeWithValues): TypeWithValues {
  return { type: t.optional(type), values: fc.option(values) };
}

function listOf({ type, values }: TypeWithValues): TypeWithValues {
  return { type: t.list(type), values: fc.array(values, { maxLength: 3 }) };
}

function structOf(parts: readonly TypeWithValues[]): TypeWithValues {
  const named = parts.map((part, i) => [`part${i}`, part] as const);
  return {
    type: t.struct(Object.fromEntries(named.map(([name, part]) => [name, part.type]))),
    values: fc.record(Object.fromEntries(named.map(([name, part]) => [name, part.values])), { noNullPrototype: true }),
  };
}

export const anyType: fc.Arbitrary<TypeWithValues> = fc.letrec<{ type: TypeWithValues }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 3, depthSize: "medium" },
    leaf,
    tie("type").map(optional),
    tie("type").map(listOf),
    fc.array(tie("type"), { minLength: 1, maxLength: 3 }).map(structOf),
  ),
})).type;

/** Columns of random types and rows that fit them. */
export const anyRows: fc.Arbitrary<{ readonly columns: Columns; readonly rows: Row<Columns>[] }> = fc
  .array(anyType, { minLength: 1, maxLength: 4 })
  .chain((types) => {
    const columns = Object.fromEntries(types.map(({ type }, i) => [`column${i}`, type]));
    const row = fc.record(Object.fromEntries(types.map(({ values }, i) => [`column${i}`, values])), {
      noNullPrototype: true,
    });
    return fc.array(row, { maxLength: 12 }).map((rows) => ({ columns, rows: rows as Row<Columns>[] }));
  });
