/**
 * What a column type is: its name, its Arrow type, and what TypeScript knows of its values. The types themselves are in `columns.ts` (the
 * plain ones), `content-types.ts` and `tensor-types.ts`.
 */
import { type DataType, Field, List, Struct, type TypeMap } from "apache-arrow";

/** The type of a column, made by `t`. `Value` is what a row has in it, `Arrow` how it is stored. See docs/types.md. */
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
  /** What values that are tensors must be. */
  readonly tensor?: TensorSpec;
  /** What content must be. */
  readonly content?: ContentSpec;
  /** Only for TypeScript: the type of one value. */
  readonly value?: Value;
}

/** What a tensor column says of its values. */
export interface TensorSpec {
  readonly dtype: TensorDtype;
  /** null: the size varies from row to row. */
  readonly shape: readonly (number | null)[];
  /** Elements of each value; undefined: it varies. */
  readonly size: number | undefined;
}

/** What a content column says of its values. */
export interface ContentSpec {
  readonly form: "encoded" | "pixels" | "samples";
  /** Of one channel of a pixel, or one sample; of what is encoded, 1. */
  readonly elementBytes: number;
}

/** What elements are, and what holds several of them. Of float16 it is the bits: not every Node has an array for its values. */
export interface TensorArrays {
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  float16: Uint16Array;
  float32: Float32Array;
  float64: Float64Array;
}
/** Elements that a tensor can have: `float32`, `uint8` and so on. */
export type TensorDtype = keyof TensorArrays;

/** Columns of a stream or a service: types by name, in order. Made of `t`. */
export type Columns = Readonly<Record<string, ColumnType>>;
export type ValueOf<T> = T extends ColumnType<infer Value, DataType> ? Value : never;
export type ArrowOf<T> = T extends ColumnType<unknown, infer Arrow> ? Arrow : never;
/** A row with these columns, as an object. Null only where the type is optional. */
export type Row<C extends Columns> = { -readonly [K in keyof C]: ValueOf<C[K]> };
/** The type map of the Arrow batches of a stream with these columns. */
export type ArrowColumns<C extends Columns> = { [K in keyof C & string]: ArrowOf<C[K]> } & TypeMap;
export type StructType<C extends Columns> = ColumnType<Row<C>, Struct<ArrowColumns<C>>> & { readonly columns: C };
export type ListType<T extends ColumnType> = ColumnType<ValueOf<T>[], List<ArrowOf<T>>> & { readonly item: T };

const NO_METADATA: ReadonlyMap<string, string> = new Map();
const EXTENSION_NAME = "ARROW:extension:name";
const EXTENSION_METADATA = "ARROW:extension:metadata";

export function primitive<Value, Arrow extends DataType>(name: string, arrow: Arrow): ColumnType<Value, Arrow> {
  return { name, arrow, nullable: false, metadata: NO_METADATA };
}

export function fieldsOf(columns: Columns): Field[] {
  return Object.entries(columns).map(([name, type]) => fieldOf(name, type));
}

function fieldOf(name: string, type: ColumnType): Field {
  return new Field(name, type.arrow, type.nullable, new Map(type.metadata));
}

export function structType<C extends Columns>(columns: C): StructType<C> {
  const parts = Object.entries(columns).map(([name, type]) => `${name}: ${type.name}`);
  return { ...primitive(`struct<${parts.join(", ")}>`, new Struct(fieldsOf(columns))), columns };
}

export function listType<T extends ColumnType>(item: T): ListType<T> {
  return { ...primitive(`list<${item.name}>`, new List(fieldOf("item", item)) as List<ArrowOf<T>>), item };
}

export function optionalType<V, A extends DataType>(type: ColumnType<V, A>): ColumnType<V | null, A> {
  if (type.nullable) return type;
  return { ...type, name: `${type.name}?`, nullable: true } as ColumnType<V | null, A>;
}

/** Arrow field metadata of an extension type. @param metadata as the type wants it; empty: it has none */
export function extension(name: string, metadata: string): ReadonlyMap<string, string> {
  return new Map([
    [EXTENSION_NAME, name],
    [EXTENSION_METADATA, metadata],
  ]);
}

/** Of a column type or of an Arrow field; empty: it is of no extension type. */
export function extensionOf({ metadata }: { readonly metadata: ReadonlyMap<string, string> }): string {
  return metadata.get(EXTENSION_NAME) ?? "";
}
