/** Media types by the first bytes of content: what a server says of it is often wrong. */

const latin1 = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.subarray(from, to)).toString("latin1");

/** Beginnings that say a type, and nothing else. */
const STARTS: readonly (readonly [string, string])[] = [
  ["\xff\xd8\xff", "image/jpeg"],
  ["\x89PNG\r\n\x1a\n", "image/png"],
  ["GIF8", "image/gif"],
  ["II*\0", "image/tiff"],
  ["MM\0*", "image/tiff"],
  ["%PDF-", "application/pdf"],
  ["fLaC", "audio/flac"],
  ["ID3", "audio/mpeg"],
  ["OggS", "audio/ogg"],
  ["\x1aE\xdf\xa3", "video/webm"],
  ["PK\x03\x04", "application/zip"],
  ["\x1f\x8b", "application/gzip"],
];

/** @returns undefined: the bytes do not say */
export function sniffed(bytes: Uint8Array): string | undefined {
  const head = latin1(bytes, 0, 16);
  const start = STARTS.find(([text]) => head.startsWith(text));
  if (start !== undefined) return start[1];
  if (head.startsWith("RIFF"))
    return { WEBP: "image/webp", WAVE: "audio/wav", "AVI ": "video/x-msvideo" }[head.slice(8, 12)];
  if (head.slice(4, 8) === "ftyp") return /^(avif|avis)/.test(head.slice(8)) ? "image/avif" : "video/mp4";
  if (bytes[0] === 0xff && (bytes[1]! & 0xe6) === 0xe2) return "audio/mpeg";
  if (/^\s*(<!doctype html|<html|<head)/i.test(latin1(bytes, 0, 256))) return "text/html";
  return undefined;
}

const TOLD_BY_BYTES = new Set([
  ...STARTS.map(([, type]) => type),
  "image/webp",
  "image/avif",
  "audio/wav",
  "video/mp4",
]);

/** What the content is: by its bytes; else as it was said, unless the bytes would show it. Empty: not known. */
export function mediaTypeOf(bytes: Uint8Array, said: string): string {
  return sniffed(bytes) ?? (TOLD_BY_BYTES.has(said) ? "" : said);
}
