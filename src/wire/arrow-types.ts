/** Which Arrow types may cross the bus, and how each is laid out in a record batch message. */
import { DataType, type Field, type Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";

/**
 * `fixed`: validity, values. `variable`: validity, offsets, values. `list`: validity, offsets, one child.
 * `nested`: validity, children. `null`: nothing.
 */
export type Layout = "null" | "bool" | "fixed" | "variable" | "list" | "nested";

const BUFFERS: Readonly<Record<Layout, number>> = { null: 0, bool: 2, fixed: 2, variable: 3, list: 2, nested: 1 };

/** `undefined`: the type is not sent. Dictionaries would have to travel, views and unions hide rows of a slice. */
function layoutOf(type: DataType): Layout | undefined {
  if (DataType.isNull(type)) return "null";
  if (DataType.isBool(type)) return "bool";
  if (DataType.isUtf8(type) || DataType.isBinary(type)) return "variable";
  if (DataType.isLargeUtf8(type) || DataType.isLargeBinary(type)) return "variable";
  if (DataType.isList(type) || DataType.isLargeList(type) || DataType.isMap(type)) return "list";
  if (DataType.isStruct(type)) return "nested";
  if (DataType.isFixedSizeList(type)) return type.listSize >= 0 ? "nested" : undefined;
  if (DataType.isFixedSizeBinary(type)) return type.byteWidth >= 0 ? "fixed" : undefined;
  return FIXED.some((is) => is(type)) ? "fixed" : undefined;
}

const FIXED: readonly ((type: DataType) => boolean)[] = [
  DataType.isInt,
  DataType.isFloat,
  DataType.isDecimal,
  DataType.isDate,
  DataType.isTime,
  DataType.isTimestamp,
  DataType.isInterval,
  DataType.isDuration,
];

/** A field as it is read: its layout, and its parts. */
export interface LaidOut {
  readonly type: DataType;
  readonly layout: Layout;
  readonly children: readonly LaidOut[];
}

export interface LaidOutSchema {
  readonly fields: readonly LaidOut[];
  /** Field nodes and buffers that a record batch message of this schema has. */
  readonly nodes: number;
  readonly buffers: number;
}

const known = new WeakMap<Schema, LaidOutSchema>();

/** @throws {MillraceError} `MILL_RECORD_INVALID`: a column has a type that is not sent; the message names both */
export function layOut(schema: Schema): LaidOutSchema {
  const cached = known.get(schema);
  if (cached !== undefined) return cached;
  const fields = schema.fields.map((field) => laidOut(field, field.name));
  const all = fields.flatMap(flatten);
  const laid = { fields, nodes: all.length, buffers: all.reduce((sum, { layout }) => sum + BUFFERS[layout], 0) };
  known.set(schema, laid);
  return laid;
}

function laidOut(field: Field, path: string): LaidOut {
  const type: DataType = field.type;
  const layout = layoutOf(type);
  if (layout === undefined) {
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `column "${path}" has the Arrow type ${type}, which cannot be sent. Cast it first: a dictionary or a view to its plain type (utf8, binary), a union to a struct.`,
      { column: path, type: String(type) },
    );
  }
  const children = (type.children ?? []) as Field[];
  return { type, layout, children: children.map((child) => laidOut(child, `${path}.${child.name}`)) };
}

function flatten(field: LaidOut): LaidOut[] {
  return [field, ...field.children.flatMap(flatten)];
}
