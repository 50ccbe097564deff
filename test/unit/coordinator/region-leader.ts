/** One leader of one region, whose hosts are the test. */

import assert from "node:assert/strict";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { Events } from "../../../src/coordinator/events.js";
import type { JobBook } from "../../../src/coordinator/job-book.js";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import { RegionFloors } from "../../../src/coordinator/region-floor.js";
import { RegionRunner, type Then } from "../../../src/coordinator/region-runner.js";
import { jobKeys } from "../../../src/storage/keys.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import type { Snapshot } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { fakePorts } from "./fake-ports.js";
import { needs, worker } from "./job-facts.js";

const JOB = "job" as JobId;
const keys = jobKeys(JOB);
const actors = ["a", "b"];

interface Sent {
  readonly kind: string;
  readonly header: { readonly attempt: number; readonly term: bigint; readonly checkpoint?: bigint };
  readonly then: Then | undefined;
}

const HERE = "test" as Namespace;
const buses = new WeakMap<ObjectStore, MemoryBus>();

/** What all leaders over a store are joined to. */
function busOf(store: ObjectStore): MemoryBus {
  const bus = buses.get(store) ?? new MemoryBus(fakePorts());
  buses.set(store, bus);
  return bus;
}

/** Of the region's log. */
export const floorsOf = (store: ObjectStore) => new RegionFloors(busOf(store), HERE);

/** One coordinator's view of the region; its hosts are the test. */
export function leaderOf(store: ObjectStore, term: bigint) {
  const ports = fakePorts();
  const bus = busOf(store).connect();
  const region = new RegionBook("r", actors, ports.clock);
  const sent: Sent[] = [];
  const deposed: bigint[] = [];
  const refused: string[] = [];
  const answersOfLeads: boolean[] = [];
  const state = { adopting: false, hostUp: true, leads: true };
  const host = () => ({
    host: "h",
    worker: "w",
    group: "",
    state: state.hostUp ? ("up" as const) : ("gone" as const),
    failure: state.hostUp ? undefined : { code: "MILL_WORKER_LOST", message: "gone.", passing: true },
  });
  const book = {
    job: JOB,
    regions: new Map([["r", region]]),
    checkpointIntervalMs: 1,
    pinned: new Set<string>(),
    seeds: [],
    get adopting() {
      return state.adopting;
    },
    hostFor: () => (state.hostUp ? host() : undefined),
    host,
    groups: () => [{ actors, before: "", needs: needs(), gpus: [], kept: undefined }],
    place: (book: RegionBook, _groups: unknown, [place]: { worker: string }[]) =>
      book.place(new Map(actors.map((actor) => [actor, place!.worker]))),
    load: () => new Map(),
    turns: { take: () => [region], taken() {}, due() {}, unplaced() {}, dueMs: Number.POSITIVE_INFINITY },
    waitFor: () => {},
    onRefused: (code: string, message: string) => void refused.push(`${code}: ${message}`),
  } as unknown as JobBook;
  const runner = new RegionRunner({
    bus,
    namespace: HERE,
    store,
    ports,
    term,
    events: new Events({ bus, ports, namespace: HERE }, () => term),
    send: (_book, _host, frame, then) => {
      const { kind, header } = decodeFrame(frame);
      sent.push({ kind, header: header as Sent["header"], then });
    },
    look: () => {},
    workers: () => [worker("w")],
    holdings: () => [],
    deposed: (by) => void deposed.push(by),
    leads: async () => deposed.length === 0 && (answersOfLeads.shift() ?? state.leads),
  });
  const look = async (times = 1) => {
    for (let i = 0; i < times; i++) {
      if (deposed.length === 0) runner.look(book);
      await ports.clock.advance(2);
    }
  };
  /** Hosts that do what they are told, at once. */
  const obey = () => {
    for (const { then } of sent.splice(0)) then?.done?.();
    for (const actor of actors) {
      const counts = {
        rowsRead: 0n,
        rowsWritten: 0n,
        rowsInFlight: 0n,
        deadLetters: 0n,
        sinksPublished: 0n,
        load: null,
      };
      const { attempt } = region;
      const report = { actor, region: "r", attempt, state: "RUNNING" as const, published: 0n, code: "", message: "" };
      region.onReport({ ...report, ...counts }, "h", "w");
    }
  };
  const snapshots = (checkpoint: bigint, attempt = region.attempt) => {
    for (const actor of actors) {
      const where = { inline: new Uint8Array([attempt]), key: "", sha256: "", sizeBytes: 1n, unaligned: false };
      region.onSnapshot({ job: JOB, region: "r", attempt, checkpoint, actor, finished: false, ...where } as Snapshot);
    }
  };
  const run = async () => {
    for (let i = 0; region.phase !== "RUNNING"; i++) {
      assert.ok(i < 20, `it is RUNNING; it is ${region.phase}`);
      await look();
      obey();
    }
  };
  const acknowledge = (actor: string, checkpoint: bigint, key: string, finished = false, sha256 = "") => {
    const where = { inline: new Uint8Array(), key, sha256, sizeBytes: 1n, unaligned: false };
    const { attempt } = region;
    region.onSnapshot({ job: JOB, region: "r", attempt, checkpoint, actor, finished, ...where } as Snapshot);
  };
  /** Takes that many checkpoints, whose snapshots are objects, one behind the other. */
  const commit = async (count: number, objects: ObjectStore) => {
    for (let i = 0; i < count; i++) {
      await look(2);
      const open = region.facts(host, false).open;
      assert.ok(open !== undefined, "a checkpoint is open");
      for (const actor of actors) {
        const key = keys.snapshot("r", open.checkpoint, region.attempt, actor);
        await objects.put(key, new Uint8Array([1]));
        acknowledge(actor, open.checkpoint, key);
      }
      await look(2);
      assert.equal(region.facts(host, false).committed, open.checkpoint);
    }
  };
  /** Every actor tells that its sinks have published up to there, and its durable exchanges up to `published`. */
  const publish = (sinksPublished: bigint, published = sinksPublished) => {
    for (const actor of actors) {
      const counts = { rowsRead: 0n, rowsWritten: 0n, rowsInFlight: 0n, deadLetters: 0n, load: null };
      const report = { actor, region: "r", attempt: region.attempt, state: "RUNNING" as const, code: "", message: "" };
      region.onReport({ ...report, ...counts, published, sinksPublished }, "h", "w");
    }
  };
  return {
    bus,
    ports,
    book,
    publish,
    answersOfLeads,
    acknowledge,
    commit,
    region,
    sent,
    deposed,
    refused,
    state,
    look,
    obey,
    snapshots,
    run,
    facts: () => region.facts(host, false),
  };
}
