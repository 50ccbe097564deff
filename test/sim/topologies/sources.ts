/** Sources of numbered rows: from memory, and from objects of the simulated store. Both can be read again. */
import type { Source, Split } from "../../../src/topology/endpoints.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Row, t } from "../../../src/types/columns.js";
import type { Knobs } from "../knobs.js";
import type { SimRandom } from "../sim-random.js";
import type { Turn } from "./scenario.js";

export const inputColumns = {
  /** Unique over all splits. */
  n: t.int32,
  split: t.utf8,
  /** Place within the split. */
  position: t.int32,
  key: t.utf8,
};
export type InputRow = Row<typeof inputColumns>;

export interface Input {
  readonly splits: ReadonlyMap<string, readonly InputRow[]>;
  readonly rowsPerBatch: number;
}

export function drawInput(random: SimRandom, rowsMax: number): Input {
  const splits = new Map<string, InputRow[]>();
  const keys = 1 + random.below(8);
  const rowsPerSplit = 2 + random.below(20);
  const splitsMax = 2 + random.below(14);
  let n = 0;
  for (let i = 0; n < rowsMax && i < splitsMax; i++) {
    const split = `part-${String(i).padStart(2, "0")}`;
    const rows = 1 + random.below(rowsPerSplit);
    splits.set(
      split,
      Array.from({ length: rows }, (_, position) => ({ n: n++, split, position, key: `k${random.below(keys)}` })),
    );
  }
  return { splits, rowsPerBatch: 1 + random.below(5) };
}

/** Time between checkpoints; 0: only the last one. */
export function drawInterval(random: SimRandom): number {
  return random.chance(0.1) ? 0 : Math.round(random.logBetween(100, 20_000));
}

/** How fast rows are worked on, and how often there are checkpoints. */
export interface Pace {
  /** Of one row. */
  readonly stepMs: number;
  readonly checkpointIntervalMs: number;
  /** Rows are under way all the while, checkpoints are frequent, and actors fail over and over. */
  readonly isRestless: boolean;
  readonly bounds: Knobs;
  readonly describe: string;
}

const RESTLESS = 0.6;

export function drawPace(random: SimRandom): Pace {
  const isRestless = random.chance(RESTLESS);
  const stepMs = isRestless ? random.logBetween(50, 1_000) : random.chance(0.5) ? 0 : random.logBetween(1, 3_000);
  const checkpointIntervalMs = isRestless ? Math.round(random.logBetween(200, 1_000)) : drawInterval(random);
  const failing = isRestless ? ", actors that fail over and over" : "";
  return {
    stepMs,
    checkpointIntervalMs,
    isRestless,
    // Else readers are done before the first checkpoint, and no barrier is behind a row.
    bounds: isRestless ? { channelCreditFrames: 1 + random.below(4) } : {},
    describe: `${Math.round(stepMs)} ms a row, a checkpoint every ${checkpointIntervalMs} ms${failing}`,
  };
}

/** When a job is stopped at a savepoint, and how much parallelism the next one has: as before, or drawn anew. */
export interface Restart {
  readonly savepointMs: number | undefined;
  readonly describe: string;
  /** Of an operator, for each turn. */
  instances(draw: () => number): (turn: Turn) => number;
}

const SAVEPOINTS = 0.2;

/** @param share of the seeds that have one @param latestMs when it is taken at the latest */
export function drawRestart(random: SimRandom, share = SAVEPOINTS, latestMs = 100_000): Restart {
  const savepointMs = random.chance(share) ? random.logBetween(1_000, latestMs) : undefined;
  const rescales = random.chance(0.6);
  const how = rescales ? "other parallelism" : "the same parallelism";
  return {
    savepointMs,
    describe: savepointMs === undefined ? "" : `, a savepoint at ${Math.round(savepointMs)} ms and ${how} behind it`,
    instances(draw) {
      const [first, second] = [draw(), draw()];
      return (turn) => (turn === 1 && rescales ? second : first);
    },
  };
}

export const rowsOfInput = (input: Input): InputRow[] => [...input.splits.values()].flat();

export function memorySource(input: Input): Source<typeof inputColumns> {
  return {
    kind: "sim-memory",
    columns: inputColumns,
    describe: "numbered rows",
    async *splits() {
      for (const [id, rows] of input.splits) yield { id, payload: new Uint8Array(), rows: rows.length };
    },
    async *read(split) {
      yield* batches(input.splits.get(split.id) ?? [], input.rowsPerBatch);
    },
  };
}

/** One object per split, JSON. */
export function objectSource(prefix: string, rowsPerBatch: number): Source<typeof inputColumns> {
  return {
    kind: "sim-objects",
    columns: inputColumns,
    describe: `objects ${prefix}`,
    async *splits({ content }): AsyncIterable<Split> {
      for (const { uri } of await content.list(`sim://${prefix}`)) {
        yield { id: uri, payload: new TextEncoder().encode(uri), rows: 1 };
      }
    },
    async *read(split, { content, signal }) {
      const uri = new TextDecoder().decode(split.payload);
      const bytes = await content.bytes({ uri, offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "" }, signal);
      yield* batches(JSON.parse(new TextDecoder().decode(bytes)) as InputRow[], rowsPerBatch);
    },
  };
}

export function objectsOf(prefix: string, input: Input): Map<string, Uint8Array> {
  return new Map([...input.splits].map(([id, rows]) => [`${prefix}${id}.json`, Buffer.from(JSON.stringify(rows))]));
}

function* batches(rows: readonly InputRow[], rowsPerBatch: number) {
  for (let at = 0; at < rows.length; at += rowsPerBatch) {
    yield batchFromRows(inputColumns, rows.slice(at, at + rowsPerBatch));
  }
}
