/** A `tokenizer.json` as GPT-2 has it, with all bytes and a few merges: small, and what its tokens are can be counted by hand. */
const printable = [...range(33, 126), ...range(161, 172), ...range(174, 255)];
const others = range(0, 255).filter((byte) => !printable.includes(byte));
const letters = [...printable.map((byte) => byte), ...others.map((_, i) => 256 + i)].map((code) =>
  String.fromCodePoint(code),
);
const merges = ["a a", "aa aa", "t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat"];

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

export const tinyTokenizer = {
  version: "1.0",
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel" },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    vocab: Object.fromEntries(
      [...letters, ...merges.map((merge) => merge.replace(" ", ""))].map((token, id) => [token, id]),
    ),
    merges,
  },
};
