/** `similarity`: how near the vectors of two columns are, or those of one column and a vector that is the same for all rows. */
import { makeData, type RecordBatch } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import type { Applied, ColumnFunction } from "../../topology/column-function.js";
import { batchFromColumns } from "../../types/batches.js";
import { type Columns, t } from "../../types/columns.js";
import { type Named, named } from "../named.js";
import { type Step, type StepOptions, step } from "../step.js";
import { cosine, distance, dot, metricOf } from "./metrics.js";
import {
  keptRows,
  type Metric,
  refusedVectors,
  type VectorColumn,
  type VectorFacts,
  vectorFacts,
  vectorRows,
} from "./vectors.js";

interface Common<L extends string, I extends string> extends Omit<StepOptions, "concurrency"> {
  /** Column with vectors: embeddings, or tensors of float32. */
  readonly left: L;
  /** Column for the number, float64. */
  readonly into: I;
  /**
   * `cosine`: from -1 to 1. `dot`: the sum of the products. `euclidean`: the distance, so that less is nearer. Default: what the embeddings say;
   * of tensors, `cosine`.
   */
  readonly metric?: Metric;
}
/** Options of `similarity` between two columns. See docs/functions/similarity.md. */
export interface SimilarityOptions<L extends string, R extends string, I extends string> extends Common<L, I> {
  /** Column with the other vectors. */
  readonly right: R;
}
/** Options of `similarity` with one vector for all rows. See docs/functions/similarity.md. */
export interface SimilarityToOptions<L extends string, I extends string> extends Common<L, I> {
  /** The other vector of all rows. */
  readonly right: readonly number[] | Float32Array;
}

/** Adds how near two vectors are. Cosines with a vector of zeros are 0. */
export function similarity<L extends string, R extends string, I extends string>(
  options: SimilarityOptions<L, R, I>,
): Step<Named<L, VectorColumn> & Named<R, VectorColumn>, Named<I, typeof t.float64>>;
export function similarity<L extends string, I extends string>(
  options: SimilarityToOptions<L, I>,
): Step<Named<L, VectorColumn>, Named<I, typeof t.float64>>;
export function similarity(options: AnySimilarity): unknown {
  return step(similarityFunction(options), options);
}

type AnySimilarity = Common<string, string> & { readonly right: string | readonly number[] | Float32Array };

const NAME = "similarity";

/** @internal */
export function similarityFunction(options: AnySimilarity): ColumnFunction<Named<string, typeof t.float64>> {
  const { left, right, into, metric: given } = options;
  const fixed = typeof right === "string" ? undefined : fixedVector(right);
  const to = named(into, t.float64);
  const settingsOf = (operator: string, input: Columns) => {
    const one = vectorFacts(operator, NAME, input, left);
    const other = fixed === undefined ? vectorFacts(operator, NAME, input, right as string) : facts(fixed);
    checkComparable(operator, one, other);
    return { dimension: one.dimension, metric: metricOf(operator, NAME, given, [one, other]) };
  };
  return {
    name: NAME,
    to,
    check: settingsOf,
    async apply(batch, columns, context): Promise<Applied<typeof to>> {
      const { dimension, metric } = settingsOf(context.operator, columns);
      const a = vectorRows(batch, left);
      const b = fixed === undefined ? vectorRows(batch, right as string) : undefined;
      const refusedRight = b === undefined || right === left ? [] : refusedVectors(right as string, b, dimension);
      const refusedLeft = refusedVectors(left, a, dimension);
      const known = new Set(refusedLeft.map(({ row }) => row));
      const refused = [...refusedLeft, ...refusedRight.filter(({ row }) => !known.has(row))];
      const rows = keptRows(batch.numRows, refused);
      const near = { cosine, dot, euclidean: distance }[metric];
      const found = new Float64Array(rows.length);
      for (const [i, row] of rows.entries()) {
        const at = row * dimension;
        found[i] =
          b === undefined ? near(a.values, at, fixed!, 0, dimension) : near(a.values, at, b.values, at, dimension);
      }
      return { batch: numbers(to, into, found), refused, ...(refused.length > 0 && { from: rows }) };
    },
  };
}

function numbers<C extends Columns>(to: C, into: string, data: Float64Array): RecordBatch {
  const column = makeData({ type: t.float64.arrow, length: data.length, nullCount: 0, data });
  return batchFromColumns(to, { [into]: column } as never) as RecordBatch;
}

function facts({ length }: Float32Array): VectorFacts {
  return { dimension: length };
}

/** @throws {MillraceError} `MILL_CONFIG` */
function fixedVector(given: readonly number[] | Float32Array): Float32Array {
  const values = Float32Array.from(given);
  if (values.length > 0 && values.every(Number.isFinite)) return values;
  throw new MillraceError("MILL_CONFIG", `${NAME}: right is no column, and no list of finite numbers of float32.`);
}

function checkComparable(operator: string, one: VectorFacts, other: VectorFacts): void {
  const wrong = (what: string) =>
    new MillraceError("MILL_TOPOLOGY_TYPE", `operator "${operator}": ${NAME} cannot compare ${what}.`, { operator });
  if (one.dimension !== other.dimension) {
    throw wrong(`vectors of ${one.dimension} and of ${other.dimension} elements`);
  }
  if (one.model !== undefined && other.model !== undefined && one.model !== other.model) {
    throw wrong(`embeddings of two models, "${one.model}" and "${other.model}"`);
  }
}
