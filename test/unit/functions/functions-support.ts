/** Runs a column function on rows, as `apply` would, with content of this machine. */

import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { realPorts } from "../../../src/base/real/ports.js";
import type { ColumnFunction } from "../../../src/topology/column-function.js";
import type { OperatorContext } from "../../../src/topology/operator-context.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import type { Columns, Row } from "../../../src/types/columns.js";
import type { Content, ObjectRef } from "../../../src/types/content-types.js";

export function fileRef(path: string, mediaType = ""): ObjectRef {
  const sizeBytes = BigInt(statSync(path).size);
  return { uri: pathToFileURL(path).href, offset: 0n, sizeBytes, sha256: "", mediaType };
}

async function bytes(value: ObjectRef | Content): Promise<Uint8Array> {
  if ("bytes" in value && value.bytes !== null) return value.bytes;
  const all = await readFile(fileURLToPath(value.uri));
  const end = value.sizeBytes < 0n ? all.length : Number(value.offset + value.sizeBytes);
  return all.subarray(Number(value.offset), end);
}

async function* stream(value: ObjectRef | Content): AsyncIterable<Uint8Array> {
  const all = await bytes(value);
  for (let at = 0; at < all.length; at += 65_536) yield all.subarray(at, at + 65_536);
}

export function contextOf(signal: AbortSignal = new AbortController().signal): OperatorContext {
  const content = { bytes, stream } as unknown as OperatorContext["content"];
  const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as OperatorContext["log"];
  return { operator: "test", subtask: 0, gpus: [], content, log, traceparent: "", signal, ports: realPorts() };
}

export interface Outcome<O extends Columns> {
  readonly rows: Row<O>[];
  readonly from: number[];
  /** By row. */
  readonly refused: Map<number, { readonly code: string; readonly message: string }>;
}

export async function applyTo<C extends Columns, O extends Columns>(
  fn: ColumnFunction<O>,
  columns: C,
  rows: readonly Row<C>[],
  context = contextOf(),
): Promise<Outcome<O>> {
  fn.check("op", columns);
  const applied = await fn.apply(batchFromRows(columns, rows) as never, columns, context);
  return {
    rows: rowsOf(fn.to, applied.batch),
    from: [...(applied.from ?? Array.from({ length: applied.batch.numRows }, (_, i) => i))],
    refused: new Map(applied.refused?.map(({ row, error }) => [row, error as { code: string; message: string }])),
  };
}
