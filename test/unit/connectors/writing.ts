/** Writes batches through a sink into memory, commits, and gives what was published. */
import type { RecordBatch } from "apache-arrow";
import { silentLog } from "../../../src/base/real/ports.js";
import { outputFolder } from "../../../src/connectors/output-folder.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { Sink, SinkContext } from "../../../src/topology/endpoints.js";
import { type ArrowColumns, type Columns, t } from "../../../src/types/columns.js";

export function contextOf(columns: Columns, store = new MemoryStore(), attempt = 1): SinkContext {
  return { columns, operator: "out", subtask: 2, attempt, output: outputFolder(store), log: silentLog };
}

export async function keysOf(store: MemoryStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  return keys;
}

/** The one file that the batches become. */
export async function published<C extends Columns>(
  sink: Sink,
  columns: C,
  batches: readonly RecordBatch<ArrowColumns<C>>[],
): Promise<Uint8Array> {
  const store = new MemoryStore();
  const writer = await sink.open(contextOf(columns, store));
  for (const batch of batches) await writer.write(batch);
  await writer.commit(await writer.prepare(1n));
  const [key, ...others] = await keysOf(store);
  if (key === undefined || others.length > 0) throw new Error(`expected one file, found ${key}, ${others.join()}`);
  return store.get(key);
}

/** One column of every type, and rows that fill them to their bounds. */
export const everyType = {
  flag: t.bool,
  small: t.int32,
  large: t.int64,
  single: t.float32,
  double: t.float64,
  text: t.utf8,
  bytes: t.binary,
  when: t.timestamp,
  list: t.list(t.int32),
  struct: t.struct({ text: t.utf8, flag: t.bool }),
  nested: t.list(t.struct({ quad: t.list(t.float64) })),
  ref: t.objectRef,
  maybe: t.optional(t.utf8),
};

export const everyRow = [
  {
    flag: true,
    small: -(2 ** 31),
    large: 2n ** 63n - 1n,
    single: 0.5,
    double: 1e300,
    text: 'naïve "日本"\n\u2028',
    bytes: Uint8Array.of(0, 255, 10),
    when: 1_700_000_000_123,
    list: [1, 2, 3],
    struct: { text: "a", flag: false },
    nested: [{ quad: [0, 1.5] }, { quad: [] }],
    ref: { uri: "file:///a%20b.png", offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "image/png" },
    maybe: null,
  },
  {
    flag: false,
    small: 2 ** 31 - 1,
    large: 5n,
    single: -1,
    double: 0,
    text: "",
    bytes: new Uint8Array(),
    when: 0,
    list: [],
    struct: { text: "", flag: true },
    nested: [],
    ref: { uri: "s3://b/k", offset: 2n ** 53n, sizeBytes: 7n, sha256: "ab", mediaType: "" },
    maybe: "there",
  },
];
