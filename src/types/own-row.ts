/**
 * A row that its holder keeps: checked against its columns and copied, so that nobody else can change it.
 *
 * What fits is decided by `batchFromRows`. Flat columns are looked at here first, because laying out a batch of one row takes
 * microseconds, and keyed state does this for every record.
 */
import { batchFromRows, rowsOf } from "./batches.js";
import type { Columns, Row } from "./columns.js";

/** @throws {MillraceError} `MILL_RECORD_INVALID`: no row, or a value does not fit its column, which is named */
export function ownRow<C extends Columns>(columns: C, row: Row<C>): Row<C> {
  return (flatCopy(columns, row) ?? rowsOf(columns, batchFromRows(columns, [row]))[0]!) as Row<C>;
}

/** A copy to hand out. Bytes and tensors are copied too: whoever gets the row may change it. */
export function copyOf<C extends Columns>(columns: C, row: Row<C>): Row<C> {
  const copy: Record<string, unknown> = { ...row };
  for (const name in columns) if (FLAT[columns[name]!.name] === undefined) copy[name] = copyOfValue(copy[name]);
  return copy as Row<C>;
}

/** Not `structuredClone`: of a view it clones all of the buffer, which may be that of a whole batch. */
function copyOfValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return Uint8Array.prototype.slice.call(value);
  if (Array.isArray(value)) return value.map(copyOfValue);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copyOfValue(part)]));
}

function flatCopy(columns: Columns, row: unknown): Record<string, unknown> | undefined {
  if (typeof row !== "object" || row === null) return undefined;
  const copy: Record<string, unknown> = {};
  for (const name in columns) {
    const type = columns[name]!;
    const fits = FLAT[type.name];
    const value = (row as Record<string, unknown>)[name];
    if (value === null || value === undefined) {
      if (fits === undefined || !type.nullable) return undefined;
      copy[name] = null;
    } else if (fits?.(value) === true) copy[name] = value;
    else return undefined;
  }
  return copy;
}

/** By name of the type: whether a value comes back from a batch as it is. */
const FLAT: Readonly<Record<string, (value: unknown) => boolean>> = withOptional({
  bool: (value) => typeof value === "boolean",
  int32: (value) => typeof value === "number" && (value | 0) === value && !Object.is(value, -0),
  int64: (value) => typeof value === "bigint" && BigInt.asIntN(64, value) === value,
  float32: (value) => typeof value === "number" && Object.is(Math.fround(value), value),
  float64: (value) => typeof value === "number",
  timestamp: (value) => typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0),
  utf8: (value) => typeof value === "string" && !/\p{Surrogate}/u.test(value),
});

function withOptional<T>(types: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(types).flatMap(([name, value]) => [
      [name, value],
      [`${name}?`, value],
    ]),
  );
}
