/** Random column types with random values of them, nested up to a depth. */
import fc from "fast-check";
import { type Columns, type ColumnType, type Row, t } from "../../../src/types/columns.js";
import type { TensorArrays, TensorDtype } from "../../../src/types/tensor-types.js";

interface TypeWithValues {
  readonly type: ColumnType;
  readonly values: fc.Arbitrary<unknown>;
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
// Well-formed: UTF-8 has no bytes for half of a surrogate pair.
const text = fc.string({ unit: "binary", maxLength: 8 });

const address = { uri: fc.constantFrom("file:///a", "s3://b/k"), offset: int64, sha256: text, mediaType: text };

/** Of the values that have the bytes and those that refer to them. @param more that belongs to so many bytes */
function contentOf(sizes: fc.Arbitrary<number>, more: (size: number) => Record<string, unknown> = () => ({})) {
  return sizes.chain((size) => {
    const parts = (bytes: fc.Arbitrary<unknown>) =>
      fc.record({ ...address, bytes }, { noNullPrototype: true }).map(({ uri, offset, sha256, mediaType, bytes }) => ({
        ...{ uri, offset, sizeBytes: BigInt(size), sha256, mediaType, bytes },
        ...more(size),
      }));
    return fc.oneof(parts(fc.constant(null)), parts(fc.uint8Array({ minLength: size, maxLength: size })));
  });
}

const encoded = contentOf(fc.nat(6));
const pixelsOf = (elementBytes: number) =>
  contentOf(
    fc.integer({ min: 1, max: 3 }).map((n) => n * 2 * elementBytes),
    (size) => ({
      width: size / elementBytes / 2,
      height: 1,
      channels: 2,
    }),
  );
const samplesOf = (elementBytes: number) =>
  contentOf(
    fc.nat(3).map((n) => n * 2 * elementBytes),
    () => ({ sampleRate: 16_000, channels: 2 }),
  );

const ELEMENTS: { readonly [D in TensorDtype]: (size: number) => fc.Arbitrary<TensorArrays[D]> } = {
  int8: (size) => fc.int8Array(exactly(size)),
  int16: (size) => fc.int16Array(exactly(size)),
  int32: (size) => fc.int32Array(exactly(size)),
  int64: (size) => fc.bigInt64Array(exactly(size)),
  uint8: (size) => fc.uint8Array(exactly(size)),
  uint16: (size) => fc.uint16Array(exactly(size)),
  uint32: (size) => fc.uint32Array(exactly(size)),
  uint64: (size) => fc.bigUint64Array(exactly(size)),
  float16: (size) => fc.uint16Array(exactly(size)),
  float32: (size) => fc.float32Array({ ...exactly(size), noNaN: true }),
  float64: (size) => fc.float64Array({ ...exactly(size), noNaN: true }),
};

function exactly(size: number) {
  return { minLength: size, maxLength: size };
}

const dtypes = Object.keys(ELEMENTS) as TensorDtype[];

function variableOf(dtype: TensorDtype): fc.Arbitrary<unknown> {
  return fc
    .tuple(fc.nat(2), fc.nat(2))
    .chain(([a, b]) => ELEMENTS[dtype](a * 2 * b).map((data) => ({ data, shape: [a, 2, b] })));
}

/** Tensors of every dtype, by their name. */
export const tensorKinds: Readonly<Record<string, TypeWithValues>> = Object.fromEntries(
  dtypes.flatMap((dtype) => [
    [`tensor("${dtype}", [2, 3])`, { type: t.tensor(dtype, [2, 3]), values: ELEMENTS[dtype](6) }],
    [`tensor("${dtype}", [null, 2, null])`, { type: t.tensor(dtype, [null, 2, null]), values: variableOf(dtype) }],
  ]),
);

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
  image: { type: t.image, values: encoded },
  "pixels()": { type: t.pixels(), values: pixelsOf(1) },
  'pixels("float32")': { type: t.pixels("float32"), values: pixelsOf(4) },
  audio: { type: t.audio, values: encoded },
  "samples()": { type: t.samples(), values: samplesOf(4) },
  'samples("int16")': { type: t.samples("int16"), values: samplesOf(2) },
  video: { type: t.video, values: encoded },
  document: { type: t.document, values: encoded },
  embedding: { type: t.embedding(3, { metric: "cosine", model: "m" }), values: ELEMENTS.float32(3) },
};

const leaf = fc.oneof(fc.constantFrom(...Object.values(plainTypes)), fc.constantFrom(...Object.values(tensorKinds)));

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
