/**
 * Column types: what a user writes in a topology, what TypeScript knows of a row, and the Arrow type underneath.
 *
 * A value of `Columns` is an ordered record from column name to type. `Row<C>` is the object a row operator sees,
 * `ArrowColumns<C>` the type map of the Arrow record batch that a batch operator sees.
 */
import {
  Binary,
  Bool,
  type DataType,
  Float32,
  Float64,
  Int32,
  Int64,
  Schema,
  TimestampMillisecond,
  Utf8,
} from "apache-arrow";
import {
  type ArrowColumns,
  type Columns,
  type ColumnType,
  fieldsOf,
  listType,
  optionalType,
  primitive,
  structType,
} from "./column-type.js";
import { contentTypes } from "./content-types.js";
import { tensorTypes } from "./tensor-types.js";

export type {
  ArrowColumns,
  ArrowOf,
  Columns,
  ColumnType,
  ListType,
  Row,
  StructType,
  ValueOf,
} from "./column-type.js";
export type { ObjectRef } from "./content-types.js";

/** The types that a column can have. */
export const t = {
  bool: primitive<boolean, Bool>("bool", new Bool()),
  int32: primitive<number, Int32>("int32", new Int32()),
  /** A `bigint`: offsets, sequence numbers and counts that may pass 2^53. */
  int64: primitive<bigint, Int64>("int64", new Int64()),
  float32: primitive<number, Float32>("float32", new Float32()),
  float64: primitive<number, Float64>("float64", new Float64()),
  utf8: primitive<string, Utf8>("utf8", new Utf8()),
  binary: primitive<Uint8Array, Binary>("binary", new Binary()),
  /** Milliseconds since the Unix epoch, UTC. */
  timestamp: primitive<number, TimestampMillisecond>("timestamp", new TimestampMillisecond("UTC")),
  list: listType,
  struct: structType,
  ...contentTypes,
  ...tensorTypes,
  /** The same type, where `null` is a value. */
  optional<V, A extends DataType>(type: ColumnType<V, A>): ColumnType<V | null, A> {
    return optionalType(type);
  },
} as const;

/** The Arrow schema that batches of these columns have. Extension types are in the metadata of its fields. */
export function arrowSchema<C extends Columns>(columns: C): Schema<ArrowColumns<C>> {
  return new Schema(fieldsOf(columns)) as unknown as Schema<ArrowColumns<C>>;
}
