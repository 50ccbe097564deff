/**
 * The key of a row as one text, which is equal where the values of all key columns are, and only there. Exchange and keyed
 * operators both take it from here, so that a row meets the state of its key.
 *
 * It is also what the key group is computed from, so for values of a type it never changes: lengths, then what `String`
 * makes of the value; bytes as a list of numbers; `~` for null.
 */
import type { RecordBatch } from "apache-arrow";
import { columnOf } from "../types/batches.js";
import { plainReader } from "../types/read-values.js";

export function rowKeys(batch: RecordBatch, keys: readonly string[]): (row: number) => string {
  const columns = keys.map((key) => {
    const data = columnOf(batch, key).data[0]!;
    return { data, read: plainReader(data) };
  });
  return (row) => {
    let text = "";
    for (const { data, read } of columns) {
      const part = data.getValid(row) ? String(read(row)) : undefined;
      text += part === undefined ? "~" : `${part.length}:${part}`;
    }
    return text;
  };
}
