/**
 * Where the rows of a batch come from, so that a row has the same name whenever it is made again: after a restore its source is
 * read again from the checkpoint, and what `infer` has paid for must be recognised.
 *
 * It is kept beside the batch, not in it: functions of users make new batches and need not know. It travels with a batch
 * in the metadata of its Arrow message.
 *
 * Invariants:
 *   G1  Rows of an operator's output that have one lineage (origin and position) are one row, made again.
 *   G2  A slice's rows keep their lineage. A step that makes at most as many rows as it was given keeps it, too; one that makes
 *       more begins a new origin, named by where it began.
 *   G3  Parts of a batch that go different ways do not share positions.
 *   G4  Rows without a position have a lineage as long as they have all their columns: without some, different ones may be equal.
 */
import { createHash } from "node:crypto";
import { RecordBatch } from "apache-arrow";
import { traced } from "./batch-trace.js";

export interface Lineage {
  /** The split and batch, or the operator, that the rows were made from, and the steps that made more of them. */
  readonly origin: string;
  /** Position of the batch's first row there; -1: rows have no position and are told apart by their content. */
  readonly first: number;
}

/** Longer ones are hashed: each step that makes more rows makes them longer. */
const ORIGIN_CHARS_MAX = 160;

const lineages = new WeakMap<RecordBatch, Lineage>();

export function lineageOf(batch: RecordBatch): Lineage | undefined {
  return lineages.get(batch);
}

/** @returns the batch itself */
export function withLineage<B extends RecordBatch>(batch: B, lineage: Lineage | undefined): B {
  if (lineage !== undefined) lineages.set(batch, lineage);
  return batch;
}

/** `batch.slice` that keeps the lineage of its rows. */
export function sliceRows<B extends RecordBatch>(batch: B, from: number, to: number): B {
  const slice = traced(batch.slice(from, to) as B, batch);
  const lineage = lineages.get(batch);
  return lineage === undefined ? slice : withLineage(slice, rowsFrom(lineage, from));
}

/** The same rows in a batch of its own: a source may hand on one object many times, and each time it is other rows. */
export function ownBatch(batch: RecordBatch): RecordBatch {
  return traced(new RecordBatch(batch.schema, batch.data) as RecordBatch, batch);
}

/** Of a step's output: that of its input (G2, G4). */
export function derived<B extends RecordBatch>(output: B, input: RecordBatch): B {
  traced(output, input);
  const lineage = lineages.get(input);
  if (lineage === undefined || (output as RecordBatch) === input) return output;
  if (lineage.first < 0 && !hasColumnsOf(output, input)) return output;
  return withLineage(output, output.numRows <= input.numRows ? lineage : partsOf(lineage));
}

function hasColumnsOf(output: RecordBatch, input: RecordBatch): boolean {
  const names = new Set(output.schema.fields.map(({ name }) => name));
  return input.schema.fields.every(({ name }) => names.has(name));
}

/** Of rows from here and there in `input`, one of the parts that it was taken apart into (G3). */
export function taken<B extends RecordBatch>(output: B, input: RecordBatch, part: number): B {
  traced(output, input);
  const lineage = lineages.get(input);
  if (lineage === undefined || lineage.first < 0) return withLineage(output, lineage);
  return withLineage(output, lineageFrom(`${lineage.origin}|${part}`, lineage.first));
}

/** Of rows that a row was made into: elements of its list, say. None where rows have no position: they would share all of theirs. */
export function partsOf({ origin, first }: Lineage): Lineage | undefined {
  return first < 0 ? undefined : lineageFrom(`${origin}.${first}`);
}

/** Of rows that are made from nothing but what `origin` names. */
export function lineageFrom(origin: string, first = 0): Lineage {
  const short = origin.length <= ORIGIN_CHARS_MAX ? origin : createHash("sha256").update(origin).digest("base64url");
  return { origin: short, first };
}

function rowsFrom({ origin, first }: Lineage, row: number): Lineage {
  return first < 0 || row === 0 ? { origin, first } : { origin, first: first + row };
}

/** As in the metadata of an Arrow message. */
export function lineageText({ origin, first }: Lineage): string {
  return `${first}@${origin}`;
}

/** @returns undefined: it is none */
export function lineageFromText(text: string): Lineage | undefined {
  const at = text.indexOf("@");
  const first = Number(text.slice(0, at));
  return at < 1 || !Number.isSafeInteger(first) || first < -1 ? undefined : { origin: text.slice(at + 1), first };
}
