/** One column under a name that the user chose, for TypeScript: a computed key alone would be taken for any name. */
import type { ColumnType, Row, ValueOf } from "../types/columns.js";

export type Named<I extends string, T extends ColumnType> = { readonly [K in I]: T };

export function named<I extends string, T extends ColumnType>(into: I, type: T): Named<I, T> {
  return { [into]: type } as unknown as Named<I, T>;
}

export function namedValue<I extends string, T extends ColumnType>(
  to: Named<I, T>,
  value: ValueOf<T>,
): Row<Named<I, T>> {
  return Object.fromEntries(Object.keys(to).map((into) => [into, value])) as Row<Named<I, T>>;
}
