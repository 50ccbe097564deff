/** `chunkText` and `countTokens`. */
import { setImmediate } from "node:timers/promises";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { ColumnFunction } from "../../topology/column-function.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import type { ColumnType, Row } from "../../types/columns.js";
import { t } from "../../types/columns.js";
import { failingWith } from "../fatal.js";
import { checkNumber } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type Chunk, characterChunks, sentenceChunks, tokenChunks } from "./chunk.js";
import { TokenChunks } from "./token-chunks.js";
import { checkTokenizer, LazyTokenizer, type TokenizerSource } from "./tokenizer.js";

/** What a chunk is made of, how much, and how much of it the chunk before has as well. */
export type ChunkBy =
  /** UTF-16 code units, as strings count. */
  | { readonly by: "characters"; readonly size: number; readonly overlap?: number }
  | {
      readonly by: "sentences";
      readonly size: number;
      readonly overlap?: number;
      /** For the rules of what ends a sentence. Default `en`. */
      readonly locale?: string;
      /** A longer sentence is cut. Default 8,192. */
      readonly sentenceCharsMax?: number;
    }
  | {
      readonly by: "tokens";
      readonly size: number;
      readonly overlap?: number;
      readonly tokenizer: TokenizerSource;
    };

interface TextLimits {
  /** Characters of one text. Default 16,000,000; where tokens are counted, 2,000,000. A longer one is a bad record. */
  readonly charsMax?: number;
}

/** Options of `chunkText`. See docs/functions/chunkText.md. */
export type ChunkTextOptions<F extends string, I extends string> = StepOptions &
  TextLimits &
  ChunkBy & {
    readonly from: F;
    /** Column for a chunk's text. The same as `from`: then rows do not carry the whole text along. */
    readonly into: I;
    /** Chunks of one text. Default 100,000. A text that would have more is a bad record. */
    readonly chunksMax?: number;
  };

/** Options of `countTokens`. See docs/functions/countTokens.md. */
export interface CountTokensOptions<F extends string, I extends string> extends StepOptions, TextLimits {
  readonly from: F;
  readonly into: I;
  readonly tokenizer: TokenizerSource;
}

/** Columns that come with the chunk's text. Positions count UTF-16 code units: `text.slice(chunkStart, chunkEnd)`. */
export const chunkColumns = { chunkIndex: t.int32, chunkStart: t.int32, chunkEnd: t.int32 };

/** Cuts each text into chunks, a row each. */
export function chunkText<F extends string, I extends string>(
  options: ChunkTextOptions<F, I>,
): Step<Named<F, ColumnType<string>>, Named<I, typeof t.utf8> & typeof chunkColumns> {
  return step(chunkTextFunction(options), options);
}

/** Adds the number of tokens that a model would see. */
export function countTokens<F extends string, I extends string>(
  options: CountTokensOptions<F, I>,
): Step<Named<F, ColumnType<string>>, Named<I, typeof t.int32>> {
  return step(countTokensFunction(options), options);
}

const plainText = {
  says: "utf8",
  fits: ({ name }: { readonly name: string }) => name.replace(/\?$/, "") === "utf8",
};

/** Chunks that are made before other work of the process has its turn. */
const CHUNKS_IN_TURN = 64;

/** @internal */
export function chunkTextFunction<F extends string, I extends string>(
  options: ChunkTextOptions<F, I>,
): ColumnFunction<Named<I, typeof t.utf8> & typeof chunkColumns> {
  const name = "chunkText";
  const { from, into, size, overlap = 0, chunksMax = limits.textChunksMax } = options;
  const charsMax = options.charsMax ?? (options.by === "tokens" ? limits.textTokenCharsMax : limits.textCharsMax);
  // A character may be two code units, and a chunk holds at least one.
  checkNumber(name, "size", size, { min: options.by === "characters" ? 2 : 1, max: 0x7fff_ffff, whole: true });
  checkNumber(name, "overlap", overlap, { min: 0, max: size - 1, whole: true });
  checkNumber(name, "chunksMax", chunksMax, { min: 1, max: 0x7fff_ffff, whole: true });
  checkNumber(name, "charsMax", charsMax, { min: 1, max: 0x1fff_ffff, whole: true });
  const chunks = chunker(name, options, size, overlap);
  const to = { ...named(into, t.utf8), ...chunkColumns } as Named<I, typeof t.utf8> & typeof chunkColumns;
  return failingWith(
    "MILL_CONFIG",
    rowFunction({
      name,
      reads: { [from]: plainText },
      to,
      async rows(row, context) {
        const text = row[from] as string;
        checkLength(text, charsMax);
        const rows: Row<typeof to>[] = [];
        for (const { start, end } of await chunks(text, context)) {
          if (rows.length === chunksMax) throw tooLong(`it would have more than ${chunksMax} chunks`);
          if (from !== (into as string)) checkRepeated(text, rows.length + 1, from);
          const place = { chunkIndex: rows.length, chunkStart: start, chunkEnd: end };
          rows.push({ [into]: text.slice(start, end), ...place } as unknown as Row<typeof to>);
          if (rows.length % CHUNKS_IN_TURN === 0) await setImmediate();
          context.signal.throwIfAborted();
        }
        return rows;
      },
    }),
  );
}

type Chunker = (text: string, context: OperatorContext) => Iterable<Chunk> | Promise<Iterable<Chunk>>;

function chunker(name: string, options: ChunkBy, size: number, overlap: number): Chunker {
  if (options.by === "characters") return (text) => characterChunks(text, size, overlap);
  if (options.by === "sentences") {
    const { locale = "en", sentenceCharsMax = 8_192 } = options;
    checkLocale(name, locale);
    checkNumber(name, "sentenceCharsMax", sentenceCharsMax, { min: 2, max: 1_000_000, whole: true });
    return (text) => sentenceChunks(text, size, overlap, locale, sentenceCharsMax);
  }
  if (options.by !== "tokens") {
    const by = String((options as { by?: unknown }).by);
    throw new MillraceError("MILL_CONFIG", `${name}: by is ${by}; give "characters", "sentences" or "tokens".`);
  }
  checkTokenizer(name, options.tokenizer);
  const tokenizer = new LazyTokenizer(name, options.tokenizer);
  return async (text, context) => tokenChunks(text, new TokenChunks(await tokenizer.get(context), size, overlap));
}

/** @internal */
export function countTokensFunction<F extends string, I extends string>(
  options: CountTokensOptions<F, I>,
): ColumnFunction<Named<I, typeof t.int32>> {
  const name = "countTokens";
  const { from, into, charsMax = limits.textTokenCharsMax } = options;
  checkNumber(name, "charsMax", charsMax, { min: 1, max: 0x1fff_ffff, whole: true });
  checkTokenizer(name, options.tokenizer);
  const tokenizer = new LazyTokenizer(name, options.tokenizer);
  const to = named(into, t.int32);
  return failingWith(
    "MILL_CONFIG",
    rowFunction({
      name,
      reads: { [from]: plainText },
      to,
      async rows(row, context) {
        const text = row[from] as string;
        checkLength(text, charsMax);
        return [namedValue(to, await (await tokenizer.get(context)).countAll(text, context.signal))];
      },
    }),
  );
}

function checkLocale(name: string, locale: string): void {
  try {
    if (Intl.Segmenter.supportedLocalesOf(locale).length > 0) return;
  } catch {
    // it is no name of a language at all
  }
  throw new MillraceError("MILL_CONFIG", `${name}: locale is "${locale}"; give the name of a language, such as "en".`);
}

function checkLength(text: string, charsMax: number): void {
  if (text.length > charsMax) throw tooLong(`it has ${text.length} characters; at most ${charsMax} are taken`);
}

/** The whole text goes along with each of its chunks, unless they take its column. */
function checkRepeated(text: string, chunks: number, from: string): void {
  if (text.length * chunks <= limits.textRepeatedCharsMax) return;
  throw new MillraceError(
    "MILL_TEXT_TOO_LARGE",
    `each of its chunks would carry its ${text.length} characters along in column "${from}". Give into: "${from}", so that the chunk takes that column.`,
  );
}

function tooLong(what: string): MillraceError {
  return new MillraceError("MILL_TEXT_TOO_LARGE", `${what}. Raise the limit of the function, or cut the text before.`);
}
