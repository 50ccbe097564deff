/** Damaged sounds and videos, made by a seed from good ones: the same on every machine that has the same good ones. */
import { seeded } from "./images/mutations.js";

export interface Mutant {
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** It may change `bytes`, which are a copy. */
type Mutate = (bytes: Uint8Array, below: (end: number) => number, other: Uint8Array) => Uint8Array;

/** Containers begin with the numbers that lead to the rest. */
const HEADER_BYTES = 256;

const MUTATIONS: Readonly<Record<string, Mutate>> = {
  "bit flips": (bytes, below) => flipped(bytes, below, bytes.length, 1 + below(200)),
  "bit flips in the header": (bytes, below) =>
    flipped(bytes, below, Math.min(HEADER_BYTES, bytes.length), 1 + below(8)),
  "a number that is very large": (bytes, below) => {
    const at = below(Math.min(HEADER_BYTES, bytes.length - 4));
    return bytes.fill(0xff, at, at + 4);
  },
  "a number that is nothing": (bytes, below) => {
    const at = below(Math.min(HEADER_BYTES, bytes.length - 4));
    return bytes.fill(0, at, at + 4);
  },
  truncation: (bytes, below) => bytes.slice(0, below(bytes.length)),
  "no begin": (bytes, below) => bytes.slice(1 + below(bytes.length - 1)),
  "a part many times": (bytes, below) => {
    const from = below(bytes.length);
    const part = bytes.subarray(from, from + 1 + below(2_000));
    return Buffer.concat([bytes.subarray(0, from), ...Array<Uint8Array>(50).fill(part), bytes.subarray(from)]);
  },
  "another format's begin": (bytes, below, other) =>
    Buffer.concat([other.subarray(0, 8 + below(200)), bytes.subarray(16)]),
  "noise behind the header": (bytes, below) => bytes.map((byte, i) => (i < HEADER_BYTES ? byte : below(256))),
  "a hole": (bytes, below) => {
    const from = below(bytes.length);
    return bytes.fill(0, from, from + 1 + below(bytes.length / 2));
  },
};

function flipped(bytes: Uint8Array, below: (end: number) => number, end: number, count: number): Uint8Array {
  for (let i = 0; i < count; i++) bytes[below(end)]! ^= 1 << below(8);
  return bytes;
}

/** @param good by format @returns `count` damaged ones: of each format, each mutation in turn */
export function mediaMutants(good: Readonly<Record<string, Uint8Array>>, count: number, seed: number): Mutant[] {
  const random = seeded(seed);
  const below = (end: number) => Math.floor(random() * end);
  const formats = Object.entries(good);
  const kinds = Object.entries(MUTATIONS);
  return Array.from({ length: count }, (_, i) => {
    const [format, bytes] = formats[i % formats.length]!;
    const [kind, mutate] = kinds[Math.floor(i / formats.length) % kinds.length]!;
    const other = formats[below(formats.length)]![1];
    return { what: `${i}: ${kind} of ${format}`, bytes: mutate(Uint8Array.from(bytes), below, other) };
  });
}
