/** Values that do not fit their column, and what is laid out first of all that do. */
import type { Data, DataType } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { ColumnType } from "./column-type.js";

export type Buffers = Pick<Data, "nullCount"> & { nullBitmap?: Uint8Array };

/** What `makeData` is given for every type. */
export interface Base extends Buffers {
  readonly type: DataType;
  readonly length: number;
}
export function invalid(column: string, type: ColumnType, what: string): MillraceError {
  return new MillraceError("MILL_RECORD_INVALID", `column "${column}" (${type.name}): ${what}.`, {
    column,
    type: type.name,
  });
}

export function mismatch(name: string, type: ColumnType, value: unknown): MillraceError {
  const shown =
    value instanceof Uint8Array ? "bytes" : typeof value === "object" ? "an object" : JSON.stringify(String(value));
  return invalid(name, type, `got ${shown} of type ${typeof value}`);
}

export function isMissing(value: unknown): boolean {
  return value === null || value === undefined;
}
