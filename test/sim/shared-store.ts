/** What all views of the simulated object store share: the objects, its speed, who cannot reach it, who watches. */
import { MemoryStore } from "../../src/storage/memory-store.js";
import type { ListedObject, ObjectInfo } from "../../src/storage/object-store.js";
import type { Faults } from "./faults.js";
import type { SimWorld } from "./sim-clock.js";
import type { SimProcess } from "./sim-process.js";
import type { SimRandom } from "./sim-random.js";

/** One change of one object, as it happened at the store. `bytes` undefined: it is gone. */
export interface StoreChange {
  readonly kind: "put" | "create" | "copy" | "delete";
  readonly key: string;
  readonly bytes: Uint8Array | undefined;
  readonly before: Uint8Array | undefined;
  readonly by: string;
}

/** Age of the oldest listing that may still be shown. */
const STALE_MS_MAX = 5_000;
/** What is put where the scenario wants it takes that much longer. */
const SLOW_PUT_MS: readonly [number, number] = [1_000, 8_000];

export class SharedStore {
  readonly objects: MemoryStore;
  readonly watchers: ((change: StoreChange) => void)[] = [];
  #content = new Map<string, Uint8Array>();
  /** Newest last; what a stale listing does not know yet. */
  #history: { readonly atMs: number; readonly key: string; readonly info: ListedObject | undefined }[] = [];
  #cutOff = new Set<string>();
  #random: SimRandom;
  #latencyMs: number;
  #isSlow: (key: string) => boolean = () => false;
  #slow: SimRandom;

  constructor(
    readonly world: SimWorld,
    readonly faults: Faults,
  ) {
    this.objects = new MemoryStore({ nowMs: () => world.nowMs });
    this.#random = world.random.fork("store");
    this.#slow = world.random.fork("slow puts");
    this.#latencyMs = this.#random.logBetween(0.2, 60);
  }

  latencyMs(): number {
    const slowMs = this.faults.strikes("store-slow") ? this.#random.logBetween(50, 10_000) : 0;
    return this.#latencyMs * this.#random.between(0.5, 1.5) + slowMs;
  }

  /** From now on what is put at these keys takes seconds. */
  slowDown(isSlow: (key: string) => boolean): void {
    this.#isSlow = isSlow;
  }

  /** On the way to the store. */
  putMs(key: string): number {
    if (!this.faults.active || !this.#isSlow(key)) return this.latencyMs();
    this.faults.count("store-slow");
    return this.latencyMs() + this.#slow.logBetween(...SLOW_PUT_MS);
  }

  /** How long a caller tries before it gives up. */
  failureMs(): number {
    return this.#random.logBetween(100, 10_000);
  }

  cutOff(process: string): void {
    this.#cutOff.add(process);
  }
  join(process: string): void {
    this.#cutOff.delete(process);
  }
  joinAll(): void {
    this.#cutOff.clear();
  }
  isCutOff(process: string): boolean {
    return this.#cutOff.has(process);
  }

  async put(key: string, bytes: Uint8Array, by: SimProcess): Promise<ObjectInfo> {
    const info = await this.objects.put(key, bytes);
    this.#changed("put", key, bytes, info, by);
    return info;
  }

  async create(key: string, bytes: Uint8Array, by: SimProcess) {
    const result = await this.objects.create(key, bytes);
    if (result.created) this.#changed("create", key, bytes, await this.objects.head(key), by);
    return result;
  }

  async copy(from: string, to: string, by: SimProcess): Promise<void> {
    const bytes = this.#content.get(from);
    if (bytes === undefined && this.#content.has(to)) return; // moved before
    const found = await this.objects.get(from);
    const info = await this.objects.put(to, found);
    this.#changed("copy", to, found, info, by);
  }

  async delete(key: string, by: SimProcess): Promise<void> {
    if (!this.#content.has(key)) return;
    await this.objects.delete(key);
    this.#changed("delete", key, undefined, undefined, by);
  }

  /** What begins with `prefix`, perhaps as it was some seconds ago. */
  async list(prefix: string): Promise<ListedObject[]> {
    const found = new Map<string, ListedObject>();
    for await (const info of this.objects.list(prefix)) found.set(info.key, info);
    if (!this.faults.strikes("store-stale-list")) return [...found.values()];
    const asOfMs = Math.max(this.world.nowMs - this.#random.between(0, STALE_MS_MAX), 0);
    for (const key of new Set(this.#history.filter(({ atMs }) => atMs > asOfMs).map((change) => change.key))) {
      if (!key.startsWith(prefix)) continue;
      const then = this.#history.findLast((change) => change.key === key && change.atMs <= asOfMs)?.info;
      if (then === undefined) found.delete(key);
      else found.set(key, then);
    }
    return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  has(key: string): boolean {
    return this.#content.has(key);
  }

  /** Every object below `prefix`, for checkers. */
  contents(prefix: string): Map<string, Uint8Array> {
    return new Map([...this.#content].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #changed(
    kind: StoreChange["kind"],
    key: string,
    bytes: Uint8Array | undefined,
    info: ObjectInfo | undefined,
    by: SimProcess,
  ): void {
    const before = this.#content.get(key);
    if (bytes === undefined) this.#content.delete(key);
    else this.#content.set(key, bytes);
    const atMs = this.world.nowMs;
    this.#history.push({ atMs, key, info: info && { ...info, sinceMs: atMs } });
    for (const watcher of this.watchers) watcher({ kind, key, bytes, before, by: by.name });
  }
}
