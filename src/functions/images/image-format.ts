/**
 * What is handed to the decoder: formats that are known by their first bytes, whatever the name or the media type says.
 *
 * SVG is a program rather than an image: its text can keep a thread busy for minutes, and nothing can stop it. It is not taken unless the
 * user asks for it. The decoder takes much for SVG that begins otherwise, so what looks like it anywhere near its start is refused, too.
 */
import { invalidImage } from "./image-content.js";

type Starts = (bytes: Uint8Array) => boolean;

const startsWith =
  (at: number, head: string): Starts =>
  (bytes) =>
    Array.from(head).every((char, i) => bytes[at + i] === char.charCodeAt(0));

const FORMATS: Readonly<Record<string, Starts>> = {
  JPEG: startsWith(0, "\xff\xd8\xff"),
  PNG: startsWith(0, "\x89PNG\r\n\x1a\n"),
  WebP: (bytes) => startsWith(0, "RIFF")(bytes) && startsWith(8, "WEBP")(bytes),
  GIF: startsWith(0, "GIF8"),
  TIFF: (bytes) => startsWith(0, "II*\0")(bytes) || startsWith(0, "MM\0*")(bytes),
  AVIF: startsWith(4, "ftyp"),
};

/** Bytes in which the decoder looks for `<svg`, and more. */
const SVG_BYTES = 4096;

/** @throws {MillraceError} `MILL_IMAGE_INVALID` */
export function checkFormat(bytes: Uint8Array, svg: boolean): void {
  if (bytes.length === 0) throw invalidImage("it is empty (0 bytes). Write the file again, or leave it out.");
  const looksLikeSvg = /<svg/i.test(Buffer.from(bytes.subarray(0, SVG_BYTES)).toString("latin1")) && isText(bytes);
  if (looksLikeSvg) {
    if (svg) return;
    throw invalidImage(
      "it is SVG, which is not read: it can keep a thread busy for minutes. Convert it, or set svg if you trust its source.",
    );
  }
  if (Object.values(FORMATS).some((starts) => starts(bytes))) return;
  throw invalidImage(
    `it is no image: its first bytes are of none of ${Object.keys(FORMATS).join(", ")}. Convert it, or leave it out.`,
  );
}

/** As the decoder decides: the first bytes are all ASCII. */
function isText(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 24).every((byte) => byte >= 0x09 && byte < 0x80);
}
