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
  Field,
  Float32,
  Float64,
  Int32,
  Int64,
  List,
  Schema,
  Struct,
  TimestampMillisecond,
  type TypeMap,
  Utf8,
} from "apache-arrow";

export interface ColumnType<Value = unknown, Arrow extends DataType = DataType> {
  /** As written in messages: `int32`, `list<struct<text: utf8>>`. Two types are equal when their names are. */
  readonly name: string;
  readonly arrow: Arrow;
  readonly nullable: boolean;
  /** Arrow field metadata: names the extension type, if it is one. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Parts of a nested type. */
  readonly item?: ColumnType;
  readonly columns?: Columns;
  /** Only for TypeScript: the type of one value. */
  readonly value?: Value;
}

export type Columns = Readonly<Record<string, ColumnType>>;
export type ValueOf<T> = T extends ColumnType<infer Value, DataType> ? Value : never;
export type ArrowOf<T> = T extends ColumnType<unknown, infer Arrow> ? Arrow : never;
export type Row<C extends Columns> = { -readonly [K in keyof C]: ValueOf<C[K]> };
export type ArrowColumns<C extends Columns> = { [K in keyof C & string]: ArrowOf<C[K]> } & TypeMap;

/** A reference to content that is passed by value and fetched when it is first needed. */
export interface ObjectRef {
  /** `file:///folder/page.png` or `s3://bucket/key`. */
  readonly uri: string;
  /** First byte of the content within the object. */
  readonly offset: bigint;
  /** Bytes of the content; -1n: to the object's end. */
  readonly sizeBytes: bigint;
  /** Lower-case hex, checked when the content is read; empty: not known. */
  readonly sha256: string;
  /** As in `image/png`; empty: not known. */
  readonly mediaType: string;
}

const NO_METADATA: ReadonlyMap<string, string> = new Map();

function primitive<Value, Arrow extends DataType>(name: string, arrow: Arrow): ColumnType<Value, Arrow> {
  return { name, arrow, nullable: false, metadata: NO_METADATA };
}

function fieldOf(name: string, type: ColumnType): Field {
  return new Field(name, type.arrow, type.nullable, new Map(type.metadata));
}

function fieldsOf(columns: Columns): Field[] {
  return Object.entries(columns).map(([name, type]) => fieldOf(name, type));
}

export type StructType<C extends Columns> = ColumnType<Row<C>, Struct<ArrowColumns<C>>> & { readonly columns: C };
export type ListType<T extends ColumnType> = ColumnType<ValueOf<T>[], List<ArrowOf<T>>> & { readonly item: T };

function struct<C extends Columns>(columns: C): StructType<C> {
  const parts = Object.entries(columns).map(([name, type]) => `${name}: ${type.name}`);
  return { ...primitive(`struct<${parts.join(", ")}>`, new Struct(fieldsOf(columns))), columns };
}

function list<T extends ColumnType>(item: T): ListType<T> {
  return { ...primitive(`list<${item.name}>`, new List(fieldOf("item", item)) as List<ArrowOf<T>>), item };
}

const refColumns = {
  uri: primitive<string, Utf8>("utf8", new Utf8()),
  offset: primitive<bigint, Int64>("int64", new Int64()),
  sizeBytes: primitive<bigint, Int64>("int64", new Int64()),
  sha256: primitive<string, Utf8>("utf8", new Utf8()),
  mediaType: primitive<string, Utf8>("utf8", new Utf8()),
};

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
  list,
  struct,
  /** Arrow extension type `millrace.object_ref` over a struct; see `ObjectRef`. */
  objectRef: {
    ...primitive<ObjectRef, Struct<ArrowColumns<typeof refColumns>>>("object_ref", new Struct(fieldsOf(refColumns))),
    columns: refColumns,
    metadata: new Map([
      ["ARROW:extension:name", "millrace.object_ref"],
      ["ARROW:extension:metadata", ""],
    ]),
  },
  /** The same type, where `null` is a value. */
  optional<V, A extends DataType>(type: ColumnType<V, A>): ColumnType<V | null, A> {
    if (type.nullable) return type;
    return { ...type, name: `${type.name}?`, nullable: true } as ColumnType<V | null, A>;
  },
} as const;

export function arrowSchema<C extends Columns>(columns: C): Schema<ArrowColumns<C>> {
  return new Schema(fieldsOf(columns)) as unknown as Schema<ArrowColumns<C>>;
}
