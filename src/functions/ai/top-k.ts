/**
 * `topK`: the vectors of an index that are nearest to the vector of each row. The search is exact: every vector is looked at.
 *
 * The index is gone through in blocks that stay in the processor's cache while all rows of the batch are compared with them.
 */
import { setImmediate } from "node:timers/promises";
import { type Data, makeData } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Applied, ColumnFunction } from "../../topology/column-function.js";
import { batchFromColumns } from "../../types/batches.js";
import { t } from "../../types/columns.js";
import { checkOneOf } from "../images/resize-settings.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import { type Step, type StepOptions, step } from "../step.js";
import { bounded, distance, dot, inverseLength, metricOf } from "./metrics.js";
import { Nearest } from "./nearest.js";
import { type IndexFormat, type IndexSettings, type VectorIndex, vectorIndex, wrong } from "./vector-index.js";
import { keptRows, type Metric, refusedVectors, type VectorColumn, vectorFacts, vectorRows } from "./vectors.js";

const found = { id: t.utf8, score: t.float64 };
/** The nearest first. */
export const nearestType = t.list(t.struct(found));

/** Where the vectors are that `topK` looks through. */
export interface VectorIndexOptions {
  /** The file: `file:`, `s3:` or `http:` address of Arrow IPC, Parquet or JSON lines. */
  readonly uri: string;
  /** Of the file, in hex. A file with another one is an error, and the job's: an index does not change unnoticed. */
  readonly sha256: string;
  /** Default: what the address ends with (`.arrow`, `.parquet`, `.jsonl`). */
  readonly format?: IndexFormat;
  /** Column with the ids, texts or whole numbers. Default `id`. */
  readonly id?: string;
  /** Column with the vectors, lists of float32 or float64. Default `vector`. */
  readonly vector?: string;
  /** Bytes of the file. Default 1 GiB. */
  readonly bytesMax?: number;
  /** Default 5,000,000. */
  readonly vectorsMax?: number;
}

/** Options of `topK`. See docs/functions/topK.md. */
export interface TopKOptions<F extends string, I extends string> extends Omit<StepOptions, "concurrency"> {
  /** Column with the vectors to look for: embeddings, or tensors of float32. */
  readonly from: F;
  /** Column for what is found. */
  readonly into: I;
  /** How many are found at most. */
  readonly k: number;
  readonly index: VectorIndexOptions;
  /** As of `similarity`. With `euclidean` the score is the distance, and the least comes first. */
  readonly metric?: Metric;
}

/** Adds the ids of the nearest vectors of an index, and how near they are; equally near ones by id. */
export function topK<F extends string, I extends string>(
  options: TopKOptions<F, I>,
): Step<Named<F, VectorColumn>, Named<I, typeof nearestType>> {
  return step(topKFunction(options), options);
}

const NAME = "topK";
const K_MAX = 1_000;
/** Products that are computed before other work of the process has its turn. */
const PRODUCTS_IN_TURN = 20_000_000;
/** Bytes of vectors that are compared with all rows before the next ones are. */
const BLOCK_BYTES = 262_144;

/** @internal */
export function topKFunction<F extends string, I extends string>(
  options: TopKOptions<F, I>,
): ColumnFunction<Named<I, typeof nearestType>> {
  const { from, into, k } = options;
  checkNumber(NAME, "k", k, { min: 1, max: K_MAX, whole: true });
  const settings = settingsOf(options.index);
  if (options.metric !== undefined) metricOf("", NAME, options.metric, []);
  const to = named(into, nearestType);
  let index: VectorIndex | undefined;
  return {
    name: NAME,
    to,
    check: (operator, input) => void vectorFacts(operator, NAME, input, from),
    async apply(batch, columns, context): Promise<Applied<typeof to>> {
      const facts = vectorFacts(context.operator, NAME, columns, from);
      const metric = metricOf(context.operator, NAME, options.metric, [facts]);
      index ??= await vectorIndex(settings, context);
      if (index.dimension !== facts.dimension && index.ids.length > 0) {
        throw wrong(
          settings,
          `its vectors have ${index.dimension} elements, and those of "${from}" ${facts.dimension}`,
        );
      }
      const rows = vectorRows(batch, from);
      const refused = refusedVectors(from, rows, facts.dimension);
      const kept = keptRows(batch.numRows, refused);
      const nearest = await search(index, { values: rows.values, kept, metric, k }, context.signal);
      const made = batchFromColumns(to, { [into]: listOf(index, nearest, metric) } as never);
      return { batch: made, refused, ...(refused.length > 0 && { from: kept }) } as Applied<typeof to>;
    },
  };
}

function settingsOf(index: VectorIndexOptions): IndexSettings {
  const { uri, sha256, id = "id", vector = "vector" } = index;
  const { bytesMax = limits.vectorIndexBytesMax, vectorsMax = limits.vectorIndexVectorsMax } = index;
  if (typeof uri !== "string" || !/^[a-z][a-z0-9]*:/.test(uri)) {
    throw new MillraceError(
      "MILL_CONFIG",
      `${NAME}: index.uri is ${JSON.stringify(uri)}; give an address (file:///..., s3://...).`,
    );
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    const what = "index.sha256 is no SHA-256 in lower-case hex. Make it with: sha256sum FILE";
    throw new MillraceError("MILL_CONFIG", `${NAME}: ${what}.`);
  }
  const ending = /\.([a-z]+)(?:[?#].*)?$/.exec(uri)?.[1] ?? "";
  const format = index.format ?? ENDINGS[ending] ?? (ending as IndexFormat);
  checkOneOf(NAME, "index.format", format, ["arrow", "parquet", "jsonl"]);
  checkNumber(NAME, "index.bytesMax", bytesMax, { min: 1, whole: true });
  checkNumber(NAME, "index.vectorsMax", vectorsMax, { min: 1, max: 0x7fff_ffff, whole: true });
  return { uri, sha256, format, id, vector, bytesMax, vectorsMax };
}

const ENDINGS: Readonly<Record<string, IndexFormat>> = {
  arrow: "arrow",
  arrows: "arrow",
  feather: "arrow",
  ipc: "arrow",
  parquet: "parquet",
  jsonl: "jsonl",
  ndjson: "jsonl",
};

interface Queries {
  readonly values: Float32Array;
  /** Rows of `values` that are looked for. */
  readonly kept: Int32Array;
  readonly metric: Metric;
  readonly k: number;
}

async function search(index: VectorIndex, queries: Queries, signal: AbortSignal): Promise<Nearest> {
  const { ids, dimension } = index;
  const { kept, k } = queries;
  const nearest = new Nearest(kept.length, Math.min(k, ids.length));
  const compare = comparer(index, queries);
  const block = Math.max(16, Math.floor(BLOCK_BYTES / (4 * dimension)));
  let products = 0;
  for (let begin = 0; begin < ids.length; begin += block) {
    const end = Math.min(begin + block, ids.length);
    for (let query = 0; query < kept.length; query++) {
      compare(nearest, query, begin, end);
      products += (end - begin) * dimension;
      if (products < PRODUCTS_IN_TURN) continue;
      products = 0;
      await setImmediate();
      signal.throwIfAborted();
    }
  }
  return nearest;
}

type Compare = (nearest: Nearest, query: number, begin: number, end: number) => void;

/** Scores for `Nearest`, of which more is nearer. */
function comparer(index: VectorIndex, { values, kept, metric }: Queries): Compare {
  const { values: vectors, dimension, inverseLengths } = index;
  if (metric === "cosine") {
    const inverse = Float64Array.from(kept, (row) => inverseLength(values, row * dimension, dimension));
    return (nearest, query, begin, end) => {
      const at = kept[query]! * dimension;
      for (let i = begin; i < end; i++) {
        const product = dot(values, at, vectors, i * dimension, dimension);
        nearest.offer(query, bounded(product * inverse[query]! * inverseLengths[i]!), i);
      }
    };
  }
  const near = metric === "dot" ? dot : (...args: Parameters<typeof distance>) => -distance(...args);
  return (nearest, query, begin, end) => {
    const at = kept[query]! * dimension;
    for (let i = begin; i < end; i++) nearest.offer(query, near(values, at, vectors, i * dimension, dimension), i);
  };
}

function listOf(index: VectorIndex, nearest: Nearest, metric: Metric): Data {
  const { positions, scores } = nearest.sorted();
  if (metric === "euclidean") for (let i = 0; i < scores.length; i++) scores[i] = -scores[i]!;
  const score = makeData({ type: t.float64.arrow, length: scores.length, nullCount: 0, data: scores });
  const parts = batchFromColumns(found, { id: Array.from(positions, (at) => index.ids[at]!), score });
  return makeData({
    type: nearestType.arrow,
    length: nearest.queries,
    nullCount: 0,
    valueOffsets: Int32Array.from({ length: nearest.queries + 1 }, (_, i) => i * nearest.k),
    child: parts.data,
  } as never) as Data;
}
