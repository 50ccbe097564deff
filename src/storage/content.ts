/** Content by URI, for object references: `file:///path` and `s3://bucket/key`, verified where the reference says how. */
import { createHash } from "node:crypto";
import { fileURLToPath, pathToFileURL } from "node:url";
import picomatch from "picomatch";
import { glob } from "tinyglobby";
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import { FsStore } from "./fs-store.js";
import type { ByteRange, ObjectInfo, ObjectStore } from "./object-store.js";
import { openStore, type StoreConfig } from "./open-store.js";

/** The parts of an object reference that say where content is and what it must be. */
export interface ContentRef {
  readonly uri: string;
  readonly offset: bigint;
  /** -1n: to the end. */
  readonly sizeBytes: bigint;
  /** Empty: not known. */
  readonly sha256: string;
}

export interface ListedContent {
  readonly uri: string;
  readonly sizeBytes: number;
  readonly version: string;
}

export class ContentReader {
  #files = new FsStore("/");
  #buckets = new Map<string, ObjectStore>();

  constructor(
    private readonly config: StoreConfig,
    private readonly ports: Ports,
  ) {}

  /**
   * @throws {MillraceError} `MILL_STORE_NOT_FOUND`; `MILL_SOURCE_CHANGED` when size or SHA-256 are not the reference's
   */
  async read(ref: ContentRef, signal?: AbortSignal): Promise<Uint8Array> {
    const { store, key } = this.#locate(ref.uri);
    const bytes = await store.get(key, { ...rangeOf(ref), ...(signal === undefined ? {} : { signal }) });
    if (ref.sizeBytes >= 0n && BigInt(bytes.length) !== ref.sizeBytes) {
      throw changed(ref.uri, `${ref.sizeBytes} bytes`, `${bytes.length} bytes`);
    }
    if (ref.sha256 !== "") {
      const found = createHash("sha256").update(bytes).digest("hex");
      if (found !== ref.sha256) throw changed(ref.uri, `SHA-256 ${ref.sha256}`, `SHA-256 ${found}`);
    }
    return bytes;
  }

  /** Everything that matches, sorted by URI. Relative patterns start at the current folder. */
  async list(pattern: string): Promise<ListedContent[]> {
    const s3 = /^s3:\/\/([^/]+)\/(.*)$/.exec(pattern);
    const found = s3 === null ? await this.#listFiles(pattern) : await this.#listBucket(s3[1]!, s3[2]!);
    return found.sort((a, b) => (a.uri < b.uri ? -1 : 1));
  }

  async close(): Promise<void> {
    for (const store of this.#buckets.values()) await store.close();
  }

  async #listFiles(pattern: string): Promise<ListedContent[]> {
    // A relative one stays so: what the current folder is called is no part of the pattern.
    const paths = await glob(pattern.startsWith("file://") ? pathOf(pattern) : pattern, {
      absolute: true,
      onlyFiles: true,
    });
    const infos = await Promise.all(paths.map((file) => this.#files.head(file.slice(1))));
    return infos.filter((info) => info !== undefined).map((info) => listed(pathToFileURL(`/${info.key}`).href, info));
  }

  async #listBucket(bucket: string, pattern: string): Promise<ListedContent[]> {
    const matches = picomatch(pattern);
    const prefix = picomatch.scan(pattern).base.replace(/\\(.)/g, "$1");
    const found: ListedContent[] = [];
    for await (const info of this.#bucket(bucket).list(prefix)) {
      if (matches(info.key)) found.push(listed(`s3://${bucket}/${info.key}`, info));
    }
    return found;
  }

  #locate(uri: string): { store: ObjectStore; key: string } {
    if (uri.startsWith("file://")) return { store: this.#files, key: pathOf(uri).slice(1) };
    const s3 = /^s3:\/\/([^/]+)\/(.+)$/.exec(uri);
    if (s3 !== null) return { store: this.#bucket(s3[1]!), key: s3[2]! };
    throw noAddress(uri);
  }

  #bucket(name: string): ObjectStore {
    let store = this.#buckets.get(name);
    if (store === undefined) {
      store = openStore(`s3://${name}`, this.config, this.ports);
      this.#buckets.set(name, store);
    }
    return store;
  }
}

/** Without an offset all of it is read, also where a size is given: then a file that has grown is noticed. */
function rangeOf({ offset, sizeBytes }: ContentRef): { readonly range?: ByteRange } {
  if (offset === 0n) return {};
  return { range: { offset: Number(offset), length: sizeBytes < 0n ? Number.MAX_SAFE_INTEGER : Number(sizeBytes) } };
}

function pathOf(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw noAddress(uri, error);
  }
}

function noAddress(uri: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_CONFIG",
    `"${uri}" cannot be read. Use a file:// or s3:// address.`,
    { uri },
    { cause },
  );
}

function listed(uri: string, { sizeBytes, version }: ObjectInfo): ListedContent {
  return { uri, sizeBytes, version };
}

function changed(uri: string, expected: string, found: string): MillraceError {
  return new MillraceError(
    "MILL_SOURCE_CHANGED",
    `${uri} has changed since it was listed: expected ${expected}, found ${found}. Run the job again when its input is at rest.`,
    { uri, expected, found },
  );
}
