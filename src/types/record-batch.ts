/**
 * Record batches of columns that are known to fit their schema.
 *
 * apache-arrow's constructor looks for columns that are too short, and copies the schema with all its fields to do so. That
 * costs several times what reading a small message does, and what is kept by schema is not found again.
 */
import { Data, RecordBatch, type Schema, Struct, type TypeMap } from "apache-arrow";

/** What a `Data` without nulls has as its bitmap. */
export const NO_NULLS = new Uint8Array(0);

/** @param columns one for each field, each of its type and of `rows` rows */
export function recordBatch<T extends TypeMap>(
  schema: Schema<T>,
  columns: readonly Data[],
  rows: number,
): RecordBatch<T> {
  const data = new Data(structOf(schema), 0, rows, 0, [undefined, undefined, NO_NULLS] as never, columns as Data[]);
  // The fields that the constructor sets; a test compares them.
  return Object.assign(Object.create(RecordBatch.prototype), { schema, data, _metadata: new Map() }) as RecordBatch<T>;
}

const structs = new WeakMap<Schema, Struct>();

function structOf(schema: Schema): Struct {
  const known = structs.get(schema);
  if (known !== undefined) return known;
  const struct = new Struct(schema.fields);
  structs.set(schema, struct);
  return struct;
}
