/**
 * One region of real actors over a memory bus, with sources, sinks and a service that survive them, and a coordinator that
 * does no more than a test needs: it triggers, commits when every actor has acknowledged, tells of it, and starts the
 * next attempt from the newest commit. Everything is drawn from one seed; time is counted in turns of the event loop.
 */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { Actor } from "../../../src/actors/actor.js";
import type { Cut } from "../../../src/actors/actor-options.js";
import { BusChannelReceiver } from "../../../src/actors/channel-receiver.js";
import { BusChannelSender } from "../../../src/actors/channel-sender.js";
import { LocalChannel } from "../../../src/actors/local-channel.js";
import { SplitEnumerator } from "../../../src/actors/split-enumerator.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { ChannelId, JobId, Namespace } from "../../../src/base/ids.js";
import type { Clock, Ports, Timer } from "../../../src/base/ports.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { type Plan, planTopology } from "../../../src/plan/plan.js";
import type { Answer, CallOptions, PassedRows, ServiceClient } from "../../../src/services/client.js";
import { sha256Of } from "../../../src/storage/content-checks.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ContentAccess, Sink, SinkContext, Source, SplitProgress } from "../../../src/topology/endpoints.js";
import type { Topology } from "../../../src/topology/nodes.js";
import { service } from "../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { actorSnapshotFrame } from "../../../src/wire/stored.js";
import { noContent, noOutput } from "./support.js";

export type Random = (below: number) => number;

export function randomOf(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A turn is 10 ms, and passes as soon as everything that was ready has run. */
class TurnClock implements Clock {
  #turns = 0;
  #timers = new Set<{ readonly due: number; readonly fn: () => void }>();
  #runs = false;

  nowMs = () => 1_700_000_000_000 + this.#turns * 10;
  monotonicMs = () => this.#turns * 10;

  after(delayMs: number, fn: () => void): Timer {
    const timer = { due: this.#turns + Math.ceil(delayMs / 10), fn };
    this.#timers.add(timer);
    this.#run();
    return { cancel: () => void this.#timers.delete(timer) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.after(delayMs, resolve);
    });
  }

  #run(): void {
    if (this.#runs || this.#timers.size === 0) return;
    this.#runs = true;
    setImmediate(() => {
      this.#runs = false;
      this.#turns += 1;
      for (const timer of [...this.#timers]) {
        if (timer.due <= this.#turns && this.#timers.delete(timer)) timer.fn();
      }
      this.#run();
    });
  }
}

/** What addresses of content begin with, and what content that is to be moved out does. */
const OWNED = "world:/content/";
export const LARGE = "LARGE-CONTENT-OF-";

export const numbersIn = { n: t.int32, key: t.utf8 };
export const answered = { doubled: t.int32 };

export const doubler = service("doubler", {
  input: { n: t.int32 },
  output: answered,
  handler: { kind: "none", assets: {}, load: () => Promise.reject(new Error("never loaded")) },
  batch: { rowsMax: 64 },
});

/** Rows that the service refuses, and requests that fail as a whole: they depend on nothing but the rows. */
export const isRejected = (n: number) => n % 37 === 5;
const failsWhole = (first: number) => first % 41 === 7;

export interface SourceShape {
  readonly splits: number;
  readonly batches: number;
  readonly rows: number;
  readonly positions?: boolean;
}

/** Numbers from `from` on. @param make turns them into rows */
export function source<C extends Columns>(
  columns: C,
  from: number,
  { splits, batches, rows, positions = false }: SourceShape,
  make: (n: number) => unknown,
  pause: () => Promise<void>,
): Source<C> {
  const batchAt = (split: number, index: number) =>
    batchFromRows(
      columns,
      Array.from({ length: rows }, (_, i) => make(from + (split * batches + index) * rows + i)) as never,
    ) as unknown as RecordBatch;
  return {
    kind: "test",
    columns,
    describe: "test",
    async *splits() {
      for (let i = 0; i < splits; i++) {
        await pause();
        yield { id: `${from}-${i}`, payload: new Uint8Array(), rows: batches * rows };
      }
    },
    async *read(split: { readonly id: string }, _context: unknown, progress: SplitProgress) {
      const number = Number(split.id.split("-")[1]);
      const position = progress.position;
      const first = positions && position !== undefined ? position[0]! : 0;
      for (let i = first; i < batches; i++) {
        await pause();
        const batch = batchAt(number, i);
        yield (positions ? { batch, position: new Uint8Array([i + 1]) } : batch) as never;
      }
    },
  };
}

/** What outlives every attempt of one sink: what is staged and what is published, by names as `topology/endpoints.ts` wants them. */
export class WorldSink implements Sink {
  readonly kind = "world";
  readonly describe = "world";
  readonly staged = new Map<string, unknown[]>();
  readonly published = new Map<string, unknown[]>();
  recovering: Promise<void> | undefined;
  failPrepare: Error | undefined;

  constructor(
    readonly url: string,
    private readonly pause: () => Promise<void>,
    /** Checkpoints of the attempt that are in the log. */
    private readonly committed: () => bigint,
  ) {}

  check(): void {}

  async open({ columns, operator, subtask, attempt }: SinkContext) {
    let written: unknown[] = [];
    await this.pause();
    const publish = async (prepared: Uint8Array) => {
      const { from, to } = JSON.parse(new TextDecoder().decode(prepared)) as { from: string; to: string };
      await this.pause();
      assert.ok(BigInt(to.split(" ").at(-1)!) <= this.committed(), `${to} is published before its commit (U2, A3)`);
      const rows = this.staged.get(from);
      if (rows !== undefined) this.published.set(to, rows);
      else assert.ok(this.published.has(to), `${from} is gone, and not published as ${to} (U3)`);
      this.staged.delete(from);
    };
    return {
      write: async (batch: RecordBatch) => {
        const rows = rowsOf(columns, batch as never);
        if (rows.length % 3 === 0) await this.pause();
        written.push(...rows);
      },
      prepare: async (checkpoint: bigint) => {
        const rows = written;
        written = [];
        await this.pause();
        if (this.failPrepare !== undefined) throw this.failPrepare;
        if (rows.length === 0) return new Uint8Array();
        const to = `${operator} ${subtask} ${checkpoint}`;
        this.staged.set(`${attempt} ${to}`, rows);
        return new TextEncoder().encode(JSON.stringify({ from: `${attempt} ${to}`, to }));
      },
      commit: async (prepared: Uint8Array) => {
        if (prepared.length > 0) await publish(prepared);
      },
      recover: async (pending: readonly Uint8Array[]) => {
        await this.recovering;
        for (const prepared of pending) await publish(prepared);
        for (const name of this.staged.keys()) {
          const [by, of, number] = name.split(" ");
          if (Number(by) < attempt && of === operator && Number(number) === subtask) this.staged.delete(name);
        }
      },
      abort: async () => {
        written = [];
      },
    };
  }

  /** In the order of publication by subtask and checkpoint. */
  rows(): Record<string, unknown>[] {
    const order = (name: string) => name.split(" ").map(Number).slice(1) as [number, number];
    return [...this.published]
      .sort(([a], [b]) => order(a)[0] - order(b)[0] || order(a)[1] - order(b)[1])
      .flatMap(([, rows]) => rows as Record<string, unknown>[]);
  }
}

interface Manifest {
  readonly checkpoint: bigint;
  readonly cuts: ReadonlyMap<string, Cut>;
}

export interface WorldOptions {
  readonly seed: number;
  readonly channels: "local" | "bus";
  /** How long answers of the service take, in turns at most. */
  readonly serviceTurns: number;
  topology(world: World): Topology;
}

const JOB = "job" as JobId;
const SUBJECTS = jobSubjects("test" as Namespace, JOB);

export class World {
  readonly random: Random;
  readonly ports: Ports;
  readonly deadLetters: WorldSink;
  readonly topology: Topology;
  readonly plan: Plan;
  /** What committed snapshots held: shows that a test meets what it is for. */
  readonly met = new Set<string>();
  attempt = 0;
  /** Times that a snapshot cannot be saved. */
  saveFails = 0;
  newest = 0n;
  manifest: Manifest | undefined;
  #bus: MemoryBus;
  #store = new MemoryStore();
  #actors: Actor[] = [];
  #acknowledged = new Map<string, Cut>();
  #calls = 0;
  /** Value of each row that was asked about, by its id; over all attempts. */
  readonly asked = new Map<string, number>();
  #released = new Set<string>();

  constructor(private readonly options: WorldOptions) {
    this.random = randomOf(options.seed);
    this.ports = { ...realPorts(silentLog), clock: new TurnClock() };
    this.#bus = new MemoryBus(this.ports);
    this.deadLetters = this.sink("dead-letters");
    this.topology = options.topology(this);
    this.plan = planTopology(this.topology);
  }

  /** Content by its hash, over all attempts. */
  readonly #content = new Map<string, Uint8Array>();
  readonly content: ContentAccess = {
    ...noContent,
    put: async (bytes) => {
      const sha256 = sha256Of(bytes);
      for (let i = 0; i < 10; i++) await this.pause();
      this.#content.set(sha256, bytes);
      return { ...inline(bytes, ""), uri: `${OWNED}${sha256}`, sha256, bytes: null };
    },
  };

  readonly pause = async (): Promise<void> => {
    for (let i = this.random(3); i > 0; i--) await (this.random(3) === 0 ? turn() : Promise.resolve());
  };

  sink(url: string): WorldSink {
    return new WorldSink(url, this.pause, () => this.manifest?.checkpoint ?? 0n);
  }

  /** Enumerators outlive the region, as they do in a job. */
  async open(): Promise<void> {
    for (const node of this.topology.operators) {
      if (node.kind !== "source") continue;
      await new SplitEnumerator({
        source: node.source,
        operator: node.id,
        subject: SUBJECTS.splits(node.id),
        readers: this.plan.actors.filter(({ operators }) => operators.includes(node.id)).length,
        rank: { term: 1n, attempt: 1 },
        bus: this.#bus,
        store: this.#store,
        logKey: (number) => jobKeys(JOB).splitRecord(node.id, number),
        pageKey: (size, number) => jobKeys(JOB).splitPage(node.id, size, number),
        clock: realPorts().clock,
        context: { content: noContent, log: silentLog, signal: new AbortController().signal },
      }).open();
    }
  }

  get finished(): boolean {
    return this.#actors.every(({ state }) => state.kind === "FINISHED");
  }

  /** The next attempt, from the newest commit. What the last one had open is fenced off. */
  async start(): Promise<void> {
    this.attempt += 1;
    this.newest += 1n;
    this.#acknowledged.clear();
    const { attempt, plan, topology, ports } = this;
    const bus = this.#bus;
    const local = new Map<string, LocalChannel>();
    const channel = (id: string) => {
      if (this.options.channels === "local") {
        const made = local.get(id) ?? new LocalChannel(id);
        local.set(id, made);
        return made;
      }
      const { from } = plan.channels.find((one) => one.id === id)!;
      const { columns } = topology.operators.find((node) => node.id === from.operator)!;
      const subjects = SUBJECTS.channel(id as ChannelId, attempt);
      const both = { bus, ports, channel: id, attempt, subjects, columns };
      return { sender: new BusChannelSender(both), receiver: new BusChannelReceiver(both) };
    };
    this.#actors = plan.actors.map((actor) => {
      const made: Actor = new Actor({
        plan,
        topology,
        actor,
        attempt,
        restored: this.manifest?.cuts.get(actor.id),
        bus,
        subjects: SUBJECTS,
        ports,
        content: this.content,
        outputFor: () => noOutput,
        deadLetterSink: this.deadLetters,
        clientFor: () => this.#client(),
        senderFor: (id) => channel(id).sender,
        receiverFor: (id) => channel(id).receiver,
        acknowledge: (cut) => this.#acknowledge(attempt, cut),
        onChange: () => {},
      });
      return made;
    });
    const restored = this.manifest;
    for (const { id } of this.#actors) assert.ok(restored?.cuts.has(id) ?? true, `the manifest has ${id}`);
    await Promise.all(this.#actors.map((actor) => actor.open()));
    for (const actor of this.#actors) void actor.start();
  }

  get published(): bigint {
    return this.#actors.reduce((max, { published }) => (published > max ? published : max), 0n);
  }

  get failures(): MillraceError[] {
    return this.#actors.flatMap(({ state }) => (state.kind === "FAILED" ? [state.error] : []));
  }

  trigger(checkpoint: bigint): void {
    for (const actor of this.#actors) actor.trigger(checkpoint);
  }

  /** All at once, as a host that is killed; what they do afterwards is a zombie's. */
  kill(): void {
    for (const actor of this.#actors) void actor.stop();
  }

  check(): void {
    for (const { id, state } of this.#actors) if (state.kind === "FAILED") assert.fail(`${id}: ${state.error.stack}`);
  }

  /** Opens the next checkpoint; commits it if every actor acknowledges within `turns`. @returns whether it was committed */
  async checkpoint(turns: number, tell: boolean): Promise<boolean> {
    this.newest += 1n;
    this.#acknowledged.clear();
    const checkpoint = this.newest;
    for (let i = 0; i < turns; i++) {
      if (i % 20 === 0) for (const actor of this.#actors) if (this.random(3) > 0) actor.trigger(checkpoint);
      await turn();
      this.check();
      if (this.#acknowledged.size < this.#actors.length) continue;
      this.manifest = { checkpoint, cuts: new Map(this.#acknowledged) };
      for (const { snapshot } of this.manifest.cuts.values()) this.#look(snapshot);
      if (tell) this.complete();
      return true;
    }
    return false;
  }

  #look(snapshot: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(snapshot);
    assert.ok(!bytes.includes(LARGE), "content above the limit is moved out before a snapshot is made of it");
    for (const [, sha256 = ""] of bytes.toString("latin1").matchAll(new RegExp(`${OWNED}([0-9a-f]{64})`, "g"))) {
      assert.ok(this.#content.has(sha256), "what a snapshot refers to is in the store");
      this.met.add("references");
    }
    const { parked, operators } = actorSnapshotFrame.decode(bytes).header;
    const kindOf = (id: string) => this.topology.operators.find((node) => node.id === id)?.kind;
    for (const { operator } of operators) if (kindOf(operator) === "infer") this.met.add("infer");
    const inputs = new Map<string, number>();
    for (const { place } of parked) {
      this.met.add(place.startsWith(">") ? "channel" : place);
      if (this.plan.channels.some(({ to }) => to.operator === place)) inputs.set(place, (inputs.get(place) ?? 0) + 1);
    }
    // One for each of the two channels may have been parked.
    if ([...inputs.values()].some((count) => count > 2)) this.met.add("captured");
  }

  complete(): void {
    for (const actor of this.#actors) void actor.complete(this.manifest?.checkpoint ?? 0n);
  }

  /** Everything is published. */
  get over(): boolean {
    const { manifest } = this;
    if (manifest === undefined || ![...manifest.cuts.values()].every(({ finished }) => finished)) return false;
    return this.#actors.every((actor) => actor.published >= manifest.checkpoint);
  }

  async #acknowledge(attempt: number, cut: Cut): Promise<void> {
    await this.pause();
    if (this.saveFails > 0) {
      this.saveFails -= 1;
      throw new MillraceError("MILL_STORE_UNREACHABLE", "away");
    }
    if (attempt !== this.attempt || cut.checkpoint !== this.newest) return; // C7
    this.#acknowledged.set(cut.actor, cut);
  }

  /** Answers out of order, some refused, some requests failed as a whole. */
  #client(): ServiceClient {
    const open = new Map<object, Set<(error: MillraceError) => void>>();
    const client = {
      call: (records: RecordBatch, owner: object, { rowIds = [] }: CallOptions = {}): Promise<Answer> =>
        new Promise((resolve, reject) => {
          const mine = open.get(owner) ?? new Set();
          open.set(owner, mine.add(reject));
          this.#calls += 1;
          const values = (rowsOf({ n: t.int32 }, records as never) as { n: number }[]).map(({ n }) => n);
          assert.equal(rowIds.length, values.length, "every row has an id");
          for (const [i, id] of rowIds.entries()) {
            assert.equal(this.asked.get(id) ?? values[i], values[i], "an id is one row's (I7)");
            assert.ok(!this.#released.has(id), `row ${values[i]} was released, and is asked about again (I7)`);
            this.asked.set(id, values[i]!);
          }
          this.ports.clock.after(10 * this.random(this.options.serviceTurns + 1), () => {
            mine.delete(reject);
            if (failsWhole(values[0]!)) return reject(new MillraceError("MILL_SERVICE_FAILED", `failed ${values[0]}`));
            const rejected = values.flatMap((n, row) =>
              isRejected(n) ? [{ row, code: "MILL_RECORD_INVALID", message: `bad ${n}` }] : [],
            );
            const made = batchFromRows(
              answered,
              values.map((n) => ({ doubled: 2 * n })),
            );
            resolve({ records: made as unknown as RecordBatch, rejected });
          });
        }),
      giveUp(owner: object, error: MillraceError) {
        for (const reject of open.get(owner) ?? []) reject(error);
      },
      isStarved: false,
      whenStarved: () => {},
      release: (passed: readonly PassedRows[]) => {
        for (const { ids } of passed) for (const id of ids) this.#released.add(id);
      },
    };
    return client as unknown as ServiceClient;
  }
}
