/** Batches and other large pieces inside a snapshot: laid one behind the other in the frame's payload, and named by their number. */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { decodeBatch, encodeBatch } from "../wire/arrow.js";
import { packHashes, unpackHashes } from "../wire/content-hashes.js";
import { type OwnedIn, refersToNothing } from "./owned-content.js";

export class BlobWriter {
  readonly pieces: Uint8Array[] = [];
  readonly lengths: bigint[] = [];
  /** Owned content that anything in the snapshot refers to. */
  readonly contents = new Set<string>();

  constructor(private readonly ownedIn: OwnedIn = refersToNothing) {}

  /** @returns its number */
  add(batch: RecordBatch): number {
    for (const hash of this.ownedIn(batch)) this.contents.add(hash);
    return this.#add(encodeBatch(batch));
  }

  /** @returns its number */
  addBytes(bytes: Uint8Array): number {
    return this.#add([bytes]);
  }

  /** A list of owned content. @returns its number; -1: it is empty */
  addContents(contents: Iterable<string>): number {
    const all = [...contents];
    for (const hash of all) this.contents.add(hash);
    return all.length === 0 ? -1 : this.addBytes(packHashes(all));
  }

  #add(pieces: readonly Uint8Array[]): number {
    for (const piece of pieces) this.pieces.push(piece);
    this.lengths.push(BigInt(pieces.reduce((sum, piece) => sum + piece.length, 0)));
    return this.lengths.length - 1;
  }
}

export class BlobReader {
  #starts: number[] = [];

  constructor(
    lengths: readonly bigint[],
    private readonly payload: Uint8Array,
  ) {
    let start = 0;
    for (const length of lengths) {
      this.#starts.push(start);
      start += Number(length);
    }
    this.#starts.push(start);
    if (start !== payload.length) {
      throw new MillraceError(
        "MILL_STORE_CORRUPT",
        `a snapshot names ${start} bytes of batches, and holds ${payload.length}.`,
      );
    }
  }

  /** The batch is a view of the snapshot. */
  get(blob: number, schema: Schema): RecordBatch {
    return decodeBatch(schema, this.bytes(blob));
  }

  /** What `addContents` was given. */
  contents(blob: number): string[] {
    return blob < 0 ? [] : unpackHashes(this.bytes(blob));
  }

  /** A view of the snapshot. */
  bytes(blob: number): Uint8Array {
    const [start, end] = [this.#starts[blob], this.#starts[blob + 1]];
    if (start === undefined || end === undefined) {
      throw new MillraceError("MILL_STORE_CORRUPT", `a snapshot names blob ${blob}, which it does not have.`);
    }
    return this.payload.subarray(start, end);
  }
}
