/**
 * An object store in a folder. Objects are files; what is being written is a hidden file beside its place (so on the
 * same file system) until it is synced, and appears by one rename or link (O1, O3). Folders are synced as well, up to
 * the first that was there before: a name that the disk has not seen is not durable (O4).
 *
 * A process that dies while it writes leaves its hidden file behind. That of a put in pieces has its key in its name: who asks for
 * unfinished ones finds it, and may delete it. Nobody finds others, which are there for moments only.
 */
import { randomUUID } from "node:crypto";
import { type BigIntStats, createReadStream } from "node:fs";
import { type FileHandle, link, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { limits } from "../base/limits.js";
import { codeOf, explain, explainRead, isMissing, noFile } from "./fs-errors.js";
import { checkKey, checkRange, compareKeys, inHand, isReserved, piecesOf, RESERVED } from "./object-calls.js";
import type {
  ByteRange,
  CallOptions,
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  UnfinishedOptions,
} from "./object-store.js";

/** Of a hidden file: which key it is for, after an id of its own. */
const FOR_KEY = /^[0-9a-f-]{36}-(.+)$/;
const NAME_BYTES_MAX = 255;

export class FsStore implements ObjectStore {
  readonly url: string;

  /** @param root absolute path; made when it is first written to */
  constructor(private readonly root: string) {
    this.url = pathToFileURL(root).href;
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    const path = this.#path(key);
    return this.#write(key, async () => {
      const { staged, info } = await this.#stage(key, path, body, options.signal);
      try {
        await rename(staged, path);
      } catch (error) {
        await rm(staged, { force: true });
        throw error;
      }
      await syncFolder(dirname(path));
      return info;
    });
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    const path = this.#path(key);
    return this.#write(key, async () => {
      const { staged } = await this.#stage(key, path, bytes, options.signal);
      try {
        for (;;) {
          const existing = await linkOrRead(staged, path);
          if (existing === "created") break;
          if (existing !== "deleted") return { created: false, existing } as const;
        }
        await syncFolder(dirname(path));
        return { created: true } as const;
      } finally {
        await rm(staged, { force: true });
      }
    });
  }

  async get(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): Promise<Uint8Array> {
    const path = this.#path(key);
    const { range, signal } = options;
    checkRange(range);
    return this.#read(key, signal, () => (range === undefined ? readFile(path, { signal }) : readRange(path, range)));
  }

  async *stream(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): AsyncIterable<Uint8Array> {
    const path = this.#path(key);
    const { range, signal } = options;
    checkRange(range);
    signal?.throwIfAborted();
    if (range?.length === 0) {
      if ((await this.head(key)) === undefined) throw noFile(this.url, key, path);
      return;
    }
    const end = range && Math.min(range.offset + range.length - 1, Number.MAX_SAFE_INTEGER);
    try {
      yield* piecesOf(createReadStream(path, { start: range?.offset ?? 0, ...(end !== undefined && { end }) }), signal);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw explainRead(this.url, key, path, error);
    }
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const path = this.#path(key);
    options.signal?.throwIfAborted();
    const found = await this.#stat(key, path);
    return found && infoOf(key, found);
  }

  async *list(prefix: string, options: UnfinishedOptions = {}): AsyncIterable<ListedObject> {
    options.signal?.throwIfAborted();
    const folder = prefix.includes("/") ? prefix.slice(0, prefix.lastIndexOf("/")) : "";
    const files = isReserved(prefix)
      ? []
      : await this.#write(prefix, () => this.#filesBelow(join(this.root, folder), options.unfinished === true));
    const matching = files.filter(({ key }) => key.startsWith(prefix));
    for (const { key, path } of matching.sort((a, b) => compareKeys(a.key, b.key))) {
      options.signal?.throwIfAborted();
      const found = await this.#stat(key, path);
      if (found !== undefined) yield { ...infoOf(key, found), sinceMs: Number(found.mtimeNs / 1_000_000n) };
    }
  }

  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    const [source, target] = [this.#path(from), this.#path(to)];
    options.signal?.throwIfAborted();
    await this.#write(from, async () => {
      while (!(await this.#rename(source, target))) {
        if ((await this.head(from, options)) !== undefined) continue;
        if ((await this.head(to, options)) === undefined) throw noFile(this.url, from, source);
        return; // done before, or by another at the same time
      }
      if (dirname(source) !== this.root) await rmdir(dirname(source)).catch(() => {}); // the last one tidies up
    });
  }

  async delete(key: string, options: UnfinishedOptions = {}): Promise<void> {
    const path = this.#path(key);
    options.signal?.throwIfAborted();
    if (options.unfinished) await this.#write(key, () => this.#deleteUnfinished(key, dirname(path)));
    if ((await this.head(key)) === undefined) return;
    await this.#write(key, () => rm(path, { force: true }));
  }

  async check(options: CallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    await this.#write("", async () => {
      const made = await makeFolders(this.root);
      const probe = join(this.root, `${RESERVED}${randomUUID()}`);
      await (await open(probe, "wx")).close();
      await rm(probe);
      if (made !== undefined) await removeEmpty(this.root, made);
    });
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    checkKey(key);
    return join(this.root, ...key.split("/"));
  }

  /** Writes and syncs the body under a name that nobody lists. */
  async #stage(
    key: string,
    path: string,
    body: ObjectBody,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly staged: string; readonly info: ObjectInfo }> {
    signal?.throwIfAborted();
    const staged = join(dirname(path), hiddenName(path, body));
    const file = await inFolderOf(staged, () => open(staged, "wx"));
    try {
      let unsynced = 0;
      for await (const piece of piecesOf(body, signal)) {
        await file.writeFile(piece);
        unsynced += piece.byteLength;
        if (unsynced < limits.storeUnsyncedBytesMax) continue;
        await file.datasync(); // what a body that grows for minutes leaves for its end holds up all others
        unsynced = 0;
      }
      signal?.throwIfAborted();
      await file.sync();
      return { staged, info: infoOf(key, await file.stat({ bigint: true })) };
    } catch (error) {
      await rm(staged, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  async #stat(key: string, path: string): Promise<BigIntStats | undefined> {
    try {
      const found = await stat(path, { bigint: true });
      return found.isFile() ? found : undefined;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw explain(this.url, key, path, error);
    }
  }

  /** @returns whether it was done; if not, the source is no file, or others tidied away the target's folder as soon as it was made */
  async #rename(source: string, target: string): Promise<boolean> {
    try {
      await touch(source); // before, so that nobody ever sees the new name with the old time
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    try {
      await inFolderOf(target, () => rename(source, target));
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
    await syncFolder(dirname(target));
    return true;
  }

  /** Every file with its key, those of puts that have not come to their end by the key that they are for. */
  async #filesBelow(folder: string, unfinished: boolean): Promise<{ readonly key: string; readonly path: string }[]> {
    let entries: Awaited<ReturnType<typeof listFolder>>;
    try {
      entries = await listFolder(folder);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
    const files = await Promise.all(
      entries.map(async (entry) => {
        const path = join(folder, entry.name);
        const name = entry.name.startsWith(RESERVED) ? unfinishedName(entry.name) : entry.name;
        if (name === undefined || (name !== entry.name && !unfinished)) return [];
        if (entry.isDirectory()) return this.#filesBelow(path, unfinished);
        return [{ key: relative(this.root, join(folder, name)).split(sep).join("/"), path }];
      }),
    );
    return files.flat();
  }

  async #deleteUnfinished(key: string, folder: string): Promise<void> {
    for (const file of await this.#filesBelow(folder, true)) {
      if (file.key === key && basename(file.path).startsWith(RESERVED)) await rm(file.path, { force: true });
    }
  }

  async #read<T>(key: string, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw explainRead(this.url, key, join(this.root, key), error);
    }
  }

  async #write<T>(key: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw explain(this.url, key, join(this.root, key), error);
    }
  }
}

/** What a body is written as before it has its name; one that may take long says for which, as far as there is room to. */
function hiddenName(path: string, body: ObjectBody): string {
  const hidden = `${RESERVED}${randomUUID()}`;
  const named = `${hidden}-${basename(path)}`;
  return inHand(body) || Buffer.byteLength(named) > NAME_BYTES_MAX ? hidden : named;
}

function unfinishedName(hidden: string): string | undefined {
  return FOR_KEY.exec(hidden.slice(RESERVED.length))?.[1];
}

/** Gives the file a new time, by the file system's own clock: setting the length that it has counts as a change. */
async function touch(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate((await file.stat()).size);
  } finally {
    await file.close();
  }
}

const listFolder = (folder: string) => readdir(folder, { withFileTypes: true });

function infoOf(
  key: string,
  found: { readonly size: bigint; readonly mtimeNs: bigint; readonly ino: bigint },
): ObjectInfo {
  return { key, sizeBytes: Number(found.size), version: `${found.size}-${found.mtimeNs}-${found.ino}` };
}

/** The atomic create: a link fails where the name is taken. */
async function linkOrRead(staged: string, path: string): Promise<"created" | "deleted" | Uint8Array> {
  try {
    await link(staged, path);
    return "created";
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "deleted";
    throw error;
  }
}

async function readRange(path: string, { offset, length }: ByteRange): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw Object.assign(new Error(`${path} is no file`), { code: "EISDIR" });
    const { size } = found;
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
      if (bytesRead === 0) break; // cut off meanwhile, by somebody who is no store
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}

/**
 * Does `act`, which gives a file the name `path`. Where that fails because there is no folder for it, makes one; again, if a move that
 * emptied the folder has just tidied it away. Most folders are there: who looks before each file pays for it with each.
 */
async function inFolderOf<T>(path: string, act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "") || attempt > limits.storeAttemptsMax) throw error;
    }
    await makeFolder(dirname(path));
  }
}

/** Makes a folder with those above it, and syncs each folder that got a new name. */
async function makeFolder(folder: string): Promise<void> {
  const first = await makeFolders(folder);
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/**
 * What `mkdir` with `recursive` should be. That one tries for ever where a file system answers ENOENT to a new name in a
 * folder that is there, as /proc does; and of a file in the way it does not say which it is.
 *
 * @returns the topmost folder that it made
 */
async function makeFolders(folder: string): Promise<string | undefined> {
  let first: string | undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      await mkdir(folder);
      return first ?? folder;
    } catch (error) {
      const found = await stat(folder).catch(() => undefined);
      if (found?.isDirectory()) return first;
      // It was there, and a move that took its last object has just tidied it away.
      if (codeOf(error) === "EEXIST" && found === undefined && attempt < limits.storeAttemptsMax) continue;
      const above = ["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "") && dirname(folder) !== folder;
      if (!above || attempt >= limits.storeAttemptsMax) throw error;
    }
    first = (await makeFolders(dirname(folder))) ?? first;
  }
}

/** Removes `folder` and those above it, up to `top`, as far as they are empty. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  try {
    for (let each = folder; each.length >= top.length; each = dirname(each)) await rmdir(each);
  } catch {
    // Somebody writes there already.
  }
}

async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return; // tidied away after its last object was moved on
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
