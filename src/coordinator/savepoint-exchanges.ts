/**
 * Keeps what lies in the logs of a job's durable exchanges, as objects of a savepoint: for each partition the entries that its reader
 * had not passed and that the writers' checkpoints hold. `checkpoint/savepoint.ts` decides which these are, and when.
 *
 * What is kept begins where the reader's snapshot says and goes on without a gap, or nothing is kept and an error says why. It is whole:
 * rows that lie beside a log are put into their entries, because a log's content goes with its job. A log that is gone is such an error:
 * one made anew would be empty, and look as if nothing had been left to read.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.js";
import type { Namespace, OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus, DurableLog } from "../bus/bus.js";
import { jobSubjects } from "../bus/subjects.js";
import { type ExchangeSides, keptEntries } from "../checkpoint/savepoint.js";
import { sha256Of } from "../storage/content-checks.js";
import { ContentStore } from "../storage/content-store.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { ExchangeSpec } from "../wire/control.js";
import {
  type ExchangeContent,
  type ExchangeEntryHeader,
  type ExchangePosition,
  exchangeEntryFrame,
  exchangePositionFrame,
  packEntries,
  unpackEntries,
} from "../wire/exchange-frames.js";
import {
  type ActorCheckpoint,
  actorSnapshotFrame,
  type KeptEntries,
  type RegionRecord,
  type SavepointExchange,
  type SavepointPartition,
  sourceStateFrame,
} from "../wire/stored.js";
import type { JobBook } from "./job-book.js";

export interface KeepOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  /** Where content that belongs to jobs is. Default: `store`. */
  readonly contents?: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
}

/** Of a reader that has begun nothing. */
export const START: ExchangePosition = { next: 1n, writers: [], seed: 0n, seedBatches: 0, incarnation: "" };

/** Where the reader of a partition stands, by its snapshot; `read`: it has read the partition to its end. */
export function positionIn(snapshot: Uint8Array, exchange: string): ExchangePosition | "read" {
  const { operators } = actorSnapshotFrame.decode(snapshot).header;
  const state = operators.find(({ operator }) => operator === exchange)?.state;
  if (state === undefined) return START;
  const { ended, taken, split, position } = sourceStateFrame.decode(state).header;
  if (ended || (taken > 0n && split === null)) return "read";
  return position === null ? START : exchangePositionFrame.decode(position).header;
}

/** Whether a reader that stands there drops the entry, should it come again. */
export function isHandedOn(
  { writers }: Pick<ExchangePosition, "writers">,
  { writer, checkpoint, index }: Pick<ExchangeEntryHeader, "writer" | "checkpoint" | "index">,
): boolean {
  const at = writers.find((one) => one.writer === writer);
  if (at === undefined) return false;
  return at.ended || checkpoint < at.checkpoint || (checkpoint === at.checkpoint && index <= at.index);
}

/** Which regions are on both sides of an exchange. */
export function sidesOf({ regions }: Pick<JobBook, "regions">, { readers, writers }: ExchangeSpec): ExchangeSides {
  const found = new Map<string, string>();
  for (const { region, actors } of regions.values()) for (const actor of actors) found.set(actor, region);
  const regionOf = (actor: string) => found.get(actor)!;
  return {
    readers: readers.map(regionOf),
    writers: writers.map(({ writer, actor }) => ({ writer, region: regionOf(actor) })),
  };
}

/**
 * @param taken by region: its commit that the savepoint is made of
 * @throws {MillraceError} `MILL_EXCHANGE_LOST`, or what bus and store throw
 */
export async function keepExchange(
  book: JobBook,
  name: string,
  spec: ExchangeSpec,
  taken: ReadonlyMap<string, RegionRecord>,
  options: KeepOptions,
): Promise<SavepointExchange> {
  const partitions: SavepointPartition[] = [];
  for (let partition = 0; partition < spec.partitions; partition++) {
    partitions.push(await new Keeping(book, name, spec, partition, taken, options).run());
  }
  return { operator: spec.operator, partitions };
}

/** One partition. */
class Keeping {
  #kept: KeptEntries[] = [];
  #entries: Uint8Array[] = [];
  #bytes = 0;

  constructor(
    private readonly book: JobBook,
    private readonly name: string,
    private readonly spec: ExchangeSpec,
    private readonly partition: number,
    private readonly taken: ReadonlyMap<string, RegionRecord>,
    private readonly options: KeepOptions,
  ) {}

  async run(): Promise<SavepointPartition> {
    const at = await this.#position();
    if (at === "read") return { next: 1n, last: 0n, objects: [], seeds: 0 };
    const { book, spec, partition } = this;
    const { bus, namespace } = this.options;
    const logName = jobSubjects(namespace, book.job).exchangeLog(spec.operator as OperatorId, partition);
    await this.#keepSeeds(at.seed);
    const seeds = this.#kept.length;
    try {
      const last = await this.#keepLog(await bus.existingLog(logName), at);
      return { next: at.next, last, objects: this.#kept, seeds };
    } catch (error) {
      // Its writers have made it before they committed; so it was deleted, by another leader or by hand.
      if (MillraceError.is(error) && error.code === "MILL_BUS_LOG_GONE") throw this.#lost("its log was deleted", error);
      throw error;
    }
  }

  /** Where the reader's snapshot stands; `read`: it has read the partition to its end. */
  async #position(): Promise<ExchangePosition | "read"> {
    const reader = this.spec.readers[this.partition]!;
    const own = [...this.taken.values()].flatMap(({ actors }) => actors).find(({ actor }) => actor === reader)!;
    return positionIn(await this.#snapshotOf(own), this.spec.operator);
  }

  #snapshotOf({ key, inline }: ActorCheckpoint): Promise<Uint8Array> {
    return key === "" ? Promise.resolve(inline) : this.options.store.get(key);
  }

  /** Those that are left from `first` on. */
  async #keepSeeds(first: bigint): Promise<void> {
    for (let number = first, last = first === 0n; !last; number += 1n) {
      const key = jobKeys(this.book.job).exchangeSeed(this.spec.operator, this.partition, number);
      const bytes = await this.options.store.get(key);
      last = unpackEntries(bytes).header.last;
      await this.#put(bytes);
    }
  }

  /** @returns the sequence up to which the log was read */
  async #keepLog(log: DurableLog, at: ExchangePosition): Promise<bigint> {
    const { next, incarnation } = at;
    const [first, last, made] = [await log.first(), await log.last(), await log.incarnation()];
    if (incarnation !== "" && incarnation !== made) throw this.#lost("its log was deleted and made anew");
    if (first > next || last + 1n < next) throw this.#lost(`it holds entries ${first} to ${last}, not ${next}`);
    const numbers = new Map([...this.taken].map(([region, { number }]) => [region, number]));
    const keeps = keptEntries(sidesOf(this.book, this.spec), numbers);
    let expected = next;
    const late = new AbortController();
    const timer = this.options.ports.clock.after(limits.savepointTimeoutMs, () => late.abort());
    try {
      if (next > last) return last;
      for await (const { sequence, payload } of log.read(next, late.signal)) {
        if (sequence !== expected) throw this.#lost(`entry ${expected} is not there`);
        expected += 1n;
        if (keeps(exchangeEntryFrame.decode(payload).header)) await this.#keep(payload, at, late.signal);
        if (sequence === last) break;
      }
    } finally {
      timer.cancel();
    }
    if (expected !== last + 1n) throw this.#lost(`entry ${expected} did not come`);
    if (this.#entries.length > 0) await this.#flush(true);
    return last;
  }

  async #keep(entry: Uint8Array, at: ExchangePosition, signal: AbortSignal): Promise<void> {
    const { header } = exchangeEntryFrame.decode(entry);
    if (header.content === null) return this.#add(entry);
    if (isHandedOn(at, header)) return; // it is there again, and its row may be gone
    return this.#add(await this.#whole(header, header.content, signal));
  }

  async #whole(header: ExchangeEntryHeader, { sha256 }: ExchangeContent, signal: AbortSignal): Promise<Uint8Array> {
    const { store, contents = store, ports } = this.options;
    const content = new ContentStore({ store: contents, job: this.book.job, clock: ports.clock });
    try {
      const row = await content.get(sha256, { signal });
      if (sha256Of(row) === sha256) return exchangeEntryFrame.encode({ ...header, content: null }, row);
    } catch (error) {
      if (!MillraceError.is(error) || error.code !== "MILL_STORE_NOT_FOUND") throw error;
    }
    throw this.#lost(`the row ${sha256} is not there, or is another one`);
  }

  async #add(entry: Uint8Array): Promise<void> {
    const full = this.#bytes + entry.byteLength > limits.exchangeObjectBytesMax;
    if (full && this.#entries.length > 0) await this.#flush(false);
    this.#entries.push(entry);
    this.#bytes += entry.byteLength;
  }

  async #flush(last: boolean): Promise<void> {
    const { partition, spec } = this;
    const number = BigInt(this.#kept.length + 1);
    await this.#put(packEntries({ operator: spec.operator, partition, number, last }, this.#entries));
    this.#entries = [];
    this.#bytes = 0;
  }

  async #put(bytes: Uint8Array): Promise<void> {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const number = BigInt(this.#kept.length + 1);
    const { job } = this.book;
    const key = jobKeys(job).savepointEntries(this.name, this.spec.operator, this.partition, number, sha256);
    await this.options.store.put(key, bytes);
    this.#kept.push({ key, sha256, sizeBytes: BigInt(bytes.length) });
  }

  #lost(what: string, cause?: unknown): MillraceError {
    const { operator } = this.spec;
    return new MillraceError(
      "MILL_EXCHANGE_LOST",
      `durable exchange "${operator}", partition ${this.partition}: what its reader has still to read cannot be kept: ${what}. Take the savepoint again.`,
      { exchange: operator, partition: this.partition },
      cause === undefined ? undefined : { cause },
    );
  }
}
