/**
 * The body of a record batch message: the buffers of its columns, and the words that its metadata says about them.
 *
 * What apache-arrow's assembler does, for the types that are sent, without its visitors and an object for each buffer.
 */
import type { Data } from "apache-arrow";
import { truncateBitmap } from "apache-arrow/util/bit";
import { layoutOf } from "./arrow-types.js";

const PADDING = new Uint8Array(8);
const NOTHING = new Uint8Array(0);

type Offsets = Int32Array | BigInt64Array;

export class BatchBody {
  /** Of each field, depth first: its length and its nulls. */
  readonly nodes: number[] = [];
  /** Of each buffer: where it begins in the body, and its bytes, padded. */
  readonly buffers: number[] = [];
  /** Views of the batch's own buffers, and padding between them. */
  readonly pieces: Uint8Array[] = [];
  bytes = 0;

  /** @returns whether all its types are sent */
  add(data: Data): boolean {
    const { length } = data;
    const layout = layoutOf(data.type);
    if (layout === undefined) return false;
    const nulls = data.nullCount;
    this.nodes.push(length, nulls);
    if (layout === "null") return true;
    this.#buffer(nulls > 0 ? truncateBitmap(data.offset, length, data.nullBitmap) : NOTHING);
    switch (layout) {
      case "bool":
        this.#buffer(bitsOf(data, nulls));
        return true;
      case "fixed":
        this.#buffer((data.values as Uint8Array).subarray(0, length * data.stride));
        return true;
      case "variable": {
        const [from, to] = this.#offsets(data);
        this.#buffer((data.values as Uint8Array).subarray(from, to));
        return true;
      }
      case "list": {
        const [from, to] = this.#offsets(data);
        const child = data.children[0]!;
        return this.add(from === 0 && to === child.length ? child : child.slice(from, to - from));
      }
      case "nested":
        return data.children.every((child) => this.add(child));
    }
  }

  /** Adds the offsets, from 0 on. @returns the part of values or child that they show */
  #offsets({ valueOffsets, length }: Data): [number, number] {
    const from = Number(valueOffsets[0]);
    this.#buffer(from === 0 ? valueOffsets.subarray(0, length + 1) : rebased(valueOffsets, length));
    return [from, Number(valueOffsets[length])];
  }

  #buffer(values: {
    readonly buffer: ArrayBufferLike;
    readonly byteOffset: number;
    readonly byteLength: number;
  }): void {
    const { byteLength } = values;
    const padding = -byteLength & 7;
    this.buffers.push(this.bytes, byteLength + padding);
    if (byteLength === 0) return;
    this.bytes += byteLength + padding;
    const plain = values instanceof Uint8Array;
    this.pieces.push(plain ? values : new Uint8Array(values.buffer, values.byteOffset, byteLength));
    if (padding > 0) this.pieces.push(PADDING.subarray(0, padding));
  }
}

function bitsOf({ offset, length, values }: Data, nulls: number): Uint8Array {
  return nulls >= length ? new Uint8Array((length + 7) >> 3) : truncateBitmap(offset, length, values as Uint8Array);
}

function rebased(offsets: Offsets, length: number): Offsets {
  const own = offsets.slice(0, length + 1);
  if (own instanceof BigInt64Array) {
    const first = own[0]!;
    for (let i = 0; i <= length; i++) own[i]! -= first;
  } else {
    const first = own[0]!;
    for (let i = 0; i <= length; i++) own[i]! -= first;
  }
  return own;
}
