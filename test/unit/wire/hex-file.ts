/** Frames as commented hex: `#` lines say what the bytes below them are. Read by people, by tests and by `read_frames.py`. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import type { Type } from "avsc";
import { packageSchemas, SchemaRegistry } from "../../../src/wire/schema-registry.js";
import { Cursor, skim } from "../../../src/wire/skim.js";

export const packageRoot = dirname(packageSchemas());
export const framesFolder = join(packageRoot, "test", "golden", "frames");
export const schemas = SchemaRegistry.load(packageSchemas());

const BYTES_PER_LINE = 16;
const ARROW_CONTINUATION = 0xffffffff;

export function readHex(path: string): Uint8Array {
  const lines = readFileSync(path, "utf8").split("\n");
  return Buffer.from(
    lines
      .filter((line) => !line.startsWith("#"))
      .join("")
      .replace(/\s/g, ""),
    "hex",
  );
}

/** `bytes` with a comment in front of each part of the frame. */
export function annotate(title: string, bytes: Uint8Array, header: Readonly<Record<string, unknown>>): string {
  const version = schemas.byFingerprint(Buffer.from(bytes).readBigUInt64LE(2))!;
  const lines = [`# ${title}`, "# marker of the single-object encoding", ...hex(bytes, 0, 2)];
  lines.push(`# fingerprint of the schema of "${version.kind}"`, ...hex(bytes, 2, 10));
  const cursor = new Cursor(bytes, 10, bytes.length);
  for (const { name, type } of (version.header as Type & { fields: { name: string; type: Type }[] }).fields) {
    const start = cursor.position;
    skim(type)(cursor);
    lines.push(`# ${name}${shown(header[name])}`, ...hex(bytes, start, cursor.position));
  }
  if (version.hasPayload) lines.push(...payloadLines(bytes, cursor));
  return `${lines.join("\n")}\n`;
}

function payloadLines(bytes: Uint8Array, cursor: Cursor): string[] {
  const start = cursor.position;
  const length = cursor.long();
  const lines = [`# payload: its length, ${length} bytes`, ...hex(bytes, start, cursor.position)];
  if (length === 0) return lines;
  const message = cursor.position;
  if (Buffer.from(bytes).readUInt32LE(message) !== ARROW_CONTINUATION) {
    return [...lines, "# payload: frames, one behind the other", ...hex(bytes, message, bytes.length)];
  }
  const body = message + 8 + Buffer.from(bytes).readInt32LE(message + 4);
  lines.push("# payload: continuation marker and size of the Arrow metadata", ...hex(bytes, message, message + 8));
  lines.push("# payload: Arrow metadata (flatbuffer)", ...hex(bytes, message + 8, body));
  lines.push("# payload: Arrow body, the buffers of the columns", ...hex(bytes, body, bytes.length));
  return lines;
}

function shown(value: unknown): string {
  if (value instanceof Uint8Array || (typeof value === "object" && value !== null)) return "";
  return `: ${typeof value === "string" ? JSON.stringify(value) : value}`;
}

function hex(bytes: Uint8Array, from: number, to: number): string[] {
  const lines: string[] = [];
  for (let at = from; at < to; at += BYTES_PER_LINE) {
    const line = bytes.subarray(at, Math.min(at + BYTES_PER_LINE, to));
    lines.push(Buffer.from(line).toString("hex").match(/../g)!.join(" "));
  }
  return lines;
}
