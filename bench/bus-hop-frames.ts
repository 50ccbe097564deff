/** What both processes of `bus-hop.ts` know: subjects, and frames of 4096 rows with an int64 and a float64 column. */
import { type RecordBatch, tableFromArrays } from "apache-arrow";
import { encodeBatch, SchemaSender } from "../src/wire/arrow.js";
import { dataFrame } from "../src/wire/frames.js";

const ROWS = 4_096;
const DISTINCT = 16;

export const hopSubjects = {
  oursIn: "mr.bench.ours.in",
  oursOut: "mr.bench.ours.out",
  rawIn: "mr.bench.raw.in",
  rawOut: "mr.bench.raw.out",
};

/** Frame `i` of a run: the first spells its schema out, the others go round a few that were made beforehand. */
export function sampleFrames(count: number): (i: number) => Uint8Array {
  const sender = new SchemaSender(sampleBatch(0).schema);
  const frames = Array.from({ length: Math.min(count, DISTINCT) + 1 }, (_, i) => frameOf(sampleBatch(i), sender, i));
  return (i) => frames[i === 0 ? 0 : 1 + (i % (frames.length - 1))] ?? new Uint8Array();
}

export function frameOf(batch: RecordBatch, sender: SchemaSender, sequence: number): Uint8Array {
  const header = { channel: "a-0.map-b-0", attempt: 1, sequence: BigInt(sequence), rows: batch.numRows };
  return dataFrame.encode({ ...header, ...sender.next() }, encodeBatch(batch));
}

function sampleBatch(seed: number): RecordBatch {
  const id = BigInt64Array.from({ length: ROWS }, (_, row) => BigInt(seed * ROWS + row));
  const score = Float64Array.from({ length: ROWS }, (_, row) => Math.sin(seed + row));
  const [batch] = tableFromArrays({ id, score }).batches;
  if (batch === undefined) throw new Error("no batch");
  return batch;
}
