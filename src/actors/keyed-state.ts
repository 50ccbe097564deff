/**
 * One row of state for each key, in key groups.
 *
 * Invariants:
 *   Y1  A cut costs one reference for each key group. A group that a cut refers to is copied before it changes next.
 *   Y2  What is stored is never changed in place: a key's new row replaces its old one.
 *   Y3  Within a group keys keep the order in which they came, in snapshots too.
 *   Y4  It holds keys of its own range alone; what is restored for another range is refused.
 */
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import { type KeyGroupRange, keyGroupOf } from "../checkpoint/key-groups.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import { arrowSchema, type Columns, type Row } from "../types/columns.js";
import { ownRow } from "../types/own-row.js";
import { keyedStateFrame } from "../wire/stored.js";
import type { BlobReader } from "./blobs.js";
import type { Encode } from "./operator.js";
import { rowKeys } from "./row-keys.js";

type AnyRow = Row<Columns>;
export interface KeyEntry {
  /** Values of the key columns. */
  readonly key: AnyRow;
  readonly state: AnyRow;
}
type Group = ReadonlyMap<string, KeyEntry>;

export class KeyedState {
  #groups = new Map<number, Map<string, KeyEntry>>();
  /** Those that a cut refers to (Y1). */
  #shared = new Set<number>();

  constructor(
    private readonly keys: Columns,
    private readonly states: Columns,
    private readonly range: KeyGroupRange,
    private readonly keyGroups: number,
    private readonly clock: Clock,
  ) {}

  get(key: string): KeyEntry | undefined {
    return this.#groups.get(this.#groupOf(key))?.get(key);
  }

  /** @param entry undefined: the key has no state any more */
  set(key: string, entry: KeyEntry | undefined): void {
    const number = this.#groupOf(key);
    const group = this.#writable(number);
    if (entry === undefined) group.delete(key);
    else group.set(key, entry);
    if (group.size === 0) this.#groups.delete(number);
  }

  /** Removes up to `count` keys: group by group, in each in order. */
  take(count: number): KeyEntry[] {
    const taken: KeyEntry[] = [];
    for (const number of [...this.#groups.keys()].sort((a, b) => a - b)) {
      const group = this.#writable(number);
      for (const [key, entry] of group) {
        if (taken.length === count) return taken;
        taken.push(entry);
        group.delete(key);
      }
      this.#groups.delete(number);
    }
    return taken;
  }

  clear(): void {
    this.#groups.clear();
    this.#shared.clear();
  }

  /** Y1 @returns undefined where no key has state */
  cut(): Encode | undefined {
    if (this.#groups.size === 0) return undefined;
    const groups: [number, Group][] = [...this.#groups].sort(([a], [b]) => a - b);
    this.#shared = new Set(this.#groups.keys());
    return async (blobs) => {
      const encoded = [];
      let keys = 0;
      for (const [group, entries] of groups) {
        keys += entries.size;
        if (keys > limits.keyedEncodeKeys) {
          keys = entries.size;
          await this.clock.sleep(0); // records go on between two groups
        }
        const all = [...entries.values()];
        encoded.push({
          group,
          keys: blobs.add(
            batchFromRows(
              this.keys,
              all.map(({ key }) => key),
            ) as never,
          ),
          states: blobs.add(
            batchFromRows(
              this.states,
              all.map(({ state }) => state),
            ) as never,
          ),
        });
      }
      return keyedStateFrame.encode({ keyGroups: this.keyGroups, ...this.range, groups: encoded });
    };
  }

  /** Y4 */
  restore(state: Uint8Array, blobs: BlobReader): void {
    const { keyGroups, groups } = keyedStateFrame.decode(state).header;
    if (keyGroups !== this.keyGroups) {
      throw corrupt(`it has ${keyGroups} key groups, and this version of Millrace makes ${this.keyGroups}`);
    }
    for (const one of groups) {
      const keyBatch = blobs.get(one.keys, arrowSchema(this.keys));
      const keys = rowsOf(this.keys, keyBatch as never);
      const states = rowsOf(this.states, blobs.get(one.states, arrowSchema(this.states)) as never);
      if (keys.length !== states.length) {
        throw corrupt(`key group ${one.group} has ${keys.length} keys and ${states.length} states`);
      }
      const keyOf = rowKeys(keyBatch, Object.keys(this.keys));
      const { first, end } = this.range;
      for (let i = 0; i < keys.length; i++) {
        const group = keyGroupOf(keyOf(i), this.keyGroups);
        if (group !== one.group || group < first || group >= end) {
          throw corrupt(
            `key group ${one.group} has a key of group ${group}, and the instance owns ${first} to ${end - 1}`,
          );
        }
        // Copied: a view would keep the whole snapshot alive.
        this.set(keyOf(i), { key: ownRow(this.keys, keys[i]!), state: ownRow(this.states, states[i]!) });
      }
    }
  }

  #groupOf(key: string): number {
    const group = keyGroupOf(key, this.keyGroups);
    invariant(group >= this.range.first && group < this.range.end, "a row comes to the owner of its key group");
    return group;
  }

  #writable(number: number): Map<string, KeyEntry> {
    let group = this.#groups.get(number) ?? new Map<string, KeyEntry>();
    if (this.#shared.delete(number)) group = new Map(group);
    this.#groups.set(number, group);
    return group;
  }
}

function corrupt(what: string): MillraceError {
  return new MillraceError("MILL_STORE_CORRUPT", `the state of a keyed operator does not fit: ${what}.`);
}
