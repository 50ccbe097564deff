/** Which Arrow types may cross the bus, and how each is laid out in a record batch message. */
import { type DataType, type Field, type FixedSizeBinary, type FixedSizeList, type Schema, Type } from "apache-arrow";
import { MillraceError } from "../base/errors.js";

/**
 * `fixed`: validity, values. `variable`: validity, offsets, values. `list`: validity, offsets, one child.
 * `nested`: validity, children. `null`: nothing.
 */
export type Layout = "null" | "bool" | "fixed" | "variable" | "list" | "nested";

const BUFFERS: Readonly<Record<Layout, number>> = { null: 0, bool: 2, fixed: 2, variable: 3, list: 2, nested: 1 };

/** By `Type`. Dictionaries would have to travel, views and unions hide rows of a slice: they are not sent. */
const LAYOUTS: readonly (Layout | undefined)[] = (() => {
  const layouts: Layout[] = [];
  const all = (layout: Layout, ...types: Type[]) => {
    for (const type of types) layouts[type] = layout;
  };
  all("null", Type.Null);
  all("bool", Type.Bool);
  all("variable", Type.Utf8, Type.Binary, Type.LargeUtf8, Type.LargeBinary);
  all("list", Type.List, Type.LargeList, Type.Map);
  all("nested", Type.Struct, Type.FixedSizeList);
  all("fixed", Type.Int, Type.Float, Type.Decimal, Type.Date, Type.Time, Type.Timestamp, Type.Interval, Type.Duration);
  all("fixed", Type.FixedSizeBinary);
  return layouts;
})();

/** `undefined`: the type is not sent. */
export function layoutOf(type: DataType): Layout | undefined {
  const { typeId } = type;
  if (typeId === Type.FixedSizeList && (type as FixedSizeList).listSize < 0) return undefined;
  if (typeId === Type.FixedSizeBinary && (type as FixedSizeBinary).byteWidth < 0) return undefined;
  return LAYOUTS[typeId];
}

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
