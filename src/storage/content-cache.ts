/**
 * Content by its hash in one folder of a node, for all its processes: `<folder>/<sha256>`.
 *
 * Invariants:
 *   K1  A file gets its name by one rename, after its hash was checked, and is marked so (`content-mark.ts`). One without a mark was
 *       changed since, or is from before the machine began anew, and is not synced: it is checked again before it is handed out.
 *   K2  Of several processes that want the same, one brings it, and says so in a lock file; the others wait for the file. When that
 *       process is gone, or has stood still for `limits.contentTimeoutMs`, another takes over.
 *   K3  The files together stay within the bound, but for what is written between two counts (a sixteenth of it for each process). The
 *       least recently used go first; who reads one that goes reads it to its end.
 *   K4  It only spares work: where the folder is full or cannot be written to, everything is read as if it were not there, and the log
 *       says so once.
 */
import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { type ContentRef, checked } from "./content-checks.js";
import { isGone, type Lock, takeLock, thisProcess } from "./content-lock.js";
import { isMarked, mark } from "./content-mark.js";
import { codeOf } from "./fs-errors.js";
import { piecesOf } from "./object-calls.js";
import type { ByteRange } from "./object-store.js";

const HASH = /^[0-9a-f]{64}$/;
const LOCK = ".held";
/** Below the folder: what is being written, named by who writes it. */
const STAGING = "staging";
/** Of the bound: how much may be written before the files are counted again. */
const UNCOUNTED_PART = 16;
/** Files that are remembered from count to count, so that a count has to look at the others only. */
const REMEMBERED_MAX = 10_000;

/** What is written with; tests put one in its place that has no room left. */
export type WriteFile = (path: string, pieces: AsyncIterable<Uint8Array>) => Promise<void>;

export interface ContentCacheOptions {
  readonly folder: string;
  readonly ports: Ports;
  readonly bytesMax?: number;
  readonly write?: WriteFile;
}

interface Kept {
  readonly sizeBytes: number;
  /** As of when it was looked at. */
  usedMs: number;
}

export class ContentCache {
  readonly #folder: string;
  readonly #bytesMax: number;
  readonly #write: WriteFile;
  /** Bytes in the folder when it was counted last, and those that this process has written since; undefined: it has never been. */
  #counted: { bytes: number; written: number } | undefined;
  /** By name, as of the last count. */
  readonly #files = new Map<string, Kept>();
  /** By the monotonic clock; until then nothing is written. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #warned = false;

  constructor(private readonly options: ContentCacheOptions) {
    this.#folder = options.folder;
    this.#bytesMax = options.bytesMax ?? limits.contentCacheBytes;
    this.#write = options.write ?? writePieces;
  }

  /** Content of this size is in the folder once it was read or put; it may be evicted. */
  keeps(sizeBytes: number): boolean {
    return !this.#isPaused && sizeBytes <= this.#bytesMax / 2;
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
      if (lock !== undefined && this.keeps(bytes.length)) {
        await this.#place(sha256, piecesOf(bytes, undefined), bytes.length);
      }
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
    if (!this.keeps(bytes.length)) return;
    const there = await this.#open(sha256);
    if (there !== undefined) return there.file.close();
    await this.#place(sha256, piecesOf(bytes, undefined), bytes.length);
  }

  get #isPaused(): boolean {
    return this.options.ports.clock.monotonicMs() < this.#pausedUntilMs;
  }

  #pathOf(sha256: string): string {
    return join(this.#folder, sha256);
  }

  /** K2. @returns undefined: nothing can be kept here, so there is nothing to wait for */
  async #waitForTurn(ref: ContentRef, sha256: string, signal: AbortSignal | undefined): Promise<Lock | undefined> {
    const path = this.#pathOf(sha256);
    const { clock } = this.options.ports;
    while (this.keeps(Number(ref.sizeBytes))) {
      try {
        const lock = await inFolderOf(path, () => takeLock(`${path}${LOCK}`, clock));
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

  /** Undefined: it is not here, or was damaged and is no more. */
  async #read(sha256: string): Promise<Uint8Array | undefined> {
    const there = await this.#open(sha256);
    if (there === undefined) return undefined;
    try {
      return await readAll(there.file, there.sizeBytes);
    } catch {
      return undefined; // a disk that cannot be read
    } finally {
      await there.file.close();
    }
  }

  async #stream(ref: ContentRef, sha256: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const there = await this.#open(sha256);
    return there === undefined ? undefined : checked(ref, there.file.createReadStream({ start: 0 }));
  }

  /** K1. Its age says when it was used last, but for `limits.contentUsedMs`: to write it at each read would cost more than small reads do. */
  async #open(sha256: string): Promise<{ readonly file: FileHandle; readonly sizeBytes: number } | undefined> {
    const path = this.#pathOf(sha256);
    const { clock } = this.options.ports;
    const file = await open(path).catch(() => undefined);
    if (file === undefined) return undefined;
    try {
      const found = await file.stat({ bigint: true });
      const marked = await isMarked(sha256, found);
      if (marked || (await hashOf(file)) === sha256) {
        const isRecent = Math.abs(clock.nowMs() - Number(found.atimeMs)) < limits.contentUsedMs;
        // It may be evicted, or not ours to change.
        if (!marked || !isRecent) await mark(path, sha256, found, clock.nowMs()).catch(() => {});
        return { file, sizeBytes: Number(found.size) };
      }
      await rm(path, { force: true });
    } catch {} // as if it were not there
    await file.close();
    return undefined;
  }

  /** Writes it, and gives it its name; K4 where it cannot be written. @throws what `pieces` does */
  async #place(sha256: string, pieces: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<void> {
    const staged = join(this.#folder, STAGING, `${await thisProcess()} ${randomUUID()}`);
    const source = new Told(pieces);
    try {
      await this.#makeRoom(sizeBytes);
      await this.#write(staged, source.pieces());
      // Whoever gave the pieces has checked them (K1).
      await mark(staged, sha256, await stat(staged, { bigint: true }), this.options.ports.clock.nowMs());
      const path = this.#pathOf(sha256);
      await inFolderOf(path, () => rename(staged, path));
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
    await mkdir(this.#folder, { recursive: true });
    await this.#removeLeftovers();
    let bytes = await this.#count();
    // A little more than is needed now, so that not every write has to count.
    const goal = bytes + sizeBytes <= this.#bytesMax ? this.#bytesMax : this.#bytesMax - slack;
    for (const isFirst of [true, false]) {
      for (const [name, file] of [...this.#files].sort(([, a], [, b]) => a.usedMs - b.usedMs)) {
        if (bytes + sizeBytes <= goal) break;
        const path = join(this.#folder, name);
        const usedMs = (await stat(path).catch(() => undefined))?.atimeMs ?? 0;
        if (isFirst && usedMs > file.usedMs) {
          file.usedMs = usedMs; // others go before it
          continue;
        }
        await rm(path, { force: true });
        this.#files.delete(name);
        bytes -= file.sizeBytes;
      }
    }
    if (this.#files.size > REMEMBERED_MAX) this.#files.clear();
    this.#counted = { bytes, written: 0 };
  }

  async #count(): Promise<number> {
    const names = new Set((await readdir(this.#folder)).filter((name) => HASH.test(name)));
    for (const name of this.#files.keys()) if (!names.has(name)) this.#files.delete(name);
    let bytes = 0;
    for (const name of names) {
      const found = this.#files.has(name) ? undefined : await stat(join(this.#folder, name)).catch(() => undefined);
      if (found !== undefined) this.#files.set(name, { sizeBytes: found.size, usedMs: found.atimeMs });
      bytes += this.#files.get(name)?.sizeBytes ?? 0;
    }
    return bytes;
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

/** What `act` gives, which makes `path`; its folder is made where it is missing. */
async function inFolderOf<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  await mkdir(dirname(path), { recursive: true });
  return act();
}

async function writePieces(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await inFolderOf(path, () => open(path, "wx"));
  try {
    for await (const piece of pieces) {
      // Not `writeFile`, which writes half a MiB at a time.
      for (let at = 0; at < piece.length; ) at += (await file.write(piece, at)).bytesWritten;
    }
  } finally {
    await file.close();
  }
}

/** In one call: pieces would have to be put together. */
async function readAll(file: FileHandle, sizeBytes: number): Promise<Uint8Array | undefined> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes; ) {
    const { bytesRead } = await file.read(bytes, at, sizeBytes - at, at);
    if (bytesRead === 0) return undefined;
    at += bytesRead;
  }
  return bytes;
}

async function hashOf(file: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of file.createReadStream({ start: 0, autoClose: false })) hash.update(piece as Uint8Array);
  return hash.digest("hex");
}
