/**
 * An object store in a folder. Objects are files; what is being written is a hidden file beside its place (so on the
 * same file system) until it is synced, and appears by one rename or link (O1, O3). Folders are synced as
 * well: a rename that the disk has not seen is not durable (O4).
 */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
} from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { MillraceError } from "../base/errors.js";
import { checkKey, compareKeys, notFound } from "./object-calls.js";
import type { ByteRange, CallOptions, ObjectBody, ObjectInfo, ObjectStore, PutOptions } from "./object-store.js";

/** Files whose names start so are being written, or were when a process died; they are never listed. */
const STAGED = ".millrace-";

export class FsStore implements ObjectStore {
  readonly url: string;

  /** @param root absolute path; made when it is first written to */
  constructor(private readonly root: string) {
    this.url = pathToFileURL(root).href;
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    const path = this.#path(key);
    const staged = await this.#stage(key, body, options.signal);
    await this.#act(key, async () => {
      await rename(staged, path);
      await syncFolder(dirname(path));
    });
    return (await this.head(key))!;
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    const path = this.#path(key);
    const staged = await this.#stage(key, bytes, options.signal);
    return this.#act(key, async () => {
      try {
        await link(staged, path); // fails where the name is taken: the atomic create
        await syncFolder(dirname(path));
        return { created: true } as const;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        return { created: false, existing: await readFile(path) } as const;
      } finally {
        await unlink(staged);
      }
    });
  }

  async get(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): Promise<Uint8Array> {
    const path = this.#path(key);
    options.signal?.throwIfAborted();
    const { range } = options;
    return this.#act(key, async () => {
      if (range === undefined) return readFile(path, { signal: options.signal });
      const file = await open(path);
      try {
        const bytes = Buffer.alloc(range.length);
        const { bytesRead } = await file.read(bytes, 0, range.length, range.offset);
        return bytes.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    });
  }

  async *stream(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): AsyncIterable<Uint8Array> {
    const path = this.#path(key);
    const { range, signal } = options;
    const part = range === undefined ? {} : { start: range.offset, end: range.offset + range.length - 1 };
    try {
      yield* createReadStream(path, { ...part, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      throw this.#explain(key, error);
    }
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const path = this.#path(key);
    options.signal?.throwIfAborted();
    return this.#act(key, async () => {
      try {
        const found = await stat(path);
        return found.isFile() ? infoOf(key, found) : undefined;
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<ObjectInfo> {
    const folder = prefix.includes("/") ? prefix.slice(0, prefix.lastIndexOf("/")) : "";
    const keys = await this.#act(prefix, () => this.#keysBelow(join(this.root, folder)));
    for (const key of keys.filter((candidate) => candidate.startsWith(prefix)).sort(compareKeys)) {
      options.signal?.throwIfAborted();
      const info = await this.head(key);
      if (info !== undefined) yield info;
    }
  }

  async move(from: string, to: string): Promise<void> {
    const [source, target] = [this.#path(from), this.#path(to)];
    await this.#act(from, async () => {
      await mkdir(dirname(target), { recursive: true });
      try {
        await rename(source, target);
      } catch (error) {
        if (!isMissing(error) || (await this.head(to)) === undefined) throw error;
        return; // done before
      }
      await syncFolder(dirname(target));
      if (dirname(source) !== this.root) await rmdir(dirname(source)).catch(() => {}); // the last one tidies up
    });
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    await this.#act(key, async () => {
      await rm(path, { force: true });
    });
  }

  async check(): Promise<void> {
    await this.#act("", async () => {
      const made = await mkdir(this.root, { recursive: true });
      const probe = join(this.root, `${STAGED}${randomUUID()}`);
      await (await open(probe, "wx")).close();
      await unlink(probe);
      // Leaves no empty folders behind, up to the first one it had to make.
      for (let folder = this.root; made !== undefined && folder.startsWith(made); folder = dirname(folder)) {
        await rmdir(folder);
      }
    });
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    checkKey(key);
    return join(this.root, ...key.split("/"));
  }

  /** Writes and syncs the body under a name that nobody lists. @returns that name */
  async #stage(key: string, body: ObjectBody, signal: AbortSignal | undefined): Promise<string> {
    signal?.throwIfAborted();
    const path = join(dirname(this.#path(key)), `${STAGED}${randomUUID()}`);
    return this.#act(key, async () => {
      await mkdir(dirname(path), { recursive: true });
      let file: FileHandle | undefined;
      try {
        file = await open(path, "wx");
        for await (const piece of body instanceof Uint8Array ? [body] : body) {
          signal?.throwIfAborted();
          await file.writeFile(piece);
        }
        signal?.throwIfAborted();
        await file.sync();
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        await file?.close();
      }
      return path;
    });
  }

  async #keysBelow(folder: string): Promise<string[]> {
    let entries: Awaited<ReturnType<typeof listFolder>>;
    try {
      entries = await listFolder(folder);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
    const keys = await Promise.all(
      entries.map(async (entry) => {
        const path = join(folder, entry.name);
        if (entry.name.startsWith(STAGED)) return [];
        if (entry.isDirectory()) return this.#keysBelow(path);
        return [relative(this.root, path).split(sep).join("/")];
      }),
    );
    return keys.flat();
  }

  async #act<T>(key: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw this.#explain(key, error);
    }
  }

  #explain(key: string, cause: unknown): unknown {
    const { code, path } = cause as NodeJS.ErrnoException;
    if (MillraceError.is(cause) || code === undefined || code === "ABORT_ERR") return cause;
    const where = path ?? join(this.root, key);
    if (code === "ENOENT") return notFound(this.url, key, cause);
    if (code === "ENOSPC" || code === "EDQUOT") {
      return new MillraceError(
        "MILL_STORE_FULL",
        `there is no room left to write ${where} (${code}). Free some and run again; nothing half-written was published.`,
        { path: where },
        { cause },
      );
    }
    if (["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "EEXIST"].includes(code)) {
      return new MillraceError(
        "MILL_STORE_REFUSED",
        `${where} cannot be used (${code}). Check that it is a folder and that this user may write there.`,
        { path: where },
        { cause },
      );
    }
    return new MillraceError(
      "MILL_STORE_FAILED",
      `${where} failed: ${(cause as Error).message}`,
      { path: where },
      { cause },
    );
  }
}

const listFolder = (folder: string) => readdir(folder, { withFileTypes: true });

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function infoOf(
  key: string,
  found: { readonly size: number; readonly mtimeMs: number; readonly ino: number },
): ObjectInfo {
  return { key, sizeBytes: found.size, version: `${found.size}-${found.mtimeMs}-${found.ino}` };
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
