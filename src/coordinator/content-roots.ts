/**
 * Reads what refers to a job's owned content (decision 0010, "How long content lives").
 *
 * Invariants:
 *   Q5  Roots are read along the flow: answers of services, then of each durable exchange the checkpoints of those who write it, its log
 *       from where its readers stood, their checkpoints; savepoints; published output last. What leaves a root meanwhile is found in a later one.
 *   Q6  What cannot be read or understood is an error: nothing is decided on half of the roots.
 *   Q7  What never changes is read once: snapshots, savepoints, answers and records are known by their key.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace, OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { jobSubjects } from "../bus/subjects.js";
import { decodeContentRoot } from "../storage/content-roots.js";
import { ContentStore } from "../storage/content-store.js";
import { jobKeys } from "../storage/keys.js";
import type { ListedObject, ObjectStore } from "../storage/object-store.js";
import { ownedContentOf } from "../types/content-refs.js";
import { decodeBatch, decodeSchema } from "../wire/arrow.js";
import { contentsOfSnapshot } from "../wire/content-hashes.js";
import type { ExchangeSpec } from "../wire/control.js";
import {
  type ExchangeContent,
  type ExchangeEntryHeader,
  type ExchangePosition,
  exchangeEntryFrame,
  unpackEntries,
} from "../wire/exchange-frames.js";
import { type ActorCheckpoint, type RegionRecord, savedAnswerFrame, savepointFrame } from "../wire/stored.js";
import { isHandedOn, positionIn, START } from "./savepoint-exchanges.js";

/** What is known of a job's regions; asked again for each step, because commits come meanwhile. */
export interface JobFlow {
  readonly job: JobId;
  /** Nothing of it is at work any more, and nothing goes on from its checkpoints. */
  readonly ended: boolean;
  /** As rows go through them. */
  readonly exchanges: readonly ExchangeSpec[];
  /** The newest commits, of regions that may go on from them. */
  commits(): readonly RegionRecord[];
  /** Its region has published all there was to publish. */
  isFinished(actor: string): boolean;
  /** Commits that a savepoint is being made of. */
  taken(): readonly RegionRecord[];
}

export interface RootOptions {
  readonly bus: Bus;
  /** Of the job: logs, snapshots, savepoints. */
  readonly store: ObjectStore;
  /** That owned content is put to. */
  readonly contents: ObjectStore;
  readonly namespace: Namespace;
  readonly ports: Ports;
  /** Where sinks publish; undefined: it cannot be looked at from here. */
  outputAt(url: string): Pick<ObjectStore, "list" | "head"> | undefined;
}

/** A record of a published file. */
export interface FoundRecord {
  readonly key: string;
  readonly sinceMs: number;
  readonly contents: readonly string[];
  /** The file is there, or nobody can say. */
  readonly counts: boolean;
  readonly label: string;
}

/** By hash: which roots name it, for people. */
export type RootLabels = ReadonlyMap<string, readonly string[]>;

export interface FoundRoots {
  /** Those that count without any doubt. */
  readonly rooted: RootLabels;
  readonly records: readonly FoundRecord[];
}

/** Looks at a region's newest commit in a row before it is too new each time. */
const LOOKS_MAX = 10;

export class ContentRoots {
  /** Q7. By key; only what the last reading has met. */
  #known = new Map<string, readonly string[]>();
  #met = new Map<string, readonly string[]>();
  #rooted = new Map<string, string[]>();

  /** @param prefix that addresses of the job's owned content begin with */
  constructor(
    private readonly prefix: string,
    private readonly options: RootOptions,
  ) {}

  /** One at a time. */
  async read(flow: JobFlow): Promise<FoundRoots> {
    this.#rooted = new Map();
    this.#met = new Map();
    if (!flow.ended) await this.#answers(flow);
    for (const exchange of flow.exchanges) {
      await this.#checkpoints(flow, new Set(exchange.writers.map(({ actor }) => actor)));
      for (let partition = 0; partition < exchange.partitions; partition++) await this.#log(flow, exchange, partition);
      await this.#checkpoints(flow, new Set(exchange.readers));
    }
    await this.#checkpoints(flow);
    await this.#savepoints(flow);
    const records = await this.#records(flow);
    this.#known = this.#met;
    return { rooted: this.#rooted, records };
  }

  #add(label: string, contents: Iterable<string>): void {
    for (const hash of contents) {
      const labels = this.#rooted.get(hash);
      if (labels === undefined) this.#rooted.set(hash, [label]);
      else if (!labels.includes(label)) labels.push(label);
    }
  }

  /** Q7 */
  async #once(key: string, read: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const contents = this.#met.get(key) ?? this.#known.get(key) ?? (await read());
    this.#met.set(key, contents);
    return contents;
  }

  /** A service's answer, from when it is given to when its rows have been handed on. */
  async #answers({ job }: JobFlow): Promise<void> {
    const { savedAnswers } = jobKeys(job);
    await each(await listed(this.options.store, savedAnswers), async ({ key, sizeBytes }) => {
      if (sizeBytes === 0) return; // the mark that there are some
      const contents = await this.#once(key, async () => {
        const bytes = await unlessGone(this.options.store.get(key)); // its rows were handed on meanwhile
        if (bytes === undefined) return [];
        const { header, payload } = savedAnswerFrame.decode(bytes);
        return ownedContentOf(decodeBatch(decodeSchema(header.schema), payload), this.prefix);
      });
      this.#add(`saved answer ${key.slice(savedAnswers.length)}`, contents);
    });
  }

  /** @param actors all, if left out */
  async #checkpoints(flow: JobFlow, actors?: ReadonlySet<string>): Promise<void> {
    for (const record of flow.taken()) await this.#manifest(record, actors);
    for (const { region } of flow.commits()) await this.#newest(flow, region, actors);
  }

  /** The newest commit of a region: one may be deleted while it is read, when there are newer ones. */
  async #newest(flow: JobFlow, region: string, actors: ReadonlySet<string> | undefined): Promise<void> {
    const newest = () => flow.commits().find((one) => one.region === region);
    for (let look = 1, record = newest(); record !== undefined; look++) {
      try {
        return await this.#manifest(record, actors);
      } catch (error) {
        const next = newest();
        if (!isMissing(error) || next?.number === record.number || look >= LOOKS_MAX) throw error;
        record = next;
      }
    }
  }

  async #manifest({ region, number, actors }: RegionRecord, wanted: ReadonlySet<string> | undefined): Promise<void> {
    const own = actors.filter(({ actor }) => wanted?.has(actor) ?? true);
    await each(own, async (one) => {
      const contents = await this.#once(one.key || `${region} ${number} ${one.actor}`, async () =>
        contentsOfSnapshot(await this.#snapshotOf(one)),
      );
      this.#add(`checkpoint ${number} of region ${region}, actor ${one.actor}`, contents);
    });
  }

  #snapshotOf({ key, inline }: Pick<ActorCheckpoint, "key" | "inline">): Promise<Uint8Array> {
    return key === "" ? Promise.resolve(inline) : this.options.store.get(key);
  }

  /**
   * What the reader's committed position has not passed. Its log is there once an attempt of a writer has committed; what a job began from
   * (attempt 0) came before it. One that is gone then is an error (Q6), also where the job has just ended: the next round knows that.
   */
  async #log(flow: JobFlow, spec: ExchangeSpec, partition: number): Promise<void> {
    const reader = spec.readers[partition];
    const newestOf = (actor: string) =>
      flow
        .commits()
        .flatMap(({ actors }) => actors)
        .find((one) => one.actor === actor);
    const attempted = flow.commits().filter(({ attempt }) => attempt > 0);
    const committed = new Set(attempted.flatMap(({ actors }) => actors.map(({ actor }) => actor)));
    const written = spec.writers.some(({ actor }) => flow.isFinished(actor) || committed.has(actor));
    if (reader === undefined || !written || flow.isFinished(reader)) return;
    const position = () => this.#positionOf(() => newestOf(reader), spec.operator);
    const at = await position();
    if (at === "read") return;
    const { bus, namespace, ports } = this.options;
    const { exchangeLog } = jobSubjects(namespace, flow.job);
    const log = await bus.existingLog(exchangeLog(spec.operator as OperatorId, partition));
    const label = `durable exchange "${spec.operator}", partition ${partition}`;
    const [first, last] = [await log.first(), await log.last()];
    const from = at.next > first ? at.next : first; // what was purged meanwhile is in the reader's newest checkpoint (Q5)
    if (from > last) return;
    const late = new AbortController();
    const timer = ports.clock.after(limits.contentCollectionTimeoutMs, () => late.abort(tooLate(label)));
    try {
      const hasPassed = (header: ExchangeEntryHeader, now: ExchangePosition | "read") =>
        now === "read" || isHandedOn(now, header);
      const entries = new Entries(this.prefix, async (header, content) => {
        if (hasPassed(header, at)) return []; // it is there again, and its row may be gone
        try {
          return await this.#rowBeside(flow.job, header, content, late.signal);
        } catch (error) {
          if (isMissing(error) && hasPassed(header, await position())) return []; // as what was purged meanwhile
          throw error;
        }
      });
      for await (const { sequence, payload } of log.read(from, late.signal)) {
        this.#add(label, await entries.take(payload));
        if (sequence >= last) return;
      }
      throw late.signal.reason ?? tooLate(label);
    } finally {
      timer.cancel();
    }
  }

  /** A row that lies beside its log, and what that refers to. */
  #rowBeside(
    job: JobId,
    { schema }: ExchangeEntryHeader,
    { sha256 }: ExchangeContent,
    signal?: AbortSignal,
  ): Promise<readonly string[]> {
    return this.#once(`row ${sha256}`, async () => {
      const { contents, ports } = this.options;
      const store = new ContentStore({ store: contents, job, clock: ports.clock });
      const row = await store.get(sha256, signal && { signal });
      return [sha256, ...ownedContentOf(decodeBatch(decodeSchema(schema!), row), this.prefix)];
    });
  }

  /** Where the reader of a partition stands; `read`: it has read it to its end. */
  async #positionOf(newest: () => ActorCheckpoint | undefined, exchange: string): Promise<ExchangePosition | "read"> {
    for (let look = 1; ; look++) {
      const own = newest();
      if (own === undefined) return START;
      try {
        return positionIn(await this.#snapshotOf(own), exchange);
      } catch (error) {
        if (!isMissing(error) || newest()?.key === own.key || look >= LOOKS_MAX) throw error;
      }
    }
  }

  async #savepoints({ job }: JobFlow): Promise<void> {
    const { store } = this.options;
    const { savepoints } = jobKeys(job);
    for (const { key } of await listed(store, savepoints)) {
      const contents = await this.#once(key, async () => {
        const { regions, exchanges } = savepointFrame.decode(await store.get(key)).header;
        const found = new Set<string>();
        for (const { actors } of regions) {
          await each(actors, async (one) => {
            for (const hash of contentsOfSnapshot(await store.get(one.key))) found.add(hash);
          });
        }
        for (const { objects } of exchanges.flatMap(({ partitions }) => partitions)) {
          // Of the whole partition: a batch that an earlier version has cut may reach over two objects.
          const entries = new Entries(this.prefix, (header, content) => this.#rowBeside(job, header, content));
          for (const { key } of objects) {
            for (const entry of unpackEntries(await store.get(key)).entries) {
              for (const hash of await entries.take(entry)) found.add(hash);
            }
          }
        }
        return [...found];
      });
      this.#add(`savepoint ${key.slice(savepoints.length)}`, contents);
    }
  }

  async #records({ job }: JobFlow): Promise<FoundRecord[]> {
    const { contents: store } = this.options;
    const { contentRoots } = jobKeys(job);
    const read: { key: string; sinceMs: number; url: string; name: string; contents: readonly string[] }[] = [];
    await each(await listed(store, contentRoots), async ({ key, sinceMs }) => {
      const [url = "", name = "", ...contents] = await this.#once(key, async () => {
        const bytes = await unlessGone(store.get(key)); // deleted by another collection
        if (bytes === undefined) return [];
        const root = decodeContentRoot(key, bytes);
        return [root.url, root.name, ...root.contents];
      });
      if (contents.length > 0) read.push({ key, sinceMs, url, name, contents });
    });
    const places = new Map<string, Set<string> | undefined>();
    const found: FoundRecord[] = [];
    for (const { url, name, ...record } of read) {
      const operator = record.key.slice(contentRoots.length).split("/")[0]!;
      const place = JSON.stringify([url, operator]);
      if (!places.has(place)) places.set(place, await this.#names(url, `${operator}-`));
      const counts = name === "" || (await this.#isThere(url, name, places.get(place)));
      const label = name === "" ? `what operator ${operator} has published at ${url}` : `published file ${url}/${name}`;
      if (counts) this.#add(label, record.contents);
      found.push({ ...record, counts, label });
    }
    return found;
  }

  /** Undefined: nobody here can say. */
  async #names(url: string, prefix: string): Promise<Set<string> | undefined> {
    const place = this.options.outputAt(url);
    if (place === undefined) return undefined;
    const names = new Set<string>();
    try {
      for await (const { key } of place.list(prefix)) names.add(key);
      return names;
    } catch (error) {
      this.options.ports.log.warn("published files could not be looked at: what they refer to stays", { url, error });
      return undefined;
    }
  }

  /** A listing may be old: that a file is missing, the file itself is asked. */
  async #isThere(url: string, name: string, names: Set<string> | undefined): Promise<boolean> {
    if (names === undefined || names.has(name)) return true;
    try {
      return (await this.options.outputAt(url)?.head(name)) !== undefined;
    } catch {
      return true;
    }
  }
}

/**
 * What entries of a log refer to. A row that is larger than an entry lies beside the log; earlier versions cut it into several entries. Any of
 * them may be there again, of a writer that did not know that it had written them, or that is not the writer any more; they are the same
 * each time.
 */
class Entries {
  #open = new Map<string, { readonly first: ExchangeEntryHeader; readonly parts: Uint8Array[] }[]>();

  /** @param beside what a row that lies beside the log refers to, itself included */
  constructor(
    private readonly prefix: string,
    private readonly beside: (header: ExchangeEntryHeader, content: ExchangeContent) => Promise<readonly string[]>,
  ) {}

  async take(bytes: Uint8Array): Promise<readonly string[]> {
    const { header, payload } = exchangeEntryFrame.decode(bytes);
    if (header.end) return [];
    if (header.content !== null) return this.beside(header, header.content);
    if (header.schema !== null && !header.more) return this.#contentsOf(header, [payload]);
    const chain = `${header.writer} ${header.checkpoint}`;
    const open = this.#open.get(chain) ?? [];
    this.#open.set(chain, open);
    const begun = open.some(({ first }) => first.index === header.index);
    if (header.schema !== null && !begun) open.push({ first: header, parts: [] });
    const at = open.findIndex(({ first, parts }) => first.index + parts.length === header.index);
    if (at < 0) return [];
    open[at]!.parts.push(payload);
    if (header.more) return [];
    const [{ first, parts }] = open.splice(at, 1) as [(typeof open)[number]];
    return this.#contentsOf(first, parts);
  }

  #contentsOf({ schema }: ExchangeEntryHeader, parts: readonly Uint8Array[]): readonly string[] {
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    return ownedContentOf(decodeBatch(decodeSchema(schema!), bytes), this.prefix);
  }
}

async function listed(store: ObjectStore, prefix: string): Promise<ListedObject[]> {
  const found: ListedObject[] = [];
  for await (const info of store.list(prefix)) found.push(info);
  return found;
}

/** As many at a time as `limits.contentCollectionObjectsAtOnce` says. */
export async function each<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length) await act(items[next++]!);
  };
  const lanes = Math.min(limits.contentCollectionObjectsAtOnce, items.length);
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND";
}

function tooLate(what: string): MillraceError {
  return new MillraceError(
    "MILL_BUS_TIMEOUT",
    `${what} could not be read within ${limits.contentCollectionTimeoutMs} ms.`,
  );
}
