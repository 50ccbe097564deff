/** A snapshot in the making, of parts of other snapshots: blobs are carried over as they are, and numbered anew. */

import { limits } from "../base/limits.js";
import type { KeyGroupHolder } from "../checkpoint/key-groups.js";
import {
  type ActorSnapshot,
  actorSnapshotFrame,
  type InferCall,
  type InferEntry,
  inferStateFrame,
  keyedStateFrame,
  type OperatorState,
  type ParkedBatch,
} from "../wire/stored.js";

export interface KeyGroupBlobs {
  readonly group: number;
  readonly keys: Uint8Array;
  readonly states: Uint8Array;
}

type Counts = Pick<ActorSnapshot, "rowsRead" | "rowsWritten" | "deadLetters">;

export class ActorDraft {
  #blobs: Uint8Array[] = [];
  #states: OperatorState[] = [];
  #parked: ParkedBatch[] = [];
  #calls = new Map<string, InferEntry[]>();
  #counts: Counts = { rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n };

  count({ rowsRead, rowsWritten, deadLetters }: Counts): void {
    const before = this.#counts;
    this.#counts = {
      rowsRead: before.rowsRead + rowsRead,
      rowsWritten: before.rowsWritten + rowsWritten,
      deadLetters: before.deadLetters + deadLetters,
    };
  }

  addState(operator: string, state: Uint8Array): void {
    this.#states.push({ operator, state });
  }

  park(place: string, batch: Uint8Array): void {
    this.#parked.push({ place, blob: this.#add(batch) });
  }

  /** Behind those that are there. @param blobs of the snapshot that they are from */
  addCalls(operator: string, entries: readonly InferEntry[], blobs: readonly Uint8Array[]): void {
    const callOf = (call: InferCall) => ({
      ...call,
      answer: call.answer === null ? null : this.#add(blobs[call.answer]!),
    });
    const moved = entries.map(({ batch, done, calls }) => ({
      batch: this.#add(blobs[batch]!),
      done,
      calls: calls.map(callOf),
    }));
    this.#calls.set(operator, [...(this.#calls.get(operator) ?? []), ...moved]);
  }

  addKeyed(operator: string, { first, end, groups }: KeyGroupHolder<KeyGroupBlobs>): void {
    const moved = groups.map(({ group, keys, states }) => ({
      group,
      keys: this.#add(keys),
      states: this.#add(states),
    }));
    this.addState(operator, keyedStateFrame.encode({ keyGroups: limits.keyGroups, first, end, groups: moved }));
  }

  /** Content that it refers to belongs to the job that the savepoint is of. */
  encode(): Uint8Array {
    const calls = [...this.#calls].map(([operator, entries]) => ({
      operator,
      state: inferStateFrame.encode({ entries }),
    }));
    const blobs = this.#blobs.map((blob) => BigInt(blob.length));
    const header = {
      operators: [...this.#states, ...calls],
      parked: this.#parked,
      ...this.#counts,
      blobs,
      contents: -1,
    };
    return actorSnapshotFrame.encode(header, this.#blobs);
  }

  #add(blob: Uint8Array): number {
    return this.#blobs.push(blob) - 1;
  }
}
