/**
 * Seeds of a durable exchange: what a job that begins from a savepoint reads of a partition before its log.
 *
 * A partition's seeds are numbered objects, the last of which says so; there is at least one. In each of them the entries are a
 * chain of their own, so one can be read without those before it.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { batchBytes } from "../types/batches.js";
import { packEntries } from "../wire/exchange-frames.js";
import { ExchangeCursor } from "./exchange-cursor.js";
import { encodeEntries } from "./exchange-entry.js";

const WRITER = "seed";

/** The batches of one seed, in order. */
export function* seededBatches(entries: readonly Uint8Array[]): Generator<RecordBatch> {
  const cursor = new ExchangeCursor([], undefined);
  for (const [i, entry] of entries.entries()) yield* cursor.take(BigInt(i + 1), entry);
}

export class SeedWriter {
  #number = 0n;
  #batches: RecordBatch[] = [];
  #bytes = 0;

  constructor(
    private readonly operator: string,
    private readonly partition: number,
    private readonly put: (number: bigint, bytes: Uint8Array) => Promise<void>,
  ) {}

  async write(batch: RecordBatch): Promise<void> {
    this.#batches.push(batch);
    this.#bytes += batchBytes(batch);
    if (this.#bytes >= limits.exchangeObjectBytesMax) await this.#flush(false);
  }

  async close(): Promise<void> {
    await this.#flush(true);
  }

  async #flush(last: boolean): Promise<void> {
    const entries = encodeEntries(WRITER, 1n, { previous: 0n, batches: this.#batches, end: false });
    this.#batches = [];
    this.#bytes = 0;
    this.#number += 1n;
    const header = { operator: this.operator, partition: this.partition, number: this.#number, last };
    await this.put(this.#number, packEntries(header, entries));
  }
}
