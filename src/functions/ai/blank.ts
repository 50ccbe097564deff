/** What stands in the place of a row that was refused: a value of its type, which nobody looks at. */
import { type Columns, type ColumnType, type Row, t } from "../../types/columns.js";

export function blankRow<O extends Columns>(columns: O): Row<O> {
  return Object.fromEntries(Object.entries(columns).map(([name, type]) => [name, blank(type)])) as Row<O>;
}

const PLAIN: Readonly<Record<string, unknown>> = {
  [t.bool.name]: false,
  [t.int64.name]: 0n,
  [t.utf8.name]: "",
};

function blank(type: ColumnType): unknown {
  if (type.nullable) return null;
  if (type.item !== undefined) return [];
  if (type.tensor?.size !== undefined) return new Float32Array(type.tensor.size);
  if (type.columns !== undefined) return blankRow(type.columns);
  return PLAIN[type.name] ?? 0;
}
