/**
 * One download from S3, in pieces.
 *
 *   D1  One version of the object is read: a part that is asked for again names the version that was begun.
 *   D2  An answer that breaks off is continued where it broke off; one that ends early is never taken for whole.
 *   D3  Where the store has a CRC32 of the object, the whole one is checked; for other checksums the client does it, as
 *       long as the answer comes in one go. A range has no checksum: its length is checked, its bytes are not. Nor are those of
 *       `hashed` reads: their reader has a hash of them.
 *
 * Pieces are given before the end is known, so they count only when the iteration ends without an error.
 */
import { GetObjectCommand, type GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { Crc32 } from "./crc32.js";
import { piecesOf } from "./object-calls.js";
import type { ReadOptions } from "./object-store.js";
import type { S3Calls } from "./s3-calls.js";
import { statusOf } from "./s3-errors.js";

export async function* download(
  calls: S3Calls,
  key: string,
  Key: string,
  options: ReadOptions,
): AsyncGenerator<Uint8Array> {
  const answer = await begin(calls, key, Key, options);
  if (answer !== undefined) yield* piecesOfAnswer(calls, key, Key, options, answer);
}

async function* piecesOfAnswer(
  calls: S3Calls,
  key: string,
  Key: string,
  { range, signal }: ReadOptions,
  first: GetObjectCommandOutput,
): AsyncGenerator<Uint8Array> {
  let at = range?.offset ?? 0;
  let answer = first;
  const whole = range === undefined;
  const version = answer.ETag;
  const expected = whole && answer.ChecksumType !== "COMPOSITE" ? answer.ChecksumCRC32 : undefined;
  const end = at + answer.ContentLength!;
  const crc = new Crc32();
  let triedAt = at;
  for (let attempt = 1; ; attempt++) {
    let failure: unknown;
    try {
      for await (const piece of piecesOf(answer.Body as unknown as AsyncIterable<Uint8Array>, signal)) {
        if (expected !== undefined) crc.add(piece);
        at += piece.length;
        yield piece;
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (isMismatch(error)) throw damaged(calls, key, error);
      failure = error;
    }
    if (at >= end) break;
    // What breaks off now and then over a long download is not what never gets on.
    if (at - triedAt >= limits.storeMultipartBytes) attempt = 1;
    triedAt = at;
    if (attempt >= limits.storeAttemptsMax) throw brokenOff(calls, key, at, end, failure);
    await calls.pause(key, attempt, failure ?? new Error(`the answer ended at byte ${at} of ${end}`), signal);
    answer = await goOn(calls, key, Key, { from: at, end, version }, signal);
  }
  if (at !== end || (expected !== undefined && expected !== crc.toString())) throw damaged(calls, key);
}

/** The whole object or the range, in memory; a damaged download is done again. */
export async function downloadWhole(
  calls: S3Calls,
  key: string,
  Key: string,
  options: ReadOptions,
): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await begin(calls, key, Key, options);
      if (answer === undefined) return new Uint8Array();
      const size = answer.ContentLength!;
      // Filled as they come: pieces that wait to be put together would need the memory twice.
      let bytes: Uint8Array | undefined;
      let at = 0;
      for await (const piece of piecesOfAnswer(calls, key, Key, options, answer)) {
        if (at === 0 && piece.length === size && piece.buffer.byteLength === size) bytes = piece;
        else {
          bytes ??= Buffer.allocUnsafeSlow(size);
          bytes.set(piece, at);
        }
        at += piece.length;
      }
      return bytes ?? new Uint8Array();
    } catch (error) {
      const again =
        MillraceError.is(error) && (error.code === "MILL_STORE_CORRUPT" || error.code === "MILL_SOURCE_CHANGED");
      if (!again || attempt >= limits.storeAttemptsMax) throw error;
      await calls.pause(key, attempt, error, options.signal);
    }
  }
}

/** @returns undefined when the object is there and nothing of it is in the range */
async function begin(
  calls: S3Calls,
  key: string,
  Key: string,
  { range, signal, hashed = false }: ReadOptions,
): Promise<GetObjectCommandOutput | undefined> {
  // S3 has no range without bytes: one byte is asked for, to learn whether the object is there.
  const last = range === undefined ? 0 : range.offset + Math.max(range.length, 1) - 1;
  const Range =
    range === undefined ? {} : { Range: `bytes=${range.offset}-${Math.min(last, Number.MAX_SAFE_INTEGER)}` };
  const answer = await calls.call(key, signal, async (send) => {
    try {
      const client = hashed ? calls.unchecked : calls.client;
      return await client.send(new GetObjectCommand({ Bucket: calls.bucket, Key, ...Range }), send);
    } catch (error) {
      if (statusOf(error) === 416) return undefined;
      throw error;
    }
  });
  if (answer === undefined || range?.length !== 0) return answer;
  for await (const _ of answer.Body as unknown as AsyncIterable<Uint8Array>) break;
  return undefined;
}

function goOn(
  calls: S3Calls,
  key: string,
  Key: string,
  rest: { readonly from: number; readonly end: number; readonly version: string | undefined },
  signal: AbortSignal | undefined,
): Promise<GetObjectCommandOutput> {
  const request = { Bucket: calls.bucket, Key, Range: `bytes=${rest.from}-${rest.end - 1}`, IfMatch: rest.version };
  return calls.call(key, signal, async (send) => {
    try {
      return await calls.client.send(new GetObjectCommand(request), send);
    } catch (error) {
      if (statusOf(error) !== 412) throw error;
      throw new MillraceError(
        "MILL_SOURCE_CHANGED",
        `${key} in ${calls.where} was replaced while it was read. Read it again.`,
        { url: calls.url, key },
        { cause: error },
      );
    }
  });
}

/** Of the client's checksum stream, which has no error class; a mismatch of a CRC32 is found here as well. */
function isMismatch(error: unknown): boolean {
  return (error as Error).message?.startsWith("Checksum mismatch") === true;
}

function damaged(calls: S3Calls, key: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_STORE_CORRUPT",
    `${key} in ${calls.where} does not have the bytes that its checksum says. It was damaged on the way or in the store; read it again, and if that fails too, write it again.`,
    { url: calls.url, key },
    { cause },
  );
}

function brokenOff(calls: S3Calls, key: string, at: number, end: number, cause: unknown): MillraceError {
  return new MillraceError(
    "MILL_STORE_FAILED",
    `${calls.where}: ${key} broke off at byte ${at} of ${end}, after ${limits.storeAttemptsMax} attempts. Look at the network between here and the store, then run again.`,
    { url: calls.url, key, at, end },
    { cause },
  );
}
