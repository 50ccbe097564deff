/**
 * Requests of an `infer` operator whose rows go to several instances, because keys do.
 *
 * Invariants:
 *   K1  Rows keep their order, and each is in one of the parts. Those that have been handed on are in none.
 *   K2  An answer, a refusal or a failure of a call goes with the rows that it is of.
 */
import type { RecordBatch } from "apache-arrow";
import type { InferNode } from "../topology/nodes.js";
import { columnOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import { decodeBatch, encodeBatch } from "../wire/arrow.js";
import type { InferCall, InferEntry } from "../wire/stored.js";

export interface CallsPart {
  readonly target: number;
  readonly entry: InferEntry;
  /** What the entry names. */
  readonly blobs: readonly Uint8Array[];
}

/**
 * @param input columns of the batch
 * @param targetsOf where each of its rows goes
 */
export function splitCalls(
  entry: InferEntry,
  blobs: readonly Uint8Array[],
  { node, input }: { readonly node: InferNode; readonly input: Columns },
  targetsOf: (batch: RecordBatch) => (row: number) => number,
): CallsPart[] {
  const batch = decodeBatch(arrowSchema(input), blobs[entry.batch]!);
  const targetOf = targetsOf(batch);
  const rowsOf = new Map<number, number[]>();
  for (let row = entry.done; row < batch.numRows; row++) {
    const target = targetOf(row);
    const own = rowsOf.get(target);
    if (own === undefined) rowsOf.set(target, [row]);
    else own.push(row);
  }
  const rowOf = rowOfUnit(batch, node.each);
  return [...rowsOf].map(([target, rows]) => {
    const part = new Part(blobs, node);
    const made = part.add(take(batch, rows));
    const kept = new Set(rows);
    const calls: InferCall[] = [];
    let start = 0;
    for (const call of entry.calls) {
      const units = Array.from({ length: call.rows }, (_, i) => i).filter((i) => kept.has(rowOf(call.start + i)));
      if (units.length === 0) continue;
      calls.push(part.callOf(call, units, start));
      start += units.length;
    }
    return { target, entry: { batch: made, done: 0, calls }, blobs: part.blobs };
  });
}

class Part {
  readonly blobs: Uint8Array[] = [];

  constructor(
    private readonly from: readonly Uint8Array[],
    private readonly node: InferNode,
  ) {}

  add(batch: RecordBatch): number {
    return this.blobs.push(Buffer.concat(encodeBatch(batch))) - 1;
  }

  /** K2 @param units rows of the call that are this part's */
  callOf(call: InferCall, units: readonly number[], start: number): InferCall {
    const places = new Map(units.map((unit, place) => [unit, place]));
    return {
      ...call,
      start,
      rows: units.length,
      answer: call.answer === null ? null : this.add(take(this.#answer(call.answer), units)),
      rejected: call.rejected.flatMap((one) => {
        const row = places.get(one.row);
        return row === undefined ? [] : [{ ...one, row }];
      }),
    };
  }

  #answer(blob: number): RecordBatch {
    return decodeBatch(arrowSchema(this.node.service.output), this.from[blob]!);
  }
}

/** Where requests are elements of a list, the row that each is in. */
function rowOfUnit(batch: RecordBatch, each: string | undefined): (unit: number) => number {
  if (each === undefined) return (unit) => unit;
  const offsets = columnOf(batch, each).data[0]!.valueOffsets as Int32Array;
  const rows: number[] = [];
  for (let row = 0; row < batch.numRows; row++) {
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++) rows.push(row);
  }
  return (unit) => rows[unit]!;
}

/** These rows, in ascending order. */
function take(batch: RecordBatch, rows: readonly number[]): RecordBatch {
  const slices: RecordBatch[] = [];
  for (let i = 0; i < rows.length; ) {
    let run = 1;
    while (rows[i + run] === rows[i]! + run) run++;
    slices.push(batch.slice(rows[i]!, rows[i]! + run));
    i += run;
  }
  return concatBatches(slices);
}
