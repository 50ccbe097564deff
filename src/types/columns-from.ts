/** Columns as an Arrow schema tells of them: for whoever has rows of a topology, but not the topology. */
import { type DataType, type Field, DataType as Is, type Schema } from "apache-arrow";
import { type Columns, type ColumnType, extensionOf } from "./column-type.js";
import { t } from "./columns.js";
import type { TensorDtype } from "./tensor-types.js";

/** What is of no type that a topology could declare keeps its Arrow type, and a name that says so. */
export function columnsFrom(schema: Schema): Columns {
  return Object.fromEntries(schema.fields.map((field) => [field.name, columnFrom(field)]));
}

function columnFrom(field: Field): ColumnType {
  const type = valueFrom(field);
  return field.nullable ? t.optional(type) : type;
}

function valueFrom(field: Field): ColumnType {
  const { type } = field;
  if (extensionOf(field) === "arrow.fixed_shape_tensor") return tensorFrom(field);
  if (extensionOf(field) !== "") return foreign(field);
  if (Is.isList(type)) return t.list(columnFrom(type.children[0]!));
  if (Is.isStruct(type))
    return t.struct(Object.fromEntries(type.children.map((part) => [part.name, columnFrom(part)])));
  return plain(type) ?? foreign(field);
}

const PLAIN: readonly ColumnType[] = [t.bool, t.int32, t.int64, t.float32, t.float64, t.utf8, t.binary, t.timestamp];

function plain(type: DataType): ColumnType | undefined {
  return PLAIN.find((one) => String(one.arrow) === String(type));
}

const DTYPES: Readonly<Record<string, TensorDtype>> = {
  ...{ Int8: "int8", Int16: "int16", Int32: "int32", Int64: "int64" },
  ...{ Uint8: "uint8", Uint16: "uint16", Uint32: "uint32", Uint64: "uint64" },
  ...{ Float16: "float16", Float32: "float32", Float64: "float64" },
};

function tensorFrom(field: Field): ColumnType {
  const dtype = DTYPES[String(field.type.children[0]?.type)];
  const { shape } = JSON.parse(field.metadata.get("ARROW:extension:metadata") ?? "{}") as { readonly shape?: number[] };
  return dtype === undefined || shape === undefined ? foreign(field) : (t.tensor(dtype, shape) as ColumnType);
}

function foreign({ type, metadata, nullable }: Field): ColumnType {
  return { name: extensionOf({ metadata }) || String(type), arrow: type, nullable, metadata };
}
