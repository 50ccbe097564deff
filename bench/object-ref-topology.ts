/** The chain of `object-ref.ts`: a source and five operators, each an actor of its own. */
import { jsonl } from "../src/connectors/jsonl.js";
import type { Source, Split } from "../src/topology/endpoints.js";
import type { Topology } from "../src/topology/nodes.js";
import { type Stream, topology } from "../src/topology/topology.js";
import { batchFromRows } from "../src/types/batches.js";
import { t } from "../src/types/columns.js";
import { type Content, inline } from "../src/types/content-types.js";

export const PAYLOAD_BYTES = 5_000_000;
/** Rows of a batch, and reads of the first operator at a time: as many as `files` takes where nobody says otherwise. */
export const ROWS_OF_BATCH = 4;
/** Hops between the five. */
export const HOPS = 4;

/**
 * `ends`, `all` and `shared`: records refer to objects of the store, each to its own or, of `shared`, several to one. The first and the last
 * operator read all of every payload; those between hand the record on, and of `all` and `shared` read it as well. `moved`: as `ends`, but
 * the first operator makes a payload for each record, and what it hands on is moved out by itself. `inline`: as `ends`, but the first
 * operator hands on the bytes that it has read.
 */
export type Mode = "ends" | "all" | "shared" | "moved" | "inline";

export interface Work {
  readonly mode: Mode;
  readonly records: number;
  /** Hashes of the payloads in the store, in the order of their numbers; of `moved` there are none. */
  readonly payloads: readonly string[];
  /** Tells this run's payloads from those of others. */
  readonly seed: number;
  /** Where payloads are in the store; the number goes behind it. */
  readonly prefix: string;
}

const referring = { n: t.int32, found: t.int64, payload: t.document };
const inlined = { n: t.int32, found: t.int64, payload: t.binary };
const found = { n: t.int32, found: t.int64 };

function records(work: Work): Source<typeof referring> {
  const rowOf = (n: number) => {
    const shared = Math.floor((n * work.payloads.length) / work.records);
    return { n, found: 0n, payload: work.mode === "moved" ? inline(new Uint8Array(), "") : referenceTo(work, shared) };
  };
  return {
    kind: "records",
    columns: referring,
    describe: `${work.records} records`,
    async *splits() {
      yield { id: "all", payload: new Uint8Array(), rows: work.records };
    },
    async *read(_split: Split) {
      for (let n = 0; n < work.records; n += ROWS_OF_BATCH) {
        const rows = Array.from({ length: Math.min(ROWS_OF_BATCH, work.records - n) }, (_, i) => rowOf(n + i));
        yield batchFromRows(referring, rows);
      }
    },
  };
}

function referenceTo({ prefix, payloads }: Work, i: number): Content {
  const empty = inline(new Uint8Array(), "application/octet-stream");
  return { ...empty, uri: `${prefix}${i}`, sizeBytes: BigInt(PAYLOAD_BYTES), sha256: payloads[i]!, bytes: null };
}

export function chain(work: Work): Topology {
  return topology("object-ref", (job) => {
    const source = job.read(records(work), { id: "records" });
    const last = work.mode === "inline" ? throughBytes(source) : throughReferences(source, work);
    last.to(jsonl("out"), { id: "out" });
  }).build({});
}

function throughReferences(source: Stream<typeof referring>, { mode, seed }: Work) {
  let stream = source.mapRows(
    { id: "first", to: referring, concurrency: ROWS_OF_BATCH },
    async ({ n, payload }, { content }) => {
      const own = mode === "moved" ? inline(payloadOf(n, seed), "application/octet-stream") : payload;
      return { n, found: sumOf(await content.bytes(own)), payload: own };
    },
  );
  for (const id of ["second", "third", "fourth"]) {
    stream = stream
      .mapRows({ id, to: referring }, async (row, { content }) => {
        if (mode === "ends" || mode === "moved") return { ...row, found: row.found + 1n };
        return { ...row, found: row.found + sumOf(await content.bytes(row.payload)) };
      })
      .isolate();
  }
  return stream
    .mapRows({ id: "fifth", to: found }, async ({ n, found, payload }, { content }) => {
      return { n, found: found + sumOf(await content.bytes(payload)) };
    })
    .isolate();
}

function throughBytes(source: Stream<typeof referring>) {
  let stream = source.mapRows(
    { id: "first", to: inlined, concurrency: ROWS_OF_BATCH },
    async ({ n, payload }, { content }) => {
      const bytes = await content.bytes(payload);
      return { n, found: sumOf(bytes), payload: bytes };
    },
  );
  for (const id of ["second", "third", "fourth"]) {
    stream = stream.mapRows({ id, to: inlined }, (row) => ({ ...row, found: row.found + 1n })).isolate();
  }
  return stream
    .mapRows({ id: "fifth", to: found }, ({ n, found, payload }) => ({ n, found: found + sumOf(payload) }))
    .isolate();
}

/** No two are equal. */
export function payloadOf(number: number, seed: number): Uint8Array {
  const bytes = Buffer.alloc(PAYLOAD_BYTES, number);
  bytes.writeUInt32BE(number, 0);
  bytes.writeUInt32BE(seed, 4);
  return bytes;
}

/** Reads every cache line, so that the bytes are really there. */
function sumOf(bytes: Uint8Array): bigint {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 64) sum += bytes[i]!;
  return BigInt(sum);
}
