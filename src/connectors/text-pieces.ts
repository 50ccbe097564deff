/**
 * Text as UTF-8 in pieces of one size. A piece grows with its first text, so a little of it takes little memory, and is filled again
 * once it is given back: a new one costs more than writing into it, because the system has to make its pages.
 */
const FIRST_BYTES = 16 * 1024;
const encoder = new TextEncoder();

export class TextPieces {
  /** Where text goes, and how much of it is text. */
  #filling: Uint8Array = new Uint8Array();
  #filled = 0;
  #full: Uint8Array[] = [];
  #spare: Uint8Array[] = [];

  constructor(private readonly pieceBytes: number) {}

  add(text: string): void {
    for (let at = 0; at < text.length; ) {
      const { read, written } = encoder.encodeInto(
        at === 0 ? text : text.slice(at),
        this.#filling.subarray(this.#filled),
      );
      at += read;
      this.#filled += written;
      if (at < text.length) this.#makeRoom();
    }
  }

  /** A piece that no more text fits into. */
  take(): Uint8Array | undefined {
    return this.#full.shift();
  }

  /** Only what was taken. */
  giveBack(piece: Uint8Array): void {
    // One is enough: the text that fills it takes longer than it takes to write another.
    if (this.#spare.length === 0) this.#spare.push(new Uint8Array(piece.buffer));
  }

  /** What was not taken; it is not filled again. */
  rest(): Uint8Array {
    const rest = this.#filling.subarray(0, this.#filled);
    return this.#full.length === 0 ? rest : Buffer.concat([...this.#full.splice(0), rest]);
  }

  /** Less than a character's bytes may be left in a piece that is full. */
  #makeRoom(): void {
    const bytes = Math.min(Math.max(this.#filling.length * 2, FIRST_BYTES), this.pieceBytes);
    if (this.#filling.length < bytes) {
      const larger = new Uint8Array(bytes);
      larger.set(this.#filling.subarray(0, this.#filled));
      this.#filling = larger;
      return;
    }
    this.#full.push(this.#filling.subarray(0, this.#filled));
    this.#filling = this.#spare.pop() ?? new Uint8Array(this.pieceBytes);
    this.#filled = 0;
  }
}
