/** Damaged images, made by a seed from good ones: the same on every machine. */
import { crc32 } from "node:zlib";
import { encoded, FORMATS, type Format, picture } from "./pictures.js";

/** Uniform in [0, 1). Source: mulberry32, Tommy Ettinger, public domain. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Mutate = (bytes: Uint8Array, random: () => number, others: readonly Uint8Array[]) => Uint8Array;

const whole = (random: () => number, below: number) => Math.floor(random() * below);

const MUTATIONS: Readonly<Record<string, Mutate>> = {
  "bit flips": (bytes, random) => {
    const flipped = bytes.slice();
    for (let i = 0; i < 1 + whole(random, 20); i++) flipped[whole(random, bytes.length)]! ^= 1 << whole(random, 8);
    return flipped;
  },
  "bit flips in the header": (bytes, random) => {
    const flipped = bytes.slice();
    for (let i = 0; i < 1 + whole(random, 6); i++)
      flipped[whole(random, Math.min(64, bytes.length))]! ^= 1 << whole(random, 8);
    return flipped;
  },
  truncation: (bytes, random) => bytes.slice(0, whole(random, bytes.length)),
  "swapped chunks": (bytes, random) => {
    const size = 1 + whole(random, bytes.length / 4);
    const [a, b] = [whole(random, bytes.length - 2 * size), 0].sort((x, y) => x - y) as [number, number];
    const from = Math.max(a, b);
    const to = from + size;
    return Buffer.concat([
      bytes.subarray(0, from),
      bytes.subarray(to, to + size),
      bytes.subarray(from, to),
      bytes.subarray(to + size),
    ]);
  },
  "a part many times": (bytes, random) => {
    const from = whole(random, bytes.length);
    const part = bytes.subarray(from, from + 1 + whole(random, 200));
    return Buffer.concat([bytes.subarray(0, from), ...Array(50).fill(part), bytes.subarray(from)]);
  },
  "another format's beginning": (bytes, random, others) => {
    const other = others[whole(random, others.length)]!;
    return Buffer.concat([other.subarray(0, 8 + whole(random, 40)), bytes.subarray(16)]);
  },
  noise: (bytes, random) => bytes.map((byte, i) => (i < 24 ? byte : whole(random, 256))),
  "a header that lies": (bytes, random) => lying(bytes, 1 + whole(random, 2 ** (1 + whole(random, 31)) - 1)),
};

/** Says that the image is as wide as it is not; where a checksum is over it, one that fits. */
function lying(bytes: Uint8Array, width: number): Uint8Array {
  const lie = Buffer.from(bytes);
  if (lie.readUInt32BE(0) === 0x89504e47) {
    lie.writeUInt32BE(width >>> 0, 16);
    lie.writeUInt32BE(width >>> 0, 20);
    lie.writeUInt32BE(crc32(lie.subarray(12, 29)), 29);
  } else if (lie.readUInt16BE(0) === 0xffd8) {
    const frame = lie.indexOf(Buffer.from([0xff, 0xc0]));
    if (frame > 0) lie.writeUInt16BE(width & 0xffff, frame + 7);
  } else {
    lie.writeUInt16LE(width & 0xffff, Math.min(6, lie.length - 2)); // GIF; of others, some number near the start
  }
  return lie;
}

export interface Mutant {
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** @returns `count` damaged images: of each format, each mutation in turn */
export async function mutants(count: number, seed: number): Promise<Mutant[]> {
  const random = seeded(seed);
  const good = new Map<Format, Uint8Array>();
  for (const format of FORMATS) good.set(format, await encoded(format, picture(80, 60)));
  const others = [...good.values()];
  const kinds = Object.entries(MUTATIONS);
  return Array.from({ length: count }, (_, i) => {
    const format = FORMATS[i % FORMATS.length]!;
    const [kind, mutate] = kinds[Math.floor(i / FORMATS.length) % kinds.length]!;
    return { what: `${i}: ${kind} of ${format}`, bytes: mutate(good.get(format)!, random, others) };
  });
}
