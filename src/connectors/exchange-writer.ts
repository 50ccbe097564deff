/**
 * The writing end of a durable exchange: a transactional writer whose prepared checkpoints hold the entries themselves.
 * They are published when the manifest exists (X1, X2).
 *
 * What it knows beyond the rows (which checkpoint came before, how far the logs went) travels in what it prepares, so every
 * manifest has it, and a new attempt goes on with the same chain.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { DurableLog } from "../bus/bus.js";
import type { SinkWriter } from "../topology/endpoints.js";
import { batchBytes } from "../types/batches.js";
import type { ExchangePending } from "../wire/exchange-frames.js";
import { type Exchange, entriesLost, exchangeWriterId, goneAsLost } from "./exchange.js";
import { appendWaiting, tryAgain } from "./exchange-append.js";
import { encodeEntries, type PartitionCut } from "./exchange-entry.js";
import { bytesBeside, referring } from "./exchange-large.js";
import { decodePending, encodePending } from "./exchange-pending.js";

export interface Routed {
  readonly partition: number;
  readonly batch: RecordBatch;
}

export interface ExchangeWriterOptions {
  readonly exchange: Exchange;
  readonly operator: string;
  readonly subtask: number;
  /** Where the rows of a batch go. Rows of one key must always go to the same partition. */
  route(batch: RecordBatch): Iterable<Routed>;
}

export async function openExchangeWriter(options: ExchangeWriterOptions): Promise<SinkWriter> {
  const { exchange } = options;
  const logs = Array.from({ length: exchange.partitions }, (_, partition) => exchange.log(partition));
  return new ExchangeWriter(options, await Promise.all(logs));
}

/** One partition, as its writer sees it. */
interface Lane {
  readonly partition: number;
  readonly log: DurableLog;
  batches: RecordBatch[];
  previous: bigint;
  published: bigint;
  /** X5. Rows of this writer that lie beside the log, by their entries; those that readers have let go of may be among them. */
  beside: { readonly sequence: bigint; readonly bytes: number }[];
}

class ExchangeWriter implements SinkWriter {
  readonly #exchange: Exchange;
  readonly #id: string;
  readonly #lanes: Lane[];
  readonly #stop = new AbortController();
  /** Bytes of the checkpoint that is being filled, and of those that are prepared and not yet published. */
  #filling = 0;
  #unpublished = new Map<bigint, number>();
  #waiting: (() => void)[] = [];
  /** Asked: the next `prepare` says so to the readers. */
  #ended: "no" | "asked" | "said" = "no";
  /** The publication before, so that they are one after another (X2). */
  #publishing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: ExchangeWriterOptions,
    logs: readonly DurableLog[],
  ) {
    this.#exchange = options.exchange;
    this.#id = exchangeWriterId(options.operator, options.subtask);
    this.#lanes = logs.map((log, partition) => ({
      partition,
      log,
      batches: [],
      previous: 0n,
      published: 0n,
      beside: [],
    }));
  }

  write(batch: RecordBatch): void {
    for (const { partition, batch: part } of this.options.route(batch)) {
      if (part.numRows === 0) continue;
      this.#lanes[partition]!.batches.push(part);
      this.#filling += batchBytes(part);
    }
  }

  /** A commit makes room; checkpoints come whether or not anybody waits. */
  room(): Promise<void> | undefined {
    const unpublished = [...this.#unpublished.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (unpublished + this.#filling <= limits.exchangeUnpublishedBytesMax) return undefined;
    if (this.#stop.signal.aborted) return undefined;
    return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(() => this.room());
  }

  end(): void {
    if (this.#ended === "no") this.#ended = "asked";
  }

  prepare(checkpoint: bigint): Promise<Uint8Array> {
    const cuts = this.#lanes.map((lane) => this.#cut(lane, checkpoint));
    if (this.#ended === "asked") this.#ended = "said";
    if (this.#filling > 0) this.#unpublished.set(checkpoint, this.#filling);
    this.#filling = 0;
    const header = {
      writer: this.#id,
      checkpoint,
      ended: this.#ended === "said",
      partitions: this.#lanes.map(({ previous, published }) => ({ previous, published })),
    };
    return encoded(header, cuts);
  }

  #cut(lane: Lane, checkpoint: bigint): PartitionCut {
    const check = (bytes: number) => this.#checkRow(lane.partition, bytes);
    const cut = { previous: lane.previous, batches: lane.batches, end: this.#ended === "asked", check };
    lane.batches = [];
    if (cut.end || cut.batches.length > 0) lane.previous = checkpoint;
    return cut;
  }

  commit(prepared: Uint8Array): Promise<void> {
    if (prepared.byteLength === 0) return Promise.resolve();
    const done = this.#publishing.then(() => this.#publish(prepared));
    this.#publishing = done.catch(() => {});
    return done;
  }

  async recover(pending: readonly Uint8Array[]): Promise<void> {
    await this.resume(pending);
    for (const prepared of pending) await this.commit(prepared);
  }

  async resume(pending: readonly Uint8Array[]): Promise<void> {
    let newest: ExchangePending | undefined;
    for (const bytes of pending) {
      if (bytes.byteLength === 0) continue;
      const { header } = decodePending(bytes);
      if (header.writer !== this.#id) continue;
      newest = header;
      this.#unpublished.set(header.checkpoint, bytes.byteLength);
    }
    if (newest !== undefined) await this.#goOnFrom(newest);
  }

  async #goOnFrom({ ended, partitions }: ExchangePending): Promise<void> {
    this.#checkPartitions(partitions.length);
    if (ended) this.#ended = "said";
    for (const [partition, { previous, published }] of partitions.entries()) {
      const lane = this.#lanes[partition]!;
      const last = await lane.log.last();
      if (last < published) {
        throw entriesLost(
          this.#exchange,
          partition,
          `its log ends at entry ${last}, and "${this.#id}" has published up to ${published}`,
        );
      }
      lane.previous = previous;
      lane.published = published;
    }
  }

  async #publish(prepared: Uint8Array): Promise<void> {
    const { header, entries } = decodePending(prepared);
    this.#checkPartitions(entries.length);
    // All of them end before the next publication begins, also where one fails.
    const lanes = await Promise.allSettled(
      entries.map((some, partition) => this.#append(this.#lanes[partition]!, some)),
    );
    for (const lane of lanes) if (lane.status === "rejected") throw lane.reason;
    if (header.writer === this.#id) this.#unpublished.delete(header.checkpoint);
    this.#wake();
  }

  async #append(lane: Lane, entries: readonly Uint8Array[]): Promise<void> {
    const { ports } = this.#exchange;
    const { signal } = this.#stop;
    for (const entry of entries) {
      const done = `"${this.#id}" has published up to ${lane.published}`;
      const bytes = bytesBeside(entry);
      const make = bytes === 0 ? () => entry : referring(entry, this.#exchange, signal);
      const waiting = bytes === 0 ? Promise.resolve() : this.#roomBeside(lane, bytes);
      const appending = waiting.then(() => appendWaiting(lane.log, make, ports, signal));
      const sequence = await appending.catch((error: unknown) => {
        throw goneAsLost(this.#exchange, lane.partition, error, done);
      });
      if (sequence <= lane.published) {
        const what = `its log has begun anew at entry ${sequence}, and ${done}`;
        throw entriesLost(this.#exchange, lane.partition, what);
      }
      lane.published = sequence;
      if (bytes > 0) lane.beside.push({ sequence, bytes });
    }
  }

  /** X5. What lies beside a log waits as well, and is to take no more than the log may: each writer has its share, or one row. */
  async #roomBeside(lane: Lane, bytes: number): Promise<void> {
    const { bytesMax = Number.POSITIVE_INFINITY, writers, ports } = this.#exchange;
    const { signal } = this.#stop;
    const isFull = () => {
      const kept = lane.beside.reduce((sum, one) => sum + one.bytes, 0);
      return kept > 0 && kept + bytes > bytesMax / writers.length;
    };
    for (let pauseMs: number = limits.exchangeBackoffMs; isFull(); ) {
      const first = await tryAgain(() => lane.log.first(), ports, signal);
      lane.beside = lane.beside.filter(({ sequence }) => sequence >= first);
      if (!isFull()) return;
      await ports.clock.sleep(pauseMs * (0.5 + ports.random.next() / 2), signal);
      pauseMs = Math.min(2 * pauseMs, limits.exchangeBackoffMsMax);
    }
  }

  /** Before anything of it is committed: no attempt could publish it. */
  #checkRow(partition: number, bytes: number): void {
    const { id, bytesMax = Number.POSITIVE_INFINITY } = this.#exchange;
    const limit = Math.min(bytesMax, limits.exchangeRowBytesMax);
    if (bytes <= limit) return;
    const next = limit === bytesMax ? "Give the exchange a larger bytesMax, or pass" : "Pass";
    throw new MillraceError(
      "MILL_FRAME_TOO_LARGE",
      `durable exchange "${id}", partition ${partition}: a row of ${bytes} bytes is larger than the ${limit} that ${limit === bytesMax ? "wait in the log of a partition at most (bytesMax)" : "one row may have"}. ${next} large content by reference instead of inside the row.`,
      { exchange: id, partition, bytes, limit },
    );
  }

  #checkPartitions(count: number): void {
    if (count === this.#lanes.length) return;
    throw new MillraceError(
      "MILL_PLAN_MISMATCH",
      `durable exchange "${this.#exchange.id}" has ${this.#lanes.length} partitions, and the checkpoint has entries for ${count}.`,
      { exchange: this.#exchange.id },
    );
  }

  async abort(): Promise<void> {
    for (const lane of this.#lanes) lane.batches = [];
    this.#filling = 0;
    this.#stop.abort(
      new MillraceError(
        "MILL_JOB_FAILED",
        `durable exchange "${this.#exchange.id}": writer "${this.#id}" was stopped.`,
      ),
    );
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function encoded(header: Omit<ExchangePending, "entries">, cuts: readonly PartitionCut[]): Promise<Uint8Array> {
  await Promise.resolve(); // the cut is made; encoding may wait until whoever cuts has cut everything
  return encodePending(
    header,
    cuts.map((cut) => encodeEntries(header.writer, header.checkpoint, cut)),
  );
}
