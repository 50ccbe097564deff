/**
 * An object store in a bucket, under a prefix.
 *
 * Attempts and errors: `s3-calls.ts`, `s3-errors.ts`. Uploads in parts: `s3-upload.ts`. Downloads that are checked and
 * continued: `s3-download.ts`.
 *
 * A move is a copy and a delete, so for a moment both keys may be seen, each whole; one that was interrupted is finished
 * by doing it again. S3 copies objects of at most 5 GB so.
 */
import { randomUUID } from "node:crypto";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { checkKey, checkRange, isReserved, notFound, RESERVED } from "./object-calls.js";
import type {
  CallOptions,
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  ReadOptions,
} from "./object-store.js";
import { S3Calls, type S3Options } from "./s3-calls.js";
import { download, downloadWhole } from "./s3-download.js";
import { NO_S3, statusOf } from "./s3-errors.js";
import { upload } from "./s3-upload.js";

export type { S3Options };

/** Metadata of an object that `create` made: which call it was. */
const CREATED_BY = "millrace-created-by";

export class S3Store implements ObjectStore {
  readonly url: string;
  #calls: S3Calls;
  /** What all keys of this store begin with in the bucket. */
  #root: string;

  constructor(bucket: string, prefix: string, options: S3Options, ports: Ports) {
    this.url = prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
    this.#root = prefix === "" ? "" : `${prefix}/`;
    this.#calls = new S3Calls(bucket, this.url, options, ports);
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    return upload(this.#calls, key, this.#key(key), body, options);
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    const mark = randomUUID();
    for (let attempt = 1; ; attempt++) {
      const refused = await this.#putIfAbsent(key, bytes, mark, options);
      if (refused === undefined) return { created: true } as const;
      const existing = await this.#getIfThere(key, options);
      if (existing !== undefined) return { created: false, existing } as const;
      // Deleted in between, or the other writer (409) has not finished and may yet fail.
      if (attempt >= limits.storeAttemptsMax) throw refused;
      await this.#calls.pause(key, attempt, refused, options.signal);
    }
  }

  async get(key: string, options: ReadOptions = {}): Promise<Uint8Array> {
    checkRange(options.range);
    return downloadWhole(this.#calls, key, this.#key(key), options);
  }

  async *stream(key: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    checkRange(options.range);
    yield* download(this.#calls, key, this.#key(key), options);
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const request = this.#object(key);
    return this.#calls.call(key, options.signal, async (send) => {
      try {
        const found = await this.#calls.client.send(new HeadObjectCommand(request), send);
        return { key, sizeBytes: found.ContentLength ?? 0, version: found.ETag ?? "" };
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<ListedObject> {
    let ContinuationToken: string | undefined;
    do {
      // Encoded as a URL: XML has no way to write some characters that a key may have.
      const request = {
        Bucket: this.#calls.bucket,
        Prefix: this.#root + prefix,
        EncodingType: "url",
        ContinuationToken,
      } as const;
      const page = await this.#calls.call(prefix, options.signal, (send) =>
        this.#calls.client.send(new ListObjectsV2Command(request), send),
      );
      for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
        options.signal?.throwIfAborted();
        const key = decodeURIComponent(Key!.replaceAll("+", " ")).slice(this.#root.length);
        if (isReserved(key)) continue;
        // One that does not say how old it is counts as new: nobody throws that away.
        const sinceMs = LastModified?.getTime() ?? Number.MAX_SAFE_INTEGER;
        yield { key, sizeBytes: Size ?? 0, version: ETag ?? "", sinceMs };
      }
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
  }

  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    const source = this.#object(from);
    const target = this.#object(to);
    if (from === to) {
      if ((await this.head(from, options)) === undefined) throw notFound(this.#calls.where, from);
      return;
    }
    const CopySource = `${source.Bucket}/${source.Key}`.split("/").map(encodeURIComponent).join("/");
    try {
      await this.#calls.call(from, options.signal, (send) =>
        this.#calls.client.send(new CopyObjectCommand({ ...target, CopySource }), send),
      );
    } catch (error) {
      // Moved before, by this caller or by another at the same time.
      if (isNotFound(error) && (await this.head(to, options)) !== undefined) return;
      throw error;
    }
    await this.delete(from, options);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const request = this.#object(key);
    await this.#calls.call(key, options.signal, (send) =>
      this.#calls.client.send(new DeleteObjectCommand(request), send),
    );
  }

  async check(options: CallOptions = {}): Promise<void> {
    const request = { Bucket: this.#calls.bucket, Key: `${this.#root}${RESERVED}${randomUUID()}` };
    await this.#calls.within(limits.storeCheckTimeoutMs, options.signal, async (signal) => {
      const { ETag } = await this.#calls.call("", signal, (send) =>
        this.#calls.client.send(new PutObjectCommand({ ...request, Body: new Uint8Array() }), send),
      );
      // A web server that says "welcome" to everything has stored nothing.
      if (ETag === undefined) throw new MillraceError("MILL_STORE_REFUSED", `${this.#calls.where}: ${NO_S3}`);
      await this.#calls.call("", signal, (send) => this.#calls.client.send(new DeleteObjectCommand(request), send));
    });
  }

  async close(): Promise<void> {
    this.#calls.client.destroy();
    this.#calls.unchecked.destroy();
  }

  #key(key: string): string {
    checkKey(key);
    return this.#root + key;
  }

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#calls.bucket, Key: this.#key(key) };
  }

  /**
   * @param mark tells this call's object from one of the same bytes that another wrote: an attempt may be carried out
   *   and only its answer lost, and the next one is then refused for what this very call has made
   * @returns the refusal when something else is there, or another writer is at it
   */
  async #putIfAbsent(
    key: string,
    bytes: Uint8Array,
    mark: string,
    options: PutOptions,
  ): Promise<MillraceError | undefined> {
    const request = {
      ...this.#object(key),
      Body: bytes,
      IfNoneMatch: "*",
      ChecksumAlgorithm: "CRC32",
      ContentType: options.contentType,
      Metadata: { [CREATED_BY]: mark },
    } as const;
    return this.#calls.call(key, options.signal, async (send) => {
      try {
        await this.#calls.client.send(new PutObjectCommand(request), send);
        return undefined;
      } catch (error) {
        if (statusOf(error) !== 412 && statusOf(error) !== 409) throw error;
        if ((await this.#markOf(key, send)) === mark) return undefined;
        return this.#calls.explain(key, error);
      }
    });
  }

  async #markOf(key: string, send: { readonly abortSignal?: AbortSignal }): Promise<string | undefined> {
    try {
      return (await this.#calls.client.send(new HeadObjectCommand(this.#object(key)), send)).Metadata?.[CREATED_BY];
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async #getIfThere(key: string, options: CallOptions): Promise<Uint8Array | undefined> {
    try {
      return await this.get(key, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

function isNotFound(error: unknown): boolean {
  return MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND";
}
