/**
 * Between the values of our types and those of avsc: bytes are any `Uint8Array` on the way in (avsc wants `Buffer`),
 * and records are plain objects on the way out (avsc makes instances of a generated class).
 */
import avro, { type Type, type types } from "avsc";

type Convert = (value: unknown) => unknown;

export interface Shape {
  readonly toAvro: Convert;
  readonly fromAvro: Convert;
}

const same: Convert = (value) => value;
const SAME: Shape = { toAvro: same, fromAvro: same };

const BYTES: Shape = {
  toAvro: (value) => (value instanceof Uint8Array ? asBuffer(value) : value),
  fromAvro: same,
};

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function shape(type: Type): Shape {
  if (type instanceof avro.types.RecordType) return recordShape(type);
  if (type instanceof avro.types.ArrayType) return each(shape(type.itemsType), mapArray);
  if (type instanceof avro.types.MapType) return each(shape(type.valuesType as Type), mapValues);
  if (type instanceof avro.types.UnwrappedUnionType) return unionShape(type);
  return type instanceof avro.types.BytesType || type instanceof avro.types.FixedType ? BYTES : SAME;
}

function recordShape(type: types.RecordType): Shape {
  const fields = type.fields.map((field) => ({ name: field.name, ...shape(field.type) }));
  const convert = (direction: "toAvro" | "fromAvro"): Convert => {
    return (value) => {
      if (typeof value !== "object" || value === null) return value;
      const given = value as Record<string, unknown>;
      const made: Record<string, unknown> = {};
      for (const field of fields) made[field.name] = field[direction](given[field.name]);
      return made;
    };
  };
  return { toAvro: convert("toAvro"), fromAvro: convert("fromAvro") };
}

/** One branch beside null has that branch's shape; among several, bytes are known by their class, records not at all. */
function unionShape(type: types.UnwrappedUnionType): Shape {
  const branches = type.types.filter((branch) => branch.typeName !== "null");
  if (branches.length === 1) {
    const inner = shape(branches[0]!);
    const unlessNull = (convert: Convert): Convert => {
      return (value) => (value === null || value === undefined ? value : convert(value));
    };
    return { toAvro: unlessNull(inner.toAvro), fromAvro: unlessNull(inner.fromAvro) };
  }
  return BYTES;
}

function each(inner: Shape, over: (value: unknown, convert: Convert) => unknown): Shape {
  return { toAvro: (value) => over(value, inner.toAvro), fromAvro: (value) => over(value, inner.fromAvro) };
}

function mapArray(value: unknown, convert: Convert): unknown {
  return Array.isArray(value) && convert !== same ? value.map(convert) : value;
}

function mapValues(value: unknown, convert: Convert): unknown {
  if (typeof value !== "object" || value === null || convert === same) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, convert(item)]));
}
