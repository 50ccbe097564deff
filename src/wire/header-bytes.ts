/**
 * Reads and writes the values of Avro's binary encoding, one after another: what the code of `header-codec.ts` calls.
 *
 * Invariants: K1 to K3 of `skim.ts` hold here, too, except that what was read before something broken is thrown away with it: its size is
 * bounded by the bytes there are.
 */
import { isUtf8 } from "node:buffer";
import { Cursor, Malformed } from "./skim.js";

/** Texts up to that many characters are looked through here: a call into the engine costs more. */
const SHORT = 63;
/** Longs below are handled as numbers, which are exact for twice that. */
const EXACT = 2 ** 51;

export class HeaderReader extends Cursor {
  declare readonly bytes: Buffer;

  string(): string {
    const length = this.long();
    const at = this.take(length);
    if (length === 0) return "";
    const { bytes } = this;
    if (length <= SHORT && isAscii(bytes, at, at + length)) return bytes.toString("latin1", at, at + length);
    if (!isUtf8(bytes.subarray(at, at + length))) throw new Malformed(`a string that is not UTF-8 at byte ${at}`);
    return bytes.toString("utf8", at, at + length);
  }

  boolean(): boolean {
    const at = this.take(1);
    const byte = this.bytes[at]!;
    if (byte > 1) throw new Malformed(`a boolean of ${byte} at byte ${at}`);
    return byte === 1;
  }

  int(): number {
    const at = this.position;
    const value = this.long();
    if (value < -(2 ** 31) || value >= 2 ** 31) throw new Malformed(`an int of more than 32 bits at byte ${at}`);
    return value;
  }

  bigint(): bigint {
    const at = this.position;
    const value = this.long();
    return value > -EXACT && value < EXACT ? BigInt(value) : exact(this.bytes, at, this.position);
  }

  float(): number {
    return this.bytes.readFloatLE(this.take(4));
  }

  double(): number {
    return this.bytes.readDoubleLE(this.take(8));
  }

  /** A copy: whoever keeps it should not keep the frame. */
  fixed(length: number): Buffer {
    const at = this.take(length);
    const own = Buffer.allocUnsafe(length);
    this.bytes.copy(own, 0, at, at + length);
    return own;
  }

  blob(): Buffer {
    return this.fixed(this.long());
  }

  /** Number of one of `count` branches or symbols. */
  index(count: number, what: string): number {
    const at = this.position;
    const value = this.long();
    if (value < 0 || value >= count) throw new Malformed(`${what} ${value} of ${count} at byte ${at}`);
    return value;
  }

  array<T>(item: (reader: HeaderReader) => T): T[] {
    const items: T[] = [];
    for (let count = this.#block(); count > 0; count = this.#block()) while (count-- > 0) items.push(item(this));
    return items;
  }

  map<T>(item: (reader: HeaderReader) => T): Record<string, T> {
    const entries: [string, T][] = [];
    for (let count = this.#block(); count > 0; count = this.#block()) {
      while (count-- > 0) entries.push([this.string(), item(this)]);
    }
    return Object.fromEntries(entries);
  }

  /** @returns how many items the next block has; 0: there is none */
  #block(): number {
    const at = this.position;
    let count = this.long();
    if (count < 0) {
      count = -count;
      this.long(); // the size of the block in bytes, for readers that skip it whole
    }
    if (count > this.end - this.position) throw new Malformed(`a block of ${count} items at byte ${at}`);
    return count;
  }
}

/** A value does not fit the schema; which one is found by whoever catches it. */
export class Misfit extends Error {}

/** It would have at least so many bytes. */
export class TooLong extends Error {
  constructor(readonly bytes: number) {
    super();
  }
}

/** Bytes of one header after another; what it gives is copied out before the next begins. */
export class HeaderWriter {
  #bytes = Buffer.allocUnsafeSlow(16 * 1024);
  #at = 0;

  /** @param bytesMax of one header with its prefix */
  constructor(private readonly bytesMax: number) {}

  /** Starts again. */
  begin(prefix: Uint8Array): void {
    this.#at = 0;
    this.raw(prefix);
  }

  get length(): number {
    return this.#at;
  }

  copyTo(target: Uint8Array): void {
    this.#bytes.copy(target, 0, 0, this.#at);
  }

  string(value: unknown): void {
    if (typeof value !== "string") throw new Misfit();
    if (value.length <= SHORT && this.#ascii(value)) return;
    const bytes = Buffer.byteLength(value);
    this.size(bytes);
    const at = this.#room(bytes);
    this.#at = at + this.#bytes.write(value, at, "utf8");
  }

  #ascii(text: string): boolean {
    const { length } = text;
    const at = this.#room(1 + length);
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) return false;
      bytes[at + 1 + i] = code;
    }
    bytes[at] = 2 * length;
    this.#at = at + 1 + length;
    return true;
  }

  boolean(value: unknown): void {
    if (typeof value !== "boolean") throw new Misfit();
    const at = this.#room(1);
    this.#bytes[at] = value ? 1 : 0;
    this.#at = at + 1;
  }

  int(value: unknown): void {
    if (typeof value !== "number" || (value | 0) !== value) throw new Misfit();
    this.size(value);
  }

  bigint(value: unknown): void {
    if (typeof value !== "bigint") throw new Misfit();
    const number = Number(value);
    if (number > -EXACT && number < EXACT) {
      this.size(number);
      return;
    }
    if (BigInt.asIntN(64, value) !== value) throw new Misfit();
    let at = this.#room(10);
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    for (; rest >= 0x80n; rest >>= 7n) this.#bytes[at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[at] = Number(rest);
    this.#at = at + 1;
  }

  /** A whole number of at most 51 bits. */
  size(value: number): void {
    let at = this.#room(10);
    const bytes = this.#bytes;
    let rest = value < 0 ? -2 * value - 1 : 2 * value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80;
    bytes[at] = rest;
    this.#at = at + 1;
  }

  float(value: unknown): void {
    if (typeof value !== "number") throw new Misfit();
    const at = this.#room(4);
    this.#at = this.#bytes.writeFloatLE(value, at);
  }

  double(value: unknown): void {
    if (typeof value !== "number") throw new Misfit();
    const at = this.#room(8);
    this.#at = this.#bytes.writeDoubleLE(value, at);
  }

  fixed(value: unknown, length: number): void {
    if (!(value instanceof Uint8Array) || value.length !== length) throw new Misfit();
    this.raw(value);
  }

  blob(value: unknown): void {
    if (!(value instanceof Uint8Array)) throw new Misfit();
    this.size(value.length);
    this.raw(value);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    this.#at = at + bytes.length;
  }

  symbol(value: unknown, numbers: ReadonlyMap<unknown, number>): void {
    const number = numbers.get(value);
    if (number === undefined) throw new Misfit();
    this.size(number);
  }

  array(value: unknown, item: (writer: HeaderWriter, value: unknown) => void): void {
    if (!Array.isArray(value)) throw new Misfit();
    if (value.length > 0) {
      this.size(value.length);
      for (const one of value) item(this, one);
    }
    this.size(0);
  }

  map(value: unknown, item: (writer: HeaderWriter, value: unknown) => void): void {
    const entries = Object.entries(this.record(value));
    if (entries.length > 0) {
      this.size(entries.length);
      for (const [key, one] of entries) {
        this.string(key);
        item(this, one);
      }
    }
    this.size(0);
  }

  record(value: unknown): Record<string, unknown> {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Misfit();
    return value as Record<string, unknown>;
  }

  /** @returns where the next byte goes; behind it there is room for so many */
  #room(bytes: number): number {
    if (this.#at + bytes > this.#bytes.length) {
      if (this.#at + bytes > this.bytesMax) throw new TooLong(this.#at + bytes);
      const larger = Buffer.allocUnsafeSlow(2 * (this.#at + bytes));
      this.copyTo(larger);
      this.#bytes = larger;
    }
    return this.#at;
  }
}

function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i]! >= 0x80) return false;
  return true;
}

/** Of a zigzag number that a double cannot hold. */
function exact(bytes: Uint8Array, from: number, to: number): bigint {
  let value = 0n;
  for (let i = to - 1; i >= from; i--) value = (value << 7n) | BigInt(bytes[i]! & 0x7f);
  return (value >> 1n) ^ -(value & 1n);
}
