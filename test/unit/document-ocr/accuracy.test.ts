import assert from "node:assert/strict";
import { characterErrors, editDistance, measure, rate } from "../../../examples/document-ocr/accuracy.js";

describe("document-ocr/accuracy: character error rate", () => {
  it("counts inserted, deleted and replaced characters, one each", () => {
    assert.equal(editDistance("kitten", "sitting"), 3);
    assert.equal(editDistance("", "abc"), 3);
    assert.equal(editDistance("abc", ""), 3);
    assert.equal(editDistance("same", "same"), 0);
    assert.equal(editDistance("a\u{1F600}c", "ac"), 1);
  });

  it("counts a lost space with spaces, and not without", () => {
    assert.deepEqual(characterErrors("NetTotal 5", "Net Total 5", "count"), { edits: 1, characters: 11 });
    assert.deepEqual(characterErrors("NetTotal 5", "Net Total 5", "remove"), { edits: 0, characters: 9 });
  });

  it("takes line ends and runs of spaces as one space, and full-width forms as plain ones", () => {
    assert.equal(characterErrors("a  b\nc", "a b c", "count").edits, 0);
    assert.equal(characterErrors("5，0", "5,0", "count").edits, 0);
  });

  it("counts case and order", () => {
    assert.equal(characterErrors("Ab", "ab", "count").edits, 1);
    assert.ok(characterErrors("two\none", "one\ntwo", "count").edits > 0);
  });

  it("weighs pages by their characters, by condition, and a missing page as read empty", () => {
    const page = (file: string, condition: "clean" | "noisy", text: string) => ({
      file,
      kind: "letter",
      condition,
      lines: [text],
    });
    const truth = [page("a", "clean", "abcdefgh"), page("b", "clean", "xy"), page("c", "noisy", "abcd")];
    const { clean, noisy, pages } = measure(
      truth,
      new Map([
        ["a", "abcdefgh"],
        ["b", "xz"],
      ]),
    );
    assert.deepEqual(clean, { spaced: 0.1, unspaced: 0.1, pages: 2 });
    assert.deepEqual(noisy, { spaced: 1, unspaced: 1, pages: 1 });
    assert.deepEqual(
      pages.map((one) => one.spaced.edits),
      [0, 1, 4],
    );
  });

  it("has a rate for an empty truth", () => {
    assert.equal(rate({ edits: 0, characters: 0 }), 0);
    assert.equal(rate({ edits: 3, characters: 0 }), 1);
  });
});
