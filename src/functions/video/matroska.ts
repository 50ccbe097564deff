/**
 * Frames out of Matroska as ffmpeg writes it into a pipe: the one container that carries a time with each frame, needs no seeking, and
 * whose frames are neither doubled nor dropped to fit a rate, whatever the version of ffmpeg. Only what ffmpeg writes is read.
 *
 * RFC 8794 (EBML), RFC 9559 (Matroska).
 */
import { MillraceError } from "../../base/errors.js";

export interface MatroskaFrame {
  readonly timestampMs: number;
  /** A view of what was parsed. */
  readonly data: Uint8Array;
}

export interface MatroskaVideo {
  readonly width: number;
  readonly height: number;
  readonly frames: readonly MatroskaFrame[];
}

const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const VIDEO = 0xe0;
const WIDTH = 0xb0;
const HEIGHT = 0xba;
const CLUSTER = 0x1f43b675;
const CLUSTER_TIME = 0xe7;
const BLOCK_GROUP = 0xa0;
const BLOCK = 0xa1;
const SIMPLE_BLOCK = 0xa3;
/** Elements that hold others; the rest is skipped, or read as a value. */
const NESTED: ReadonlySet<number> = new Set([SEGMENT, TRACKS, TRACK_ENTRY, VIDEO, CLUSTER, BLOCK_GROUP]);

/** Times are in milliseconds, which is what ffmpeg's muxer uses. */
export function parseMatroska(bytes: Uint8Array): MatroskaVideo {
  let width = 0;
  let height = 0;
  let clusterMs = 0;
  const frames: MatroskaFrame[] = [];
  let at = 0;
  while (at < bytes.length) {
    const id = variableInt(bytes, at, true);
    const size = variableInt(bytes, at + id.length, false);
    at += id.length + size.length;
    if (NESTED.has(id.value)) continue; // what it holds comes next
    const end = at + size.value;
    if (end > bytes.length) throw broken("it ends in the middle of an element");
    const body = bytes.subarray(at, end);
    if (id.value === WIDTH) width = unsigned(body);
    else if (id.value === HEIGHT) height = unsigned(body);
    else if (id.value === CLUSTER_TIME) clusterMs = unsigned(body);
    else if (id.value === BLOCK || id.value === SIMPLE_BLOCK) frames.push(frameOf(body, clusterMs));
    at = end;
  }
  return { width, height, frames };
}

/** Track number, time relative to the cluster's, flags, one frame. */
function frameOf(block: Uint8Array, clusterMs: number): MatroskaFrame {
  const { length } = variableInt(block, 0, false);
  if (block.length < length + 3) throw broken("a block is too short");
  const relative = ((block[length]! << 24) >> 16) | block[length + 1]!;
  return { timestampMs: clusterMs + relative, data: block.subarray(length + 3) };
}

/** @param whole with the bits that say how long it is, as ids are written */
function variableInt(
  bytes: Uint8Array,
  at: number,
  whole: boolean,
): { readonly value: number; readonly length: number } {
  const first = bytes[at] ?? 0;
  const length = Math.clz32(first) - 23;
  if (length > 8 || at + length > bytes.length) throw broken("an element has no id or no size");
  let value = whole ? first : first & (0xff >> length);
  for (let i = 1; i < length; i++) value = value * 256 + bytes[at + i]!;
  return { value, length };
}

function unsigned(body: Uint8Array): number {
  return body.reduce((value, byte) => value * 256 + byte, 0);
}

function broken(what: string): MillraceError {
  return new MillraceError(
    "MILL_MEDIA_INVALID",
    `what ffmpeg wrote cannot be read: ${what}. Check the video with ffprobe.`,
  );
}
