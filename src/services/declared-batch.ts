/**
 * A batch that somebody else's function made, held to the columns that were declared for it. Batches are sent without
 * names, column by column in the declared order, so one in another order would arrive with its columns exchanged.
 */
import { makeData, type RecordBatch, RecordBatch as RecordBatchOf, type Schema, Struct } from "apache-arrow";
import { MillraceError } from "../base/errors.js";

/**
 * The declared columns of `batch`, by reference, in the order of `schema`; others are left out.
 * @param maker named in the message: `operator "parse"`
 * @throws {MillraceError} `MILL_TOPOLOGY_TYPE` naming maker and column: it lacks one, has it with another type, or with
 *   nulls where none were declared
 */
export function asDeclared(maker: string, schema: Schema, batch: unknown): RecordBatch {
  if (typeof batch !== "object" || batch === null || !("schema" in batch) || !("numRows" in batch)) {
    throw new MillraceError("MILL_TOPOLOGY_TYPE", `${maker} returned ${String(batch)}; return an Arrow RecordBatch.`, {
      maker,
    });
  }
  const made = batch as RecordBatch;
  const children = schema.fields.map((field) => {
    const at = made.schema.fields.findIndex((candidate) => candidate.name === field.name);
    const data = made.data.children[at];
    const found = made.schema.fields[at]?.type.toString() ?? "no such column";
    const nulls = !field.nullable && (data?.nullCount ?? 0) > 0;
    if (data !== undefined && found === field.type.toString() && !nulls) return data;
    throw new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `${maker}: it declared column "${field.name}" as ${field.type}, but returned ${nulls ? "nulls in it; declare it with t.optional(...)" : found}.`,
      { maker, column: field.name },
    );
  });
  const type = new Struct(schema.fields);
  return new RecordBatchOf(
    schema,
    makeData({ type, length: made.numRows, nullCount: 0, children } as never) as never,
  ) as RecordBatch;
}
