/**
 * A batch that somebody else's function made, held to the columns that were declared for it. Batches are sent without
 * names, column by column in the declared order, so one in another order would arrive with its columns exchanged.
 */
import type { DataType, RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { recordBatch } from "../types/record-batch.js";

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
    const type: DataType | undefined = made.schema.fields[at]?.type;
    const nulls = !field.nullable && (data?.nullCount ?? 0) > 0;
    // Of one declaration the types are the same objects.
    const fits = type === field.type || type?.toString() === field.type.toString();
    if (data !== undefined && fits && !nulls) return data;
    const found = type?.toString() ?? "no such column";
    throw new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `${maker}: it declared column "${field.name}" as ${field.type}, but returned ${nulls ? "nulls in it; declare it with t.optional(...)" : found}.`,
      { maker, column: field.name },
    );
  });
  return recordBatch(schema, children, made.numRows);
}
