/**
 * One file of a sink while it is being filled. What an encoder gives before the file's end goes to the staged name at once, piece by
 * piece; a file that is smaller than a piece is put whole, at its end.
 *
 * Invariants:
 *   G1  Who asks for `room` before it adds finds fewer than `limits.sinkPiecesHeldMax` pieces that wait to be written: those and the pieces
 *       of one batch are held.
 *   G2  A file whose pieces could not be written takes nothing more: `add` and `staged` fail with what had happened.
 *   G3  Nothing is left of a file that is dropped.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import type { OutputFolder } from "../topology/endpoints.js";

/** Takes the batches of one file as they come. What is kept until `finish` is the format's choice. */
export interface FileEncoder {
  add(batch: RecordBatch): void;
  /** A piece that is complete, with all before it taken; undefined: none is. Formats without it keep everything until `finish`. */
  take?(): Uint8Array | undefined;
  /** A piece that has been written may be filled again. */
  giveBack?(piece: Uint8Array): void;
  /** The rest of the file, after the pieces that were taken; called once, after the last `add`. */
  finish(): Uint8Array;
}

export class GrowingFile {
  #pieces: Uint8Array[] = [];
  /** The put of the pieces, once there is one; it does not reject. */
  #putting: Promise<void> | undefined;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #dropped = new AbortController();
  #wakeWriter = () => {};
  #waiting: (() => void)[] = [];

  /** @param name where its pieces are staged, if it is put in pieces */
  constructor(
    private readonly output: OutputFolder,
    private readonly encoder: FileEncoder,
    private readonly name: string,
  ) {}

  add(batch: RecordBatch): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.encoder.add(batch);
    for (let piece = this.encoder.take?.(); piece !== undefined; piece = this.encoder.take?.())
      this.#pieces.push(piece);
    if (this.#pieces.length === 0) return;
    this.#putting ??= this.output.put(this.name, this.#written(), this.#dropped.signal).catch((error: unknown) => {
      this.#failure = { error };
      this.#wake();
    });
    this.#wakeWriter();
  }

  /** G1 */
  room(): Promise<void> | undefined {
    const isFull = this.#failure === undefined && this.#pieces.length >= limits.sinkPiecesHeldMax;
    return isFull ? new Promise((resolve) => this.#waiting.push(resolve)) : undefined;
  }

  /** All of it is staged, under the name that is returned. @param whole the name of a file that is put at its end */
  async staged(whole: string): Promise<string> {
    const { output, encoder } = this;
    if (this.#putting === undefined) {
      await output.put(whole, encoder.finish());
      return whole;
    }
    const rest = encoder.finish();
    if (rest.length > 0) this.#pieces.push(rest);
    this.#ended = true;
    this.#wakeWriter();
    await this.#putting;
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.name;
  }

  /** G3 */
  async drop(): Promise<void> {
    this.#dropped.abort();
    await this.#putting;
  }

  async *#written(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#pieces[0];
      if (piece === undefined) {
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wakeWriter = resolve;
        });
        continue;
      }
      yield piece;
      this.#pieces.shift();
      this.encoder.giveBack?.(piece);
      this.#wake();
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
