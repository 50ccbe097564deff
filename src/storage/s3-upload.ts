/**
 * One upload to S3, in parts where it is large. Nothing is visible before its end (O1).
 *
 *   U1  An upload in parts that fails or is cancelled is aborted on the server before its error is passed on.
 *   U2  Every part has a CRC32 that the server checks, and the whole one that it checks when the parts are put together.
 *   U3  At most `limits.storePartsInFlight` parts, and the two being gathered, are in memory.
 *
 * Not `@aws-sdk/lib-storage`: it passes a cancel on before it has aborted the upload, does not abort one whose source
 * gives nothing any more, and keeps pieces that the source may fill again.
 *
 * When an upload's start is acknowledged on a connection that then breaks, its id is lost and so is the way to abort it.
 * A lifecycle rule of the bucket for incomplete uploads clears such (docs/storage.md).
 */
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Timer } from "../base/ports.js";
import { Crc32 } from "./crc32.js";
import { inHand, piecesOf } from "./object-calls.js";
import type { ObjectBody, ObjectInfo, PutOptions } from "./object-store.js";
import type { S3Calls } from "./s3-calls.js";
import { statusOf } from "./s3-errors.js";

/** @param Key the key in the bucket; `key` is how the caller names it */
export async function upload(
  calls: S3Calls,
  key: string,
  Key: string,
  body: ObjectBody,
  options: PutOptions,
): Promise<ObjectInfo> {
  // Aborted with its error when a part fails, which also ends the wait for a source that has nothing to give.
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const parts = partsOf(body, signal);
  try {
    const first = await parts.next();
    const second = first.done === true ? first : await parts.next();
    if (second.done !== true) {
      const inParts = new PartUpload(calls, key, Key, options, signal, failed);
      return await inParts.run([first.value!, second.value], parts);
    }
    return await putWhole(calls, key, Key, first.value ?? new Uint8Array(), options);
  } finally {
    await parts.return(undefined);
  }
}

async function putWhole(calls: S3Calls, key: string, Key: string, Body: Uint8Array, options: PutOptions) {
  const { contentType: ContentType, sha256, signal } = options;
  const { ETag } = await calls.call(key, signal, (send) => {
    const put = new PutObjectCommand({ Bucket: calls.bucket, Key, Body, ChecksumAlgorithm: "CRC32", ContentType });
    if (sha256 !== undefined) signWith(put, sha256);
    return calls.client.send(put, send);
  });
  return { key, sizeBytes: Body.length, version: ETag ?? "" };
}

/** The server checks the body against this hash, as against one that the client would have computed for the signature. */
function signWith(put: PutObjectCommand, sha256: string): void {
  put.middlewareStack.add(
    (next) => (args) => {
      (args.request as { readonly headers: Record<string, string> }).headers["x-amz-content-sha256"] = sha256;
      return next(args);
    },
    { step: "build", name: "millraceContentHash" },
  );
}

class PartUpload {
  #object: { readonly Bucket: string; readonly Key: string };
  #done: CompletedPart[] = [];
  /** None of them rejects: a failure goes to `failed`. */
  #inFlight = new Set<Promise<void>>();
  #started = 0;
  #sizeBytes = 0;
  #crc = new Crc32();

  constructor(
    private readonly calls: S3Calls,
    private readonly key: string,
    Key: string,
    private readonly options: PutOptions,
    /** Aborted by the caller's signal and by `failed`. */
    private readonly signal: AbortSignal,
    private readonly failed: AbortController,
  ) {
    this.#object = { Bucket: calls.bucket, Key };
  }

  async run(gathered: readonly Uint8Array[], rest: AsyncIterable<Uint8Array>): Promise<ObjectInfo> {
    const UploadId = await this.#begin();
    try {
      for (const part of gathered) await this.#add(UploadId, part);
      for await (const part of rest) await this.#add(UploadId, part);
      await Promise.all(this.#inFlight);
      this.signal.throwIfAborted();
      return { key: this.key, sizeBytes: this.#sizeBytes, version: await this.#complete(UploadId) };
    } catch (error) {
      this.failed.abort(error);
      await Promise.all(this.#inFlight);
      await this.#abort(UploadId);
      throw error;
    }
  }

  /**
   * Not cancelled on its way: its answer is needed to abort the upload (U1). After a cancel it is waited for no longer
   * than an abort is, and not made again.
   */
  async #begin(): Promise<string> {
    const { calls, signal } = this;
    const request = {
      ...this.#object,
      ChecksumAlgorithm: "CRC32",
      ChecksumType: "FULL_OBJECT",
      ContentType: this.options.contentType,
    } as const;
    const late = new AbortController();
    const timers: Timer[] = [];
    const onCancel = () => {
      timers.push(calls.ports.clock.after(limits.storeCheckTimeoutMs, () => late.abort(signal.reason)));
    };
    signal.addEventListener("abort", onCancel, { once: true });
    try {
      const answer = await calls.call(this.key, signal, () =>
        calls.client.send(new CreateMultipartUploadCommand(request), { abortSignal: late.signal }),
      );
      return answer.UploadId!;
    } finally {
      signal.removeEventListener("abort", onCancel);
      for (const timer of timers) timer.cancel();
    }
  }

  /** Sends a part; waits while too many are on their way (U3). */
  async #add(UploadId: string, part: Uint8Array): Promise<void> {
    const PartNumber = ++this.#started;
    if (PartNumber > limits.storePartsMax) throw this.#tooLarge();
    this.#sizeBytes += part.length;
    this.#crc.add(part);
    const sent = this.#send(UploadId, PartNumber, part)
      .catch((error: unknown) => this.failed.abort(error))
      .finally(() => this.#inFlight.delete(sent));
    this.#inFlight.add(sent);
    if (this.#inFlight.size >= limits.storePartsInFlight) await Promise.race(this.#inFlight);
    this.signal.throwIfAborted();
  }

  async #send(UploadId: string, PartNumber: number, Body: Uint8Array): Promise<void> {
    const request = { ...this.#object, UploadId, PartNumber, Body, ChecksumAlgorithm: "CRC32" } as const;
    const { ETag, ChecksumCRC32 } = await this.calls.call(this.key, this.signal, (send) =>
      this.calls.client.send(new UploadPartCommand(request), send),
    );
    this.#done.push({ PartNumber, ETag, ChecksumCRC32 });
  }

  /** @returns the version of the object */
  async #complete(UploadId: string): Promise<string> {
    const ChecksumCRC32 = this.#crc.toString();
    const Parts = this.#done.sort((a, b) => a.PartNumber! - b.PartNumber!);
    const request = {
      ...this.#object,
      UploadId,
      MultipartUpload: { Parts },
      ChecksumCRC32,
      ChecksumType: "FULL_OBJECT",
    } as const;
    return this.calls.call(this.key, this.signal, async (send, attempt) => {
      try {
        return (await this.calls.client.send(new CompleteMultipartUploadCommand(request), send)).ETag ?? "";
      } catch (error) {
        // An attempt before this one may have been carried out, and only its answer lost.
        const version = attempt > 1 && statusOf(error) === 404 ? await this.#published(ChecksumCRC32) : undefined;
        if (version === undefined) throw error;
        return version;
      }
    });
  }

  /** The version of the object, if it is what this upload would have made. */
  async #published(checksum: string): Promise<string | undefined> {
    const found = await this.calls.client.send(new HeadObjectCommand({ ...this.#object, ChecksumMode: "ENABLED" }), {
      abortSignal: this.signal,
    });
    return found.ContentLength === this.#sizeBytes && found.ChecksumCRC32 === checksum ? (found.ETag ?? "") : undefined;
  }

  /** The caller's signal does not count here; a bound of its own does. A failure is told, and hides no other. */
  async #abort(UploadId: string): Promise<void> {
    const { bucket, client, ports, url } = this.calls;
    try {
      await this.calls.within(limits.storeCheckTimeoutMs, undefined, (signal) =>
        this.calls.call(this.key, signal, (send) =>
          client.send(new AbortMultipartUploadCommand({ ...this.#object, UploadId }), send),
        ),
      );
    } catch (error) {
      if (statusOf((error as Error).cause) === 404) return; // gone already
      const { message } = error as Error;
      ports.log.warn("object store: parts of a failed upload were left behind", {
        url,
        bucket,
        key: this.key,
        message,
      });
    }
  }

  #tooLarge(): MillraceError {
    const sizeMaxGb = Math.floor((limits.storePartsMax * limits.storeMultipartBytes) / 1e9);
    return new MillraceError(
      "MILL_FRAME_TOO_LARGE",
      `${this.key} is larger than one object in ${this.calls.where} may be: ${limits.storePartsMax} parts of ${limits.storeMultipartBytes} bytes (${sizeMaxGb} GB). Split it.`,
      { url: this.calls.url, key: this.key },
    );
  }
}

/** The body in parts of `limits.storeMultipartBytes`, the last one smaller; none of an empty body. */
async function* partsOf(body: ObjectBody, signal: AbortSignal): AsyncGenerator<Uint8Array, undefined> {
  const partBytes = limits.storeMultipartBytes;
  const whole = inHand(body) && !(body instanceof Uint8Array) && body.length === 1 ? body[0]! : body;
  if (whole instanceof Uint8Array) {
    for (let at = 0; at < whole.length; at += partBytes) yield whole.subarray(at, at + partBytes);
    return;
  }
  let part = Buffer.allocUnsafe(partBytes);
  let filled = 0;
  for await (const piece of piecesOf(body, signal)) {
    if (inHand(body) && filled === 0 && piece.length === partBytes) {
      yield piece;
      continue;
    }
    for (let at = 0; at < piece.length; ) {
      const taken = piece.subarray(at, at + partBytes - filled);
      part.set(taken, filled); // copied: the source may fill its piece again
      at += taken.length;
      filled += taken.length;
      if (filled < partBytes) continue;
      yield part;
      part = Buffer.allocUnsafe(partBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}
