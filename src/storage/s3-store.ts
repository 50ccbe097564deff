/**
 * An object store in a bucket, under a prefix.
 *
 * Retries are the SDK's, with its backoff and jitter, `limits.storeAttemptsMax` in all; uploads carry a CRC32 that the
 * server checks, and downloads are checked against it, so a damaged transfer is an error and never content. Bodies above
 * `limits.storeMultipartBytes` go up in parts; a failed or cancelled upload aborts its parts.
 */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { checkKey, notFound } from "./object-calls.js";
import type { ByteRange, CallOptions, ObjectBody, ObjectInfo, ObjectStore, PutOptions } from "./object-store.js";

export interface S3Options {
  readonly endpoint?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
}

export class S3Store implements ObjectStore {
  readonly url: string;
  #client: S3Client;
  #where: string;

  constructor(
    private readonly bucket: string,
    private readonly prefix: string,
    options: S3Options,
    _ports: Ports,
  ) {
    this.url = prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
    this.#where = `${this.url}${options.endpoint === undefined ? "" : ` at ${options.endpoint}`}`;
    const { accessKeyId, secretAccessKey, sessionToken } = options;
    const keys = accessKeyId !== undefined && secretAccessKey !== undefined;
    this.#client = new S3Client({
      region: options.region ?? "us-east-1",
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint, forcePathStyle: true }),
      ...(keys
        ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
        : {}),
      maxAttempts: limits.storeAttemptsMax,
      requestHandler: { connectionTimeout: limits.busConnectTimeoutMs, requestTimeout: limits.storeRequestTimeoutMs },
    });
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    const Key = this.#key(key);
    await this.#act(key, options.signal, async () => {
      if (body instanceof Uint8Array && body.length <= limits.storeMultipartBytes) {
        await this.#client.send(
          new PutObjectCommand({
            Bucket: this.bucket,
            Key,
            Body: body,
            ChecksumAlgorithm: "CRC32",
            ContentType: options.contentType,
          }),
          sendOptions(options),
        );
        return;
      }
      const upload = new Upload({
        client: this.#client,
        params: {
          Bucket: this.bucket,
          Key,
          Body: body instanceof Uint8Array ? body : streamOf(body),
          ChecksumAlgorithm: "CRC32",
          ContentType: options.contentType,
        },
        partSize: limits.storeMultipartBytes,
        queueSize: 3,
        leavePartsOnError: false,
      });
      const abort = () => void upload.abort();
      options.signal?.addEventListener("abort", abort, { once: true });
      try {
        await upload.done();
      } finally {
        options.signal?.removeEventListener("abort", abort);
      }
    });
    return (await this.head(key, options))!;
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    const Key = this.#key(key);
    try {
      await this.#act(key, options.signal, () =>
        this.#client.send(
          new PutObjectCommand({
            Bucket: this.bucket,
            Key,
            Body: bytes,
            IfNoneMatch: "*",
            ChecksumAlgorithm: "CRC32",
            ContentType: options.contentType,
          }),
          sendOptions(options),
        ),
      );
      return { created: true } as const;
    } catch (error) {
      const cause = MillraceError.is(error) ? (error.cause as S3Error) : (error as S3Error);
      if (statusOf(cause) !== 412 && statusOf(cause) !== 409) throw error;
      return { created: false, existing: await this.get(key, options) } as const;
    }
  }

  async get(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): Promise<Uint8Array> {
    return this.#act(key, options.signal, async () => {
      const answer = await this.#open(key, options);
      return answer.Body!.transformToByteArray();
    });
  }

  async *stream(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): AsyncIterable<Uint8Array> {
    const answer = await this.#act(key, options.signal, () => this.#open(key, options));
    try {
      yield* answer.Body as unknown as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw this.#explain(key, error, options.signal);
    }
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const Key = this.#key(key);
    return this.#act(key, options.signal, async () => {
      try {
        const found = await this.#client.send(
          new HeadObjectCommand({ Bucket: this.bucket, Key }),
          sendOptions(options),
        );
        return { key, sizeBytes: found.ContentLength ?? 0, version: found.ETag ?? "" };
      } catch (error) {
        if (statusOf(error as S3Error) === 404) return undefined;
        throw error;
      }
    });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<ObjectInfo> {
    const root = this.prefix === "" ? "" : `${this.prefix}/`;
    let token: string | undefined;
    do {
      const page = await this.#act(prefix, options.signal, () =>
        this.#client.send(
          new ListObjectsV2Command({ Bucket: this.bucket, Prefix: root + prefix, ContinuationToken: token }),
          sendOptions(options),
        ),
      );
      for (const { Key, Size, ETag } of page.Contents ?? []) {
        yield { key: Key!.slice(root.length), sizeBytes: Size ?? 0, version: ETag ?? "" };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    const [source, target] = [this.#key(from), this.#key(to)];
    if ((await this.head(from, options)) === undefined) {
      if ((await this.head(to, options)) !== undefined) return;
      throw notFound(this.url, from);
    }
    await this.#act(from, options.signal, async () => {
      const CopySource = `${this.bucket}/${source}`.split("/").map(encodeURIComponent).join("/");
      await this.#client.send(
        new CopyObjectCommand({ Bucket: this.bucket, Key: target, CopySource }),
        sendOptions(options),
      );
    });
    await this.delete(from, options);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const Key = this.#key(key);
    await this.#act(key, options.signal, () =>
      this.#client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key }), sendOptions(options)),
    );
  }

  async check(options: CallOptions = {}): Promise<void> {
    await this.#act("", options.signal, () =>
      this.#client.send(new HeadBucketCommand({ Bucket: this.bucket }), sendOptions(options)),
    );
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  #key(key: string): string {
    checkKey(key);
    return this.prefix === "" ? key : `${this.prefix}/${key}`;
  }

  #open(key: string, options: CallOptions & { readonly range?: ByteRange }): Promise<GetObjectCommandOutput> {
    const { range } = options;
    const Range = range === undefined ? undefined : `bytes=${range.offset}-${range.offset + range.length - 1}`;
    return this.#client.send(
      new GetObjectCommand({ Bucket: this.bucket, Key: this.#key(key), Range }),
      sendOptions(options),
    );
  }

  async #act<T>(key: string, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      throw this.#explain(key, error, signal);
    }
  }

  #explain(key: string, cause: unknown, signal: AbortSignal | undefined): unknown {
    if (MillraceError.is(cause)) return cause;
    if (signal?.aborted) return signal.reason;
    const error = cause as S3Error;
    const status = statusOf(error);
    const facts = { url: this.url, key };
    if (status === 404 && error.name !== "NoSuchBucket" && key !== "") return notFound(this.#where, key, cause);
    if (status === 404) {
      return new MillraceError(
        "MILL_STORE_REFUSED",
        `there is no bucket ${this.bucket} (${this.#where}). Create it, or name another one.`,
        facts,
        { cause },
      );
    }
    if (status === 403 || status === 401 || error.name === "CredentialsProviderError") {
      return new MillraceError(
        "MILL_STORE_REFUSED",
        `${this.#where} refuses these credentials (${error.name}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a user who may read and write the bucket.`,
        facts,
        { cause },
      );
    }
    if (status === undefined || status === 0) {
      return new MillraceError(
        "MILL_STORE_UNREACHABLE",
        `${this.#where} cannot be reached (${error.code ?? error.name}). Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
        facts,
        { cause },
      );
    }
    return new MillraceError(
      "MILL_STORE_FAILED",
      `${this.#where}: ${key} failed with status ${status} (${error.name}): ${error.message}`,
      facts,
      { cause },
    );
  }
}

interface S3Error extends Error {
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

function statusOf(error: S3Error | undefined): number | undefined {
  return error?.$metadata?.httpStatusCode;
}

function sendOptions(options: CallOptions): { abortSignal?: AbortSignal } {
  return options.signal === undefined ? {} : { abortSignal: options.signal };
}

async function* pieces(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* body;
}

function streamOf(body: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces(body)) as ReadableStream<Uint8Array>;
}
