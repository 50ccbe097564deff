/** Columns of vectors, read where they lie: no object is made for a row. */
import type { Data, RecordBatch } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import type { RefusedRow } from "../../topology/column-function.js";
import { columnOf } from "../../types/batches.js";
import { extensionOf } from "../../types/column-type.js";
import type { Columns, ColumnType } from "../../types/columns.js";
import type { EmbeddingOptions } from "../../types/tensor-types.js";
import { type Accepted, checkColumn } from "../row-function.js";

/** What TypeScript takes for a vector: `t.embedding`, `t.tensor("float32", ...)` of one shape, each of them optional or not. */
export type VectorColumn = ColumnType<Float32Array | null>;

export const vectors: Accepted = {
  says: 'an embedding, or a tensor of float32 of one shape (t.tensor("float32", [384]))',
  fits: ({ tensor }) => tensor?.dtype === "float32" && tensor.size !== undefined,
};

/** What a column says of its vectors. */
export interface VectorFacts {
  readonly dimension: number;
  /** undefined: it is a tensor, which says nothing of these. */
  readonly metric?: Metric;
  readonly model?: string;
}

/** How the nearness of two vectors is measured. */
export type Metric = EmbeddingOptions["metric"];

/** @throws {MillraceError} `MILL_TOPOLOGY_COLUMN`, `MILL_TOPOLOGY_TYPE` */
export function vectorFacts(operator: string, name: string, input: Columns, column: string): VectorFacts {
  checkColumn(operator, name, input, column, vectors);
  return factsOf(input[column]!);
}

export function factsOf(type: ColumnType): VectorFacts {
  const dimension = type.tensor!.size!;
  if (extensionOf(type) !== "millrace.embedding") return { dimension };
  const said = JSON.parse(type.metadata.get("ARROW:extension:metadata")!) as VectorFacts;
  return { dimension, metric: said.metric!, ...(said.model !== undefined && { model: said.model }) };
}

/** The vectors of a batch: those of row `i` begin at `i * dimension`. */
export interface VectorRows {
  readonly values: Float32Array;
  readonly data: Data;
}

export function vectorRows(batch: RecordBatch, column: string): VectorRows {
  const data = columnOf(batch, column).data[0]!;
  return { values: data.children[0]!.values as Float32Array, data };
}

/** Refuses rows that have no vector, or one that cannot be compared with anything. */
export function refusedVectors(column: string, { values, data }: VectorRows, dimension: number): RefusedRow[] {
  const refused: RefusedRow[] = [];
  for (let row = 0; row < data.length; row++) {
    if (!data.getValid(row)) refused.push({ row, error: refusal(`column "${column}" has no value.`, column) });
    else if (!allFinite(values, row * dimension, dimension)) {
      refused.push({ row, error: refusal(`column "${column}" has an element that is no finite number.`, column) });
    }
  }
  return refused;
}

function refusal(what: string, column: string): MillraceError {
  return new MillraceError("MILL_RECORD_INVALID", what, { column });
}

export function allFinite(values: Float32Array, at: number, dimension: number): boolean {
  for (let i = at; i < at + dimension; i++) if (!Number.isFinite(values[i]!)) return false;
  return true;
}

/** The rows that are left, in order. */
export function keptRows(count: number, refused: readonly RefusedRow[]): Int32Array {
  const gone = new Set(refused.map(({ row }) => row));
  return Int32Array.from({ length: count }, (_, row) => row).filter((row) => !gone.has(row));
}
