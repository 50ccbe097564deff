import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type ChunkBy, chunkTextFunction, countTokensFunction } from "../../../../src/functions/text/chunk-text.js";
import { t } from "../../../../src/types/columns.js";
import { applyTo, contextOf } from "../functions-support.js";
import { MediaFolder } from "../programs.js";
import { tinyTokenizer } from "./tiny-tokenizer.js";

const columns = { text: t.utf8 };
const tokenizer = tinyTokenizer;

interface More {
  readonly charsMax?: number;
  readonly chunksMax?: number;
}

function apply(text: string, by: ChunkBy, more: More = {}) {
  return applyTo(chunkTextFunction<"text", "text">({ from: "text", into: "text", ...by, ...more }), columns, [
    { text },
  ]);
}

/** The chunks' texts; that they are what their positions say is checked (T1). */
async function chunks(text: string, by: ChunkBy): Promise<string[]> {
  const { rows, refused } = await apply(text, by);
  assert.deepEqual([...refused], []);
  for (const [i, row] of rows.entries()) {
    assert.equal(row.chunkIndex, i);
    assert.equal(row.text, text.slice(row.chunkStart, row.chunkEnd));
  }
  return rows.map((row) => row.text);
}

/** Where a pair is whole, "u" sees the character that it is. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const BY: readonly ChunkBy[] = [
  { by: "characters", size: 100 },
  { by: "sentences", size: 3, sentenceCharsMax: 1_000 },
  { by: "tokens", size: 50, tokenizer },
];

describe("functions/text: chunkText", function () {
  this.timeout(120_000);

  it("characters: chunks of one size, and the overlap is the end of the chunk before", async () => {
    assert.deepEqual(await chunks("abcdefghij", { by: "characters", size: 4 }), ["abcd", "efgh", "ij"]);
    assert.deepEqual(await chunks("abcdefghij", { by: "characters", size: 4, overlap: 2 }), [
      "abcd",
      "cdef",
      "efgh",
      "ghij",
    ]);
  });

  it("characters: a surrogate pair is never cut (T2)", async () => {
    assert.deepEqual(await chunks("a😀😀b", { by: "characters", size: 2 }), ["a", "😀", "😀", "b"]);
    assert.deepEqual(await chunks("😀😀😀", { by: "characters", size: 3, overlap: 1 }), ["😀", "😀", "😀"]);
  });

  it("sentences: as many as asked for, in order, with the space behind them, by the language's rules", async () => {
    const text = "One is here. Two (e.g. this) is there! Is three? Four.";
    const sentences = ["One is here. ", "Two (e.g. this) is there! ", "Is three? ", "Four."];
    assert.deepEqual(await chunks(text, { by: "sentences", size: 1 }), sentences);
    assert.deepEqual(await chunks(text, { by: "sentences", size: 3 }), [sentences.slice(0, 3).join(""), sentences[3]]);
    const two = [0, 1, 2].map((i) => sentences.slice(i, i + 2).join(""));
    assert.deepEqual(await chunks(text, { by: "sentences", size: 2, overlap: 1 }), two);
    assert.deepEqual(await chunks("今日は。元気です。", { by: "sentences", size: 1, locale: "ja" }), [
      "今日は。",
      "元気です。",
    ]);
  });

  it("sentences: a window's end is no sentence's end, and a sentence over the limit is cut", async () => {
    const sentence = `${"Word ".repeat(100)}end. `; // 505 characters: windows of 2,048 end within one
    assert.deepEqual(await chunks(sentence.repeat(20), { by: "sentences", size: 1 }), Array(20).fill(sentence));
    const long = await chunks("a".repeat(2_500), { by: "sentences", size: 1, sentenceCharsMax: 1_000 });
    assert.deepEqual(
      long.map((chunk) => chunk.length),
      [1_000, 1_000, 500],
    );
  });

  it("tokens: at most as many as asked for, nearly as many where words allow, and words stay whole", async () => {
    const text = "the cat".concat(" the cat".repeat(500)); // a token a word
    const found = await chunks(text, { by: "tokens", size: 50, tokenizer });
    assert.equal(found.join(""), text);
    const sizes = found.map((chunk) => chunk.match(/the|cat/g)!.length);
    assert.ok(Math.max(...sizes) <= 51, `${sizes}`); // the first word of a text has no space, and is three tokens
    assert.ok(
      sizes.slice(0, -1).every((size) => size >= 45),
      `${sizes}`,
    );
    assert.ok(found.every((chunk) => /^ ?(the|cat)/.test(chunk) && /(the|cat)$/.test(chunk)));
  });

  it("tokens: the overlap has at most as many as asked for, and is of the chunk before", async () => {
    const text = "the cat".concat(" the cat".repeat(200));
    const { rows } = await apply(text, { by: "tokens", size: 20, overlap: 5, tokenizer });
    for (const [i, row] of rows.slice(1).entries()) {
      const shared = text.slice(row.chunkStart, rows[i]!.chunkEnd);
      const words = shared.match(/the|cat/g)?.length ?? 0;
      assert.ok(words >= 2 && words <= 6, JSON.stringify(shared));
      assert.ok(row.chunkStart > rows[i]!.chunkStart);
    }
    assert.equal(rows.at(-1)!.chunkEnd, text.length);
  });

  it("tokens: a character with more tokens than a chunk may have is a chunk of its own", async () => {
    assert.deepEqual(await chunks("😀😀", { by: "tokens", size: 2, tokenizer }), ["😀", "😀"]);
  });

  it("an empty text has no chunks", async () => {
    for (const by of BY) assert.deepEqual(await chunks("", by), []);
  });

  it("a text over charsMax, or with more than chunksMax chunks, is refused", async () => {
    for (const by of BY) {
      const long = await apply("a. ".repeat(1_000), by, { charsMax: 2_999 });
      assert.equal(long.refused.get(0)?.code, "MILL_TEXT_TOO_LARGE");
      const many = await apply("A b. ".repeat(1_000), by, { chunksMax: 3 });
      assert.equal(many.refused.get(0)?.code, "MILL_TEXT_TOO_LARGE");
      assert.match(many.refused.get(0)!.message, /more than 3 chunks/);
    }
  });

  it("a long text is not carried along by each of many chunks: the message says what to do", async () => {
    const fn = chunkTextFunction({ from: "text", into: "chunk", by: "characters", size: 100 });
    const { refused } = await applyTo(fn, columns, [{ text: "a".repeat(1_000_000) }]);
    assert.equal(refused.get(0)?.code, "MILL_TEXT_TOO_LARGE");
    assert.match(refused.get(0)!.message, /into: "text"/);
  });

  it("settings out of range are refused when the topology is built", () => {
    const wrong = [
      { by: "characters", size: 1 },
      { by: "characters", size: 10, overlap: 10 },
      { by: "sentences", size: 0 },
      { by: "sentences", size: 1, locale: "not a language" },
      { by: "tokens", size: 10, tokenizer: "no-address" },
      { by: "words", size: 10 },
    ] as unknown as ChunkBy[];
    for (const by of wrong) {
      assert.throws(() => chunkTextFunction({ from: "text", into: "text", ...by }), { code: "MILL_CONFIG" }, by.by);
    }
  });

  const MB3 = 3_000_000;
  for (const [name, piece] of Object.entries({
    "one word": "a",
    "zero-width spaces": "\u200b",
    "combining marks": `e${"\u0301".repeat(99)}`,
    "joined emoji": "👩‍👩‍👧‍👦",
    "right to left, with marks of direction": "\u202eשלום\u202c עולם. ",
    "ends of sentences": "1. ",
    "line ends": "\n",
    spaces: " ",
  })) {
    it(`3 MB of ${name}: all of it comes out, whole, in time (T1, T2, T3)`, async () => {
      const text = piece.repeat(Math.ceil(MB3 / piece.length));
      for (const by of [
        { by: "characters", size: 1_000 },
        { by: "sentences", size: 200 },
      ] as const) {
        const found = await chunks(text, by);
        assert.equal(found.join("") === text, true);
        assert.ok(!found.some((chunk) => LONE_SURROGATE.test(chunk)));
      }
    });
  }

  it("tokens: odd text in time, and whole (T2, T3)", async () => {
    for (const piece of ["a", "\u200b", `e${"\u0301".repeat(99)}`, "👩‍👩‍👧‍👦", "\n", " ", "שלום "]) {
      const text = piece.repeat(Math.ceil(100_000 / piece.length));
      const found = await chunks(text, { by: "tokens", size: 500, tokenizer });
      assert.equal(found.join("") === text, true, JSON.stringify(piece));
    }
  });

  it("lone surrogates go through: they come out as what UTF-8 makes of them", async () => {
    const { rows } = await apply("a\ud800b\udc00".repeat(100), { by: "characters", size: 7 });
    assert.equal(rows.map((row) => row.text).join(""), "a\ufffdb\ufffd".repeat(100));
  });
});

describe("functions/text: countTokens", function () {
  this.timeout(60_000);
  const names = { from: "text", into: "tokens" } as const;

  it("counts the tokens of each text", async () => {
    const fn = countTokensFunction({ ...names, tokenizer });
    const texts = ["", "the cat", " the cat aaaa", "é"];
    const { rows } = await applyTo(
      fn,
      columns,
      texts.map((text) => ({ text })),
    );
    assert.deepEqual(
      rows.map((row) => row.tokens),
      [0, 2, 4, 2],
    );
  });

  it("a text of many blocks has as many tokens as its words", async () => {
    const fn = countTokensFunction({ ...names, tokenizer });
    const { rows } = await applyTo(fn, columns, [{ text: " the cat".repeat(10_000) }]);
    assert.equal(rows[0]!.tokens, 20_000);
  });

  it("reads the tokenizer from its address, once, and fails with what is wrong with it", async () => {
    const folder = new MediaFolder();
    try {
      const path = join(folder.path, "tokenizer.json");
      writeFileSync(path, JSON.stringify(tokenizer));
      let reads = 0;
      const context = contextOf();
      const bytes = context.content.bytes;
      context.content.bytes = (...args) => {
        reads++;
        return bytes(...args);
      };
      const fn = countTokensFunction({ ...names, tokenizer: pathToFileURL(path).href });
      const { rows } = await applyTo(fn, columns, [{ text: "the" }, { text: " cat" }], context);
      assert.deepEqual([rows.map((row) => row.tokens), reads], [[1, 1], 1]);
      writeFileSync(path, "{ no json");
      const broken = countTokensFunction({ ...names, tokenizer: pathToFileURL(path).href });
      await assert.rejects(applyTo(broken, columns, [{ text: "the" }]), {
        code: "MILL_CONFIG",
        message: /is no tokenizer\.json/,
      });
    } finally {
      folder.remove();
    }
  });

  it("a text over charsMax is refused", async () => {
    const fn = countTokensFunction({ ...names, tokenizer, charsMax: 3 });
    const { rows, refused } = await applyTo(fn, columns, [{ text: "the" }, { text: "cats" }]);
    assert.equal(rows.length, 1);
    assert.equal(refused.get(1)?.code, "MILL_TEXT_TOO_LARGE");
  });
});
