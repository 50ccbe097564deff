/**
 * From the snapshots of a savepoint to those that the actors of another job begin with.
 *
 * Invariants:
 *   J1  What a snapshot holds is in exactly one of the new ones: operators' states, parked batches, blobs. Sinks begin empty:
 *       everything of a savepoint was published.
 *   J2  A batch on its way into a channel is one on its way into the operator behind it. Where keys decide, and the number of
 *       instances is another one, its rows are shared out by key, and so are requests in flight: what comes later of a key comes
 *       to the same instance, behind them.
 *   J3  No actor begins FINISHED, and no reader: they ask for splits, find none, and end as they did.
 *   J4  Both ends of a durable exchange begin anew: a reader with the first seed of its partition, a writer with nothing pending.
 *       What they had goes into the seeds (`seed-exchange.ts`).
 */
import { MillraceError } from "../base/errors.js";
import type { OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { type KeyGroupHolder, keyGroupRange, redistribute } from "../checkpoint/key-groups.js";
import { matchState, type StatefulOperator, successorOf } from "../checkpoint/redistribute.js";
import { partitionSplit } from "../connectors/exchange-source.js";
import type { Plan } from "../plan/plan.js";
import type { DurableNode, InferNode, OperatorNode, Topology } from "../topology/nodes.js";
import { arrowSchema } from "../types/columns.js";
import { decodeBatch, encodeBatch } from "../wire/arrow.js";
import { exchangePositionFrame } from "../wire/exchange-frames.js";
import { frameKind } from "../wire/frames.js";
import {
  actorSnapshotFrame,
  type InferEntry,
  inferStateFrame,
  keyedStateFrame,
  type OperatorSpec,
  type SourceState,
  type StartedSplit,
  sinkStateFrame,
  sourceStateFrame,
} from "../wire/stored.js";
import { ActorDraft, type KeyGroupBlobs } from "./actor-draft.js";
import { partsByHash, receiverOf } from "./exchange.js";
import { keysInto } from "./keys-into.js";
import { splitCalls } from "./split-calls.js";

export interface SavedActor {
  readonly actor: string;
  readonly subtask: number;
  /** A frame of kind `actor-snapshot`. */
  readonly snapshot: Uint8Array;
}

export interface SavedJob {
  readonly operators: readonly OperatorSpec[];
  readonly actors: readonly SavedActor[];
}

export interface NewJob {
  readonly topology: Topology;
  readonly plan: Plan;
  readonly operators: readonly OperatorSpec[];
}

export interface Redistributed {
  /** Snapshots by actor; all of the plan. */
  readonly snapshots: ReadonlyMap<string, Uint8Array>;
  /** Splits taken, by source and by the reader's actor in the old job; only of sources whose state is used. */
  readonly taken: ReadonlyMap<string, ReadonlyMap<string, bigint>>;
  /** What both ends of durable exchanges had, by the operator that reads; only where that is used. */
  readonly exchanges: ReadonlyMap<string, SavedEnds>;
}

export interface SavedEnds {
  /** By partition: where the reader was; undefined: it had begun nothing. Partitions that were read to their end are left out. */
  readonly positions: ReadonlyMap<number, Uint8Array | undefined>;
  /** What writers had prepared, each one's oldest first (`connectors/exchange-pending.ts`). */
  readonly pending: readonly Uint8Array[];
}

interface Ends extends SavedEnds {
  readonly positions: Map<number, Uint8Array | undefined>;
  readonly pending: Uint8Array[];
}

interface Target {
  readonly operator: string;
  readonly subtask: number;
}

interface Saved {
  readonly actor: string;
  readonly subtask: number;
  readonly header: ReturnType<typeof actorSnapshotFrame.decode>["header"];
  readonly blobs: readonly Uint8Array[];
}

/** @throws {MillraceError} `MILL_SAVEPOINT_UNMATCHED`; `MILL_STORE_CORRUPT` */
export function redistributeJob(saved: SavedJob, job: NewJob, allowUnmatched: boolean): Redistributed {
  return new Redistribution(saved, job, allowUnmatched).run();
}

class Redistribution {
  #drafts = new Map<string, ActorDraft>();
  #saved: readonly Saved[];
  #old: ReadonlyMap<string, OperatorSpec>;
  #new: ReadonlyMap<string, OperatorSpec>;
  #nodes: ReadonlyMap<string, OperatorNode>;
  #matched: ReadonlySet<string>;
  #sources = new Map<string, Map<number, SourceState[]>>();
  #taken = new Map<string, Map<string, bigint>>();
  #keyed = new Map<string, Map<number, KeyGroupHolder<KeyGroupBlobs>>>();
  #ends = new Map<string, Ends>();

  constructor(
    saved: SavedJob,
    private readonly job: NewJob,
    allowUnmatched: boolean,
  ) {
    this.#saved = saved.actors.map(decoded).sort((a, b) => a.subtask - b.subtask || (a.actor < b.actor ? -1 : 1));
    this.#old = new Map(saved.operators.map((one) => [one.operator, one]));
    this.#new = new Map(job.operators.map((one) => [one.operator, one]));
    this.#nodes = new Map(job.topology.operators.map((node) => [node.id, node]));
    this.#matched = matchState(this.#held(), job.operators, allowUnmatched);
    for (const { id } of job.plan.actors) this.#drafts.set(id, new ActorDraft());
  }

  run(): Redistributed {
    for (const one of this.#saved) {
      this.#count(one);
      for (const { operator, state } of one.header.operators) this.#moveState(one, operator, state);
    }
    // What receivers had comes before what their senders still had (J2).
    for (const into of ["operator", "channel"]) {
      for (const one of this.#saved) {
        for (const { place, blob } of one.header.parked) {
          if (place.startsWith(">") === (into === "channel"))
            this.#moveBatch(this.#targetOf(place, one), one.blobs[blob]!, one);
        }
      }
    }
    this.#placeSources();
    this.#placeKeyed();
    this.#placeDurable();
    const snapshots = new Map([...this.#drafts].map(([actor, draft]) => [actor, draft.encode()]));
    return { snapshots, taken: this.#taken, exchanges: this.#ends };
  }

  /** Operators that there is something of. */
  #held(): StatefulOperator[] {
    const ids = new Set<string>();
    for (const one of this.#saved) {
      const { header } = one;
      for (const { operator } of header.operators) if (this.#kindOf(operator) !== "sink") ids.add(operator);
      for (const { place } of header.parked) ids.add(this.#targetOf(place, one).operator);
    }
    return [...ids].map((operator) => this.#specOf(operator));
  }

  #specOf(operator: string): OperatorSpec {
    const spec = this.#old.get(operator);
    if (spec !== undefined) return spec;
    throw corrupt(`it has state of operator "${operator}", which it does not name`);
  }

  /** The dead letters of an actor are a sink, too. */
  #kindOf(operator: string): string {
    return operator === "" ? "sink" : this.#specOf(operator).kind;
  }

  /** J2 */
  #targetOf(place: string, { subtask }: { readonly subtask: number }): Target {
    if (!place.startsWith(">")) return { operator: place, subtask };
    for (const operator of this.#old.keys()) {
      const [, from, receiver] = new RegExp(`^>(.*)-\\d+--${operator}-(\\d+)$`).exec(place) ?? [];
      if (from !== undefined && this.#old.has(from)) return { operator, subtask: Number(receiver) };
    }
    throw corrupt(`it has a batch on its way into "${place.slice(1)}", which is no channel of its operators`);
  }

  #draft(operator: string, subtask: number): ActorDraft {
    const { actors } = this.job.plan;
    const actor = actors.find((one) => one.subtask === subtask && one.operators.includes(operator as OperatorId));
    return this.#drafts.get(actor!.id)!;
  }

  #successor(operator: string, subtask: number): number {
    return successorOf(subtask, this.#specOf(operator).parallelism, this.#new.get(operator)!.parallelism);
  }

  /** Totals follow the operator that gave the actor its name. */
  #count({ actor, subtask, header }: Saved): void {
    const head = actor.replace(/-\d+$/, "");
    if (this.#old.has(head) && this.#new.has(head)) this.#draft(head, this.#successor(head, subtask)).count(header);
  }

  #keysInto(operator: string): readonly string[] | undefined {
    return keysInto(operator, this.#nodes, (id) => this.#new.get(id)!.parallelism);
  }

  #moveState({ actor, subtask, blobs }: Saved, operator: string, state: Uint8Array): void {
    const kind = this.#kindOf(operator);
    // Of a sink, there may be a batch on its way; what it had prepared is published.
    if (kind === "sink" || !this.#matched.has(operator)) return;
    const to = this.#successor(operator, subtask);
    switch (kind) {
      case "source": {
        const { header } = sourceStateFrame.decode(state);
        const states = this.#sources.get(operator) ?? new Map<number, SourceState[]>();
        this.#sources.set(operator, states.set(to, [...(states.get(to) ?? []), header]));
        const taken = this.#taken.get(operator) ?? new Map<string, bigint>();
        this.#taken.set(operator, taken.set(actor, header.taken));
        return;
      }
      case "infer":
        this.#moveCalls(operator, subtask, inferStateFrame.decode(state).header.entries, blobs);
        return;
      case "durable":
        this.#moveEnd(operator, subtask, state, blobs);
        return;
      case "reduce":
      case "process": {
        const { keyGroups, first, end, groups } = keyedStateFrame.decode(state).header;
        if (keyGroups !== limits.keyGroups) {
          throw corrupt(`it has ${keyGroups} key groups, and this version of Millrace makes ${limits.keyGroups}`);
        }
        const holders = this.#keyed.get(operator) ?? new Map<number, KeyGroupHolder<KeyGroupBlobs>>();
        const own = groups.map(({ group, keys, states }) => ({ group, keys: blobs[keys]!, states: blobs[states]! }));
        this.#keyed.set(operator, holders.set(subtask, { first, end, groups: own }));
        return;
      }
      default:
        throw corrupt(
          `operator "${operator}" (${this.#kindOf(operator)}) has state, and this version knows none of it`,
        );
    }
  }

  /** J2 */
  #moveCalls(operator: string, subtask: number, entries: readonly InferEntry[], blobs: readonly Uint8Array[]): void {
    const { parallelism } = this.#new.get(operator)!;
    const keys = this.#keysInto(operator);
    if (keys === undefined || parallelism === this.#specOf(operator).parallelism) {
      this.#draft(operator, this.#successor(operator, subtask)).addCalls(operator, entries, blobs);
      return;
    }
    const node = this.#nodes.get(operator) as InferNode;
    const input = this.#nodes.get(node.inputs[0]!)!.columns;
    for (const entry of entries) {
      for (const part of splitCalls(entry, blobs, { node, input }, (batch) => receiverOf(batch, keys, parallelism))) {
        this.#draft(operator, part.target).addCalls(operator, [part.entry], part.blobs);
      }
    }
  }

  /** J4. The reader's state is a source's, the writer's a sink's. */
  #moveEnd(operator: string, subtask: number, state: Uint8Array, blobs: readonly Uint8Array[]): void {
    const ends: Ends = this.#ends.get(operator) ?? { positions: new Map(), pending: [] };
    this.#ends.set(operator, ends);
    if (frameKind(state) === "sink-state") {
      const { pending } = sinkStateFrame.decode(state).header;
      ends.pending.push(...pending.map(({ prepared, blob }) => (blob < 0 ? prepared : blobs[blob]!)));
      return;
    }
    const { ended, taken, split, position } = sourceStateFrame.decode(state).header;
    if (!ended && (taken === 0n || split !== null)) ends.positions.set(subtask, position ?? undefined);
  }

  /** J2 */
  #moveBatch({ operator, subtask }: Target, batch: Uint8Array, from: Saved): void {
    if (!this.#matched.has(operator)) return;
    const { parallelism } = this.#new.get(operator)!;
    const node = this.#nodes.get(operator)!;
    if (node.kind === "durable") {
      this.#writerDraft(node, from).park(operator, batch);
      return;
    }
    const keys = this.#keysInto(operator);
    if (keys === undefined || parallelism === this.#specOf(operator).parallelism) {
      this.#draft(operator, this.#successor(operator, subtask)).park(operator, batch);
      return;
    }
    const schema = arrowSchema(this.#nodes.get(node.inputs[0]!)!.columns);
    for (const [to, part] of partsByHash(decodeBatch(schema, batch), keys, parallelism)) {
      this.#draft(operator, to).park(operator, concat(encodeBatch(part)));
    }
  }

  /** Whoever writes the exchange now, for what one of its writers had: any of them sends rows where they belong. */
  #writerDraft(node: DurableNode, { actor, subtask }: Saved): ActorDraft {
    const writer = this.job.plan.exchanges.find(({ id }) => id === node.id)!.from;
    const { parallelism } = this.#specOf(actor.replace(/-\d+$/, ""));
    return this.#draft(writer, successorOf(subtask, parallelism, this.#new.get(writer)!.parallelism));
  }

  /** J4 */
  #placeDurable(): void {
    for (const operator of this.#ends.keys()) {
      const none = { writers: [], seedBatches: 0, incarnation: "" };
      const position = exchangePositionFrame.encode({ next: 1n, seed: 1n, ...none });
      for (let partition = 0; partition < this.#new.get(operator)!.parallelism; partition++) {
        const split = partitionSplit({ id: operator }, partition);
        const state = { taken: 1n, ended: false, split, batches: 0n, position, started: [] };
        this.#draft(operator, partition).addState(operator, sourceStateFrame.encode(state));
      }
    }
  }

  /** J3. The first split that was begun is gone on with, the others after it. */
  #placeSources(): void {
    for (const [operator, byInstance] of this.#sources) {
      for (const [subtask, states] of byInstance) {
        const [first, ...started] = states.flatMap(begunIn);
        const { batches, position, ...split } = first ?? { batches: 0n, position: null };
        const begun = first === undefined ? null : (split as { id: string; payload: Uint8Array; rows: number });
        const state = { taken: 0n, ended: false, split: begun, batches, position, started };
        this.#draft(operator, subtask).addState(operator, sourceStateFrame.encode(state));
      }
    }
  }

  #placeKeyed(): void {
    for (const [operator, holders] of this.#keyed) {
      const from = this.#specOf(operator).parallelism;
      // Whoever had no key at all has left nothing.
      const all = Array.from({ length: from }, (_, subtask) => {
        return holders.get(subtask) ?? { ...keyGroupRange(subtask, from, limits.keyGroups), groups: [] };
      });
      const shared = redistribute(all, this.#new.get(operator)!.parallelism, limits.keyGroups);
      for (const [subtask, holder] of shared.entries()) {
        if (holder.groups.length > 0) this.#draft(operator, subtask).addKeyed(operator, holder);
      }
    }
  }
}

function decoded({ actor, subtask, snapshot }: SavedActor): Saved {
  const { header, payload } = actorSnapshotFrame.decode(snapshot);
  let at = 0;
  const blobs = header.blobs.map((length) => {
    const blob = payload.subarray(at, at + Number(length));
    at += Number(length);
    return blob;
  });
  return { actor, subtask, header, blobs };
}

function begunIn({ split, batches, position, started }: SourceState): StartedSplit[] {
  return split === null ? [...started] : [{ ...split, batches, position }, ...started];
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces);
}

function corrupt(what: string): MillraceError {
  return new MillraceError("MILL_STORE_CORRUPT", `the savepoint does not fit together: ${what}. Use another one.`);
}
