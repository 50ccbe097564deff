import assert from "node:assert/strict";
import { TextPieces } from "../../../src/connectors/text-pieces.js";

const BYTES = 100;

function taken(text: TextPieces): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let piece = text.take(); piece !== undefined; piece = text.take()) pieces.push(piece);
  return pieces;
}

describe("connectors/text-pieces: text as bytes", () => {
  it("is the text's UTF-8 whatever it is cut into, and no piece is larger than it may be", () => {
    for (const part of ["a", "é", "日", "😀", "x😀é", "y".repeat(250)]) {
      const text = new TextPieces(BYTES);
      const pieces: Uint8Array[] = [];
      for (let i = 0; i < 99; i++) {
        text.add(part);
        pieces.push(...taken(text));
      }
      assert.ok(pieces.every(({ length }) => length <= BYTES && length > BYTES - 4));
      assert.equal(Buffer.concat([...pieces, text.rest()]).toString("utf8"), part.repeat(99));
    }
  });

  it("fills a piece again once it is given back, and none that is not", () => {
    const text = new TextPieces(BYTES);
    text.add("a".repeat(BYTES + 1));
    const [first] = taken(text);
    text.add("b".repeat(BYTES));
    const [second] = taken(text);
    assert.notEqual(second!.buffer, first!.buffer);
    text.giveBack(first!);
    text.add("c".repeat(BYTES));
    taken(text);
    text.add("d".repeat(BYTES));
    assert.equal(taken(text)[0]!.buffer, first!.buffer);
    assert.equal(Buffer.from(second!).toString(), `a${"b".repeat(BYTES - 1)}`);
  });

  it("gives what was not taken with the rest", () => {
    const text = new TextPieces(BYTES);
    text.add("a".repeat(2 * BYTES + 1));
    assert.equal(text.rest().length, 2 * BYTES + 1);
  });
});
