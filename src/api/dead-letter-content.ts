/**
 * Content that the record of a dead letter names or holds, by its path in the record, such as `page` or `pages.0`.
 *
 * What a reference is, the record's JSON says; bytes in the record itself are in the whole row alone.
 */
import type { RecordBatch } from "apache-arrow";
import { type DeadLetter, recordOf } from "../storage/dead-letters.js";
import type { ObjectRef } from "../types/content-types.js";
import { decodeBatch } from "../wire/arrow.js";
import { decodeRow } from "../wire/arrow-row.js";

export interface RecordContent {
  readonly path: string;
  readonly ref: ObjectRef;
  /** The bytes, where the record holds them. */
  readonly bytes: Uint8Array | undefined;
}

const DEPTH_MAX = 8;

/** @param row the whole row, where it is known */
export function contentsOf(letter: DeadLetter, row: Uint8Array | undefined): RecordContent[] {
  const found: RecordContent[] = [];
  const batch = row === undefined ? undefined : rowOf(row);
  collect(recordOf(letter), batch && wholeRow(batch), "", 0, found);
  return found;
}

function rowOf(row: Uint8Array): RecordBatch {
  const { schema, batch } = decodeRow(row);
  return decodeBatch(schema, batch);
}

function wholeRow(batch: RecordBatch): Record<string, unknown> {
  return Object.fromEntries(batch.schema.fields.map(({ name }, i) => [name, batch.getChildAt(i)!.get(0)]));
}

/** The JSON of a value beside the value itself: both have the same shape, as far as there is content in it. */
function collect(json: unknown, whole: unknown, path: string, depth: number, found: RecordContent[]): void {
  if (whole instanceof Uint8Array && typeof json === "string") {
    const ref = { uri: "", offset: 0n, sizeBytes: BigInt(whole.length), sha256: "", mediaType: "" };
    found.push({ path, ref, bytes: whole });
    return;
  }
  if (typeof json !== "object" || json === null || depth > DEPTH_MAX) return;
  const ref = refIn(json as Record<string, unknown>);
  if (ref !== undefined) {
    const bytes = partOf(whole, "bytes");
    const held = bytes instanceof Uint8Array ? bytes : undefined;
    if (held !== undefined || ref.uri !== "") found.push({ path, ref, bytes: held });
    return;
  }
  for (const [name, value] of Object.entries(json))
    collect(value, partOf(whole, name), path === "" ? name : `${path}.${name}`, depth + 1, found);
}

function partOf(whole: unknown, name: string): unknown {
  if (typeof whole !== "object" || whole === null) return undefined;
  const list = whole as { readonly get?: (i: number) => unknown; readonly length?: number };
  if (typeof list.get === "function" && /^\d+$/.test(name)) return list.get(Number(name));
  return (whole as Record<string, unknown>)[name];
}

function refIn({ uri, offset, sizeBytes, sha256, mediaType }: Record<string, unknown>): ObjectRef | undefined {
  if (typeof uri !== "string" || typeof sha256 !== "string" || typeof mediaType !== "string") return undefined;
  if (!/^-?\d{1,19}$/.test(String(offset)) || !/^-?\d{1,19}$/.test(String(sizeBytes))) return undefined;
  return { uri, offset: BigInt(String(offset)), sizeBytes: BigInt(String(sizeBytes)), sha256, mediaType };
}

/** What browsers show by themselves and run nothing of: SVG and HTML are texts with programs in them. */
const SHOWN = /^(image\/(png|jpeg|gif|webp|avif|bmp)|audio\/[a-z0-9.+-]+|video\/[a-z0-9.+-]+|text\/plain)$/;

/** In hexadecimal digits. */
const BEGINNINGS: readonly (readonly [mediaType: string, begins: RegExp])[] = [
  ["image/png", /^89504e47/],
  ["image/jpeg", /^ffd8ff/],
  ["image/gif", /^47494638/],
  ["image/webp", /^52494646.{8}57454250/],
  ["audio/wav", /^52494646.{8}57415645/],
  ["audio/mpeg", /^(494433|ff[ef][2-9a-f])/],
  ["audio/ogg", /^4f676753/],
  ["audio/flac", /^664c6143/],
  ["video/mp4", /^.{8}66747970/],
  ["video/webm", /^1a45dfa3/],
];

export interface ServedAs {
  readonly mediaType: string;
  readonly inline: boolean;
}

/** @param first the first of its bytes */
export function servedAs(declared: string, first: Uint8Array): ServedAs {
  const given = declared.split(";")[0]!.trim().toLowerCase();
  const guessed = given === "" || given === "application/octet-stream" ? guess(first) : given;
  const mediaType = guessed.startsWith("text/") || guessed === "application/json" ? "text/plain" : guessed;
  if (!SHOWN.test(mediaType)) return { mediaType: "application/octet-stream", inline: false };
  return { mediaType: mediaType === "text/plain" ? "text/plain; charset=utf-8" : mediaType, inline: true };
}

function guess(first: Uint8Array): string {
  const digits = Buffer.from(first.subarray(0, 16)).toString("hex");
  const known = BEGINNINGS.find(([, begins]) => begins.test(digits))?.[0];
  if (known !== undefined) return known;
  return first.length > 0 && first.every((byte) => byte >= 32 || byte === 9 || byte === 10 || byte === 13)
    ? "text/plain"
    : "application/octet-stream";
}
