/**
 * Content by its hash in one folder of a node, for all its processes: `<folder>/<first two>/<sha256>`.
 *
 * Invariants:
 *   K1  A file gets its name by one rename, after its hash was checked; it is checked again when it is read, for it is not synced.
 *   K2  Of several processes that want the same, one brings it, and says so in a lock file; the others wait for the file. When that
 *       process is gone, another takes over.
 *   K3  The files together stay within the bound, but for what is written between two counts (a sixteenth of it for each process). The
 *       least recently used go first; who reads one that goes reads it to its end.
 *   K4  It only spares work: where the folder is full or cannot be written to, everything is read as if it were not there, and the log
 *       says so once.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { sha256OfFile } from "./asset-cache.js";
import { type ContentRef, checked, sha256Of } from "./content-checks.js";
import { isGone, type Lock, takeLock, thisProcess } from "./content-lock.js";
import { codeOf } from "./fs-errors.js";
import { piecesOf } from "./object-calls.js";
import type { ByteRange } from "./object-store.js";

const HASH = /^[0-9a-f]{64}$/;
const LOCK = ".lock";
/** Below the folder: what is being written, named by who writes it. */
const STAGING = "staging";
/** Of the bound: how much may be written before the files are counted again. */
const UNCOUNTED_PART = 16;

/** What is written with; tests put one in its place that has no room left. */
export type WriteFile = (path: string, pieces: AsyncIterable<Uint8Array>) => Promise<void>;

export interface ContentCacheOptions {
  readonly folder: string;
  readonly ports: Ports;
  readonly bytesMax?: number;
  readonly write?: WriteFile;
}

interface Kept {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedMs: number;
}

export class ContentCache {
  readonly #folder: string;
  readonly #bytesMax: number;
  readonly #write: WriteFile;
  /** Bytes in the folder when it was counted last, and those that this process has written since; undefined: it has never been. */
  #counted: { bytes: number; written: number } | undefined;
  /** By the monotonic clock; until then nothing is written. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #warned = false;
  /** Files that this process has written, or read once: they are streamed without another look before. */
  #checked = new Set<string>();

  constructor(private readonly options: ContentCacheOptions) {
    this.#folder = options.folder;
    this.#bytesMax = options.bytesMax ?? limits.contentCacheBytes;
    this.#write = options.write ?? writePieces;
  }

  /** All of it: from the folder, or from `fetch`, and then in the folder. What `fetch` gives has been checked. */
  async bytes(
    ref: ContentRef,
    sha256: string,
    fetch: () => Promise<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    let bytes = await this.#read(sha256);
    if (bytes !== undefined) return bytes;
    const lock = await this.#waitForTurn(ref, sha256, signal);
    try {
      bytes = await this.#read(sha256);
      if (bytes !== undefined) return bytes;
      bytes = await fetch();
      if (lock !== undefined) await this.keep(sha256, bytes);
      return bytes;
    } finally {
      await lock?.release();
    }
  }

  /**
   * The same in pieces, for content that need not fit the memory.
   * @param fetch gives pieces that are checked at their end
   * @returns undefined: it cannot be kept here
   * @throws what `fetch` does; nothing of it was kept
   */
  async open(
    ref: ContentRef,
    sha256: string,
    fetch: () => AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    let pieces = await this.#stream(ref, sha256);
    if (pieces !== undefined) return pieces;
    const lock = await this.#waitForTurn(ref, sha256, signal);
    if (lock === undefined) return undefined;
    try {
      pieces = await this.#stream(ref, sha256);
      if (pieces !== undefined) return pieces;
      await this.#place(sha256, fetch(), Number(ref.sizeBytes));
      return await this.#stream(ref, sha256);
    } finally {
      await lock.release();
    }
  }

  /** A part of a file that is here; undefined: it is not. Not checked: only all of it has a hash. */
  async part(sha256: string, { offset, length }: ByteRange): Promise<Uint8Array | undefined> {
    try {
      const file = await open(this.#pathOf(sha256));
      try {
        const { size } = await file.stat();
        const wanted = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
        const { bytesRead } = await file.read(wanted, 0, wanted.length, offset);
        return wanted.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    } catch {
      return undefined;
    }
  }

  /** Bytes that have this hash. They are kept if they can be. */
  async keep(sha256: string, bytes: Uint8Array): Promise<void> {
    if (this.#isPaused || bytes.length > this.#bytesMax / 2) return;
    if ((await stat(this.#pathOf(sha256)).catch(() => undefined))?.size === bytes.length) return this.#touch(sha256);
    await this.#place(sha256, piecesOf(bytes, undefined), bytes.length);
  }

  get #isPaused(): boolean {
    return this.options.ports.clock.monotonicMs() < this.#pausedUntilMs;
  }

  #pathOf(sha256: string): string {
    return join(this.#folder, sha256.slice(0, 2), sha256);
  }

  /** K2. @returns undefined: nothing can be kept here, so there is nothing to wait for */
  async #waitForTurn(ref: ContentRef, sha256: string, signal: AbortSignal | undefined): Promise<Lock | undefined> {
    const path = this.#pathOf(sha256);
    const { clock } = this.options.ports;
    while (!this.#isPaused && Number(ref.sizeBytes) <= this.#bytesMax / 2) {
      try {
        await mkdir(join(path, ".."), { recursive: true });
        const lock = await takeLock(`${path}${LOCK}`, clock);
        if (lock !== undefined) return lock;
      } catch (error) {
        this.#pause(error);
        return undefined;
      }
      await clock.sleep(limits.contentLockPollMs, signal);
      // Waiting is over, and the lock's taker looks for the file first.
      if ((await stat(path).catch(() => undefined)) !== undefined) return { release: async () => {} };
    }
    return undefined;
  }

  /** K1. Undefined: it is not here, or was damaged and is no more. */
  async #read(sha256: string): Promise<Uint8Array | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(this.#pathOf(sha256));
    } catch {
      return undefined;
    }
    if (sha256Of(bytes) !== sha256) {
      await rm(this.#pathOf(sha256), { force: true }).catch(() => {});
      return undefined;
    }
    await this.#touch(sha256);
    return bytes;
  }

  async #stream(ref: ContentRef, sha256: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const path = this.#pathOf(sha256);
    if (!this.#checked.has(sha256)) {
      const found = await sha256OfFile(path).catch(() => undefined);
      if (found !== undefined && found !== sha256) await rm(path, { force: true }).catch(() => {});
      if (found !== sha256) return undefined;
      this.#remember(sha256);
    }
    const file = await open(path).catch(() => undefined);
    if (file === undefined) return undefined;
    await this.#touch(sha256);
    return checked(ref, file.createReadStream());
  }

  #remember(sha256: string): void {
    if (this.#checked.size >= limits.contentKnownMax) this.#checked.clear();
    this.#checked.add(sha256);
  }

  /** Its age says when it was used last. */
  async #touch(sha256: string): Promise<void> {
    const now = this.options.ports.clock.nowMs() / 1000;
    await utimes(this.#pathOf(sha256), now, now).catch(() => {}); // evicted, or not ours to change
  }

  /** Writes it, and gives it its name; K4 where it cannot be written. @throws what `pieces` does */
  async #place(sha256: string, pieces: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<void> {
    const staged = join(this.#folder, STAGING, `${await thisProcess()} ${randomUUID()}`);
    const source = new Told(pieces);
    try {
      await mkdir(join(this.#folder, STAGING), { recursive: true });
      await this.#makeRoom(sizeBytes);
      await this.#write(staged, source.pieces());
      await mkdir(join(this.#pathOf(sha256), ".."), { recursive: true });
      await rename(staged, this.#pathOf(sha256));
      this.#remember(sha256);
      if (this.#counted !== undefined) this.#counted.written += sizeBytes;
    } catch (error) {
      await rm(staged, { force: true }).catch(() => {});
      if (source.failed) throw error;
      this.#pause(error);
    }
  }

  /** K4 */
  #pause(error: unknown): void {
    const { clock, log } = this.options.ports;
    this.#pausedUntilMs = clock.monotonicMs() + limits.contentCachePauseMs;
    if (this.#warned) return;
    this.#warned = true;
    const next = "content is read without it; see MILLRACE_CACHE in docs/operations.md";
    log.warn(`the cache of content cannot be written to: ${next}`, {
      folder: this.#folder,
      error: codeOf(error) ?? error,
    });
  }

  /** K3 */
  async #makeRoom(sizeBytes: number): Promise<void> {
    const counted = this.#counted;
    const slack = this.#bytesMax / UNCOUNTED_PART;
    if (counted !== undefined && counted.written + sizeBytes <= slack) {
      if (counted.bytes + counted.written + sizeBytes <= this.#bytesMax) return;
    }
    await this.#removeLeftovers();
    const files = await this.#list();
    let bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    // A little more than is needed now, so that not every write has to count.
    const goal = bytes + sizeBytes <= this.#bytesMax ? this.#bytesMax : this.#bytesMax - slack;
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes + sizeBytes <= goal) break;
      await rm(file.path, { force: true });
      bytes -= file.sizeBytes;
    }
    this.#counted = { bytes, written: 0 };
  }

  async #list(): Promise<Kept[]> {
    const files: Kept[] = [];
    for (const folder of await readdir(this.#folder)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(this.#folder, folder)).catch(() => [])) {
        const path = join(this.#folder, folder, name);
        const found = HASH.test(name) ? await stat(path).catch(() => undefined) : undefined;
        if (found !== undefined) files.push({ path, sizeBytes: found.size, usedMs: found.mtimeMs });
      }
    }
    return files;
  }

  /** What processes that are gone were writing. */
  async #removeLeftovers(): Promise<void> {
    for (const name of await readdir(join(this.#folder, STAGING)).catch(() => [])) {
      const path = join(this.#folder, STAGING, name);
      const [holder = ""] = name.split(" ");
      if (await isGone(holder, path, this.options.ports.clock)) await rm(path, { force: true });
    }
  }
}

/** Pieces, and whether it was their source that failed. */
class Told {
  failed = false;

  constructor(private readonly source: AsyncIterable<Uint8Array>) {}

  async *pieces(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.source;
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }
}

async function writePieces(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, "wx");
  try {
    for await (const piece of pieces) await file.writeFile(piece);
  } finally {
    await file.close();
  }
}
