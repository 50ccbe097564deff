/**
 * An index of vectors with ids, from a file: read once in a process, however many operators search in it.
 *
 *   X1  What is searched is the file with the SHA-256 that the topology says, and no other.
 *   X2  Its vectors lie by id, so that of two equal ones the one with the lesser id comes first.
 *
 * Whoever searches holds the index; the process's table only points to it, and lets it go with the last operator.
 */
import type { Data, Table, Vector } from "apache-arrow";
import { tableFromIPC } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { inverseLength } from "./metrics.js";
import { allFinite } from "./vectors.js";

export type IndexFormat = "arrow" | "parquet" | "jsonl";

export interface IndexSettings {
  readonly uri: string;
  readonly sha256: string;
  readonly format: IndexFormat;
  readonly id: string;
  readonly vector: string;
  readonly bytesMax: number;
  readonly vectorsMax: number;
}

export interface VectorIndex {
  readonly ids: readonly string[];
  readonly dimension: number;
  /** One after another, in the order of `ids` (X2). */
  readonly values: Float32Array;
  /** 1 / length of each; 0 for a vector of zeros. */
  readonly inverseLengths: Float64Array;
}

const loaded = new Map<string, WeakRef<VectorIndex>>();
const loading = new Map<string, Promise<VectorIndex>>();

/** @throws {MillraceError} `MILL_CONTENT_HASH`, `MILL_CONFIG`: it is another file, or no index; what reading content throws */
export async function vectorIndex(settings: IndexSettings, context: OperatorContext): Promise<VectorIndex> {
  const key = JSON.stringify([settings.sha256, settings.format, settings.id, settings.vector]);
  const there = loaded.get(key)?.deref();
  if (there !== undefined) return there;
  let work = loading.get(key);
  if (work === undefined) {
    work = read(settings, context);
    loading.set(key, work);
    const done = () => void loading.delete(key);
    work.then((index) => {
      loaded.set(key, new WeakRef(index));
      done();
    }, done);
  }
  return work;
}

async function read(settings: IndexSettings, { content, signal }: OperatorContext): Promise<VectorIndex> {
  const { uri, sha256, bytesMax } = settings;
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of content.stream({ uri, offset: 0n, sizeBytes: -1n, sha256, mediaType: "" }, signal)) {
    size += piece.length;
    if (size > bytesMax)
      throw wrong(settings, `it has more than ${bytesMax} bytes. Raise bytesMax if there is memory for it`);
    pieces.push(piece);
  }
  const bytes = Buffer.concat(pieces, size);
  pieces.length = 0;
  const [ids, values] = settings.format === "jsonl" ? fromLines(settings, bytes) : await fromTable(settings, bytes);
  return sorted(settings, ids, values);
}

/** X2 */
function sorted(settings: IndexSettings, ids: readonly string[], values: Float32Array): VectorIndex {
  const count = ids.length;
  const dimension = count === 0 ? 0 : values.length / count;
  const order = Int32Array.from({ length: count }, (_, i) => i).sort((a, b) =>
    ids[a]! < ids[b]! ? -1 : ids[a]! > ids[b]! ? 1 : a - b,
  );
  const ordered = new Float32Array(values.length);
  const inverseLengths = new Float64Array(count);
  for (const [to, from] of order.entries()) {
    ordered.set(values.subarray(from * dimension, (from + 1) * dimension), to * dimension);
    inverseLengths[to] = inverseLength(ordered, to * dimension, dimension);
    if (allFinite(ordered, to * dimension, dimension)) continue;
    throw wrong(settings, `the vector of "${ids[from]}" has an element that is no finite number`);
  }
  return { ids: Array.from(order, (from) => ids[from]!), dimension, values: ordered, inverseLengths };
}

type Read = readonly [ids: readonly string[], values: Float32Array];

async function fromTable(settings: IndexSettings, bytes: Uint8Array): Promise<Read> {
  let table: Table;
  try {
    table = tableFromIPC(settings.format === "parquet" ? await ipcOf(bytes) : bytes);
  } catch (cause) {
    throw wrong(settings, `it cannot be read as ${settings.format}: ${(cause as Error)?.message ?? cause}`, cause);
  }
  const column = (name: string): Vector => {
    const found = table.getChild(name);
    if (found !== null && found.nullCount === 0) return found;
    const there = table.schema.fields.map((field) => field.name).join(", ");
    throw wrong(settings, found === null ? `it has no column "${name}"; it has ${there}` : `"${name}" has nulls`);
  };
  checkCount(settings, table.numRows);
  const ids: string[] = [];
  for (const id of column(settings.id)) ids.push(idOf(settings, id));
  return [ids, flat(settings, column(settings.vector), table.numRows)];
}

async function ipcOf(bytes: Uint8Array): Promise<Uint8Array> {
  const { readParquet } = await import("parquet-wasm");
  return readParquet(bytes).intoIPCStream();
}

/** The elements of all rows, whatever chunks and lists they are in. */
function flat(settings: IndexSettings, column: Vector, rows: number): Float32Array {
  let dimension = -1;
  let all = new Float32Array(0);
  let at = 0;
  for (const data of column.data) {
    const { elements, startOf } = partsOf(settings, data);
    for (let row = 0; row < data.length; row++) {
      const [start, end] = [startOf(row), startOf(row + 1)];
      if (dimension < 0) {
        dimension = end - start;
        all = new Float32Array(rows * dimension);
      }
      if (end - start !== dimension || dimension === 0) {
        throw wrong(
          settings,
          `row ${at} has ${end - start} elements, and the first has ${dimension}. Give all the same, at least one`,
        );
      }
      all.set(elements.subarray(start, end), at * dimension);
      at++;
    }
  }
  return all;
}

function partsOf(settings: IndexSettings, data: Data) {
  const child = data.children[0] as Data | undefined;
  const elements: unknown = child?.values;
  const floats = elements instanceof Float32Array || elements instanceof Float64Array;
  if (child === undefined || !floats || child.nullCount > 0) {
    throw wrong(settings, `"${settings.vector}" is ${data.type}; give lists of float32 or float64 without nulls`);
  }
  const offsets = data.valueOffsets as Int32Array | undefined;
  const { listSize } = data.type as unknown as { readonly listSize?: number };
  const startOf = (row: number) => (listSize === undefined ? offsets![row]! : row * listSize);
  return { elements: elements as Float32Array, startOf };
}

function fromLines(settings: IndexSettings, bytes: Uint8Array): Read {
  const ids: string[] = [];
  const values: number[][] = [];
  let line = 0;
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at);
    const text = Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end))
      .toString("utf8")
      .trim();
    at = end < 0 ? bytes.length : end + 1;
    line++;
    if (text === "") continue;
    checkCount(settings, ids.length + 1);
    const row = lineOf(settings, text, line);
    ids.push(idOf(settings, row[settings.id]));
    const vector = row[settings.vector];
    const numbers = Array.isArray(vector) && vector.length > 0 && vector.every((value) => typeof value === "number");
    if (!numbers || vector.length !== (values[0] ?? vector).length) {
      throw wrong(settings, `line ${line}: "${settings.vector}" is no list of as many numbers as the first line has`);
    }
    values.push(vector);
  }
  const dimension = values[0]?.length ?? 0;
  const all = new Float32Array(values.length * dimension);
  for (const [row, vector] of values.entries()) all.set(vector, row * dimension);
  return [ids, all];
}

function lineOf(settings: IndexSettings, text: string, line: number): Record<string, unknown> {
  try {
    const row: unknown = JSON.parse(text);
    if (typeof row === "object" && row !== null) return row as Record<string, unknown>;
  } catch {
    // said below
  }
  throw wrong(settings, `line ${line} is no JSON object`);
}

function idOf(settings: IndexSettings, id: unknown): string {
  if (typeof id === "string") return id;
  if (typeof id === "bigint" || Number.isSafeInteger(id)) return String(id);
  throw wrong(settings, `"${settings.id}" has ${JSON.stringify(id)}; ids are texts or whole numbers`);
}

function checkCount(settings: IndexSettings, count: number): void {
  if (count <= settings.vectorsMax) return;
  throw wrong(
    settings,
    `it has more than ${settings.vectorsMax} vectors. Raise vectorsMax if there is memory and time for them`,
  );
}

/** The index is the topology's and not a row's: what is wrong with it fails the job. */
export function wrong({ uri }: Pick<IndexSettings, "uri">, what: string, cause?: unknown): MillraceError {
  return new MillraceError("MILL_CONFIG", `topK: the index ${uri}: ${what}.`, { index: uri }, { cause });
}
