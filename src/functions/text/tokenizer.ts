/**
 * Tokens of a text, by a `tokenizer.json` as models have it. The library is loaded with the first tokenizer.
 *
 * It takes more than linear time for long words, so a text is encoded in blocks: they end before a space, or, in a word that is longer than a
 * block, where the block ends.
 */
import { setImmediate } from "node:timers/promises";
import { MillraceError } from "../../base/errors.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { wordEnd } from "./cuts.js";

/** Parsed content of a `tokenizer.json`. */
export type TokenizerJson = Readonly<Record<string, unknown>>;

/** Where the `tokenizer.json` is (`file:`, `s3:` or `http:` address), or its parsed content. */
export type TokenizerSource = string | TokenizerJson;

const BLOCK = 4_096;

export class TokenCounter {
  constructor(private readonly encode: (text: string) => { readonly length: number }) {}

  /** Tokens of `text` from `start` to `end`, without those that a model puts around it. */
  count(text: string, start: number, end: number): number {
    let tokens = 0;
    for (let at = start; at < end; ) {
      const next = Math.min(wordEnd(text, at, Math.min(at + BLOCK, end)), end);
      tokens += this.encode(text.slice(at, next)).length;
      at = next;
    }
    return tokens;
  }

  /** The same of a whole text, with turns for other work of the process. */
  async countAll(text: string, signal: AbortSignal): Promise<number> {
    let tokens = 0;
    for (let at = 0; at < text.length; ) {
      const next = wordEnd(text, at, Math.min(at + BLOCK, text.length));
      tokens += this.encode(text.slice(at, next)).length;
      at = next;
      await setImmediate();
      signal.throwIfAborted();
    }
    return tokens;
  }
}

/** @throws {MillraceError} `MILL_CONFIG` for what can be no tokenizer */
export function checkTokenizer(name: string, source: unknown): void {
  const isAddress = typeof source === "string" && /^[a-z][a-z0-9]*:/.test(source);
  if (isAddress || (typeof source === "object" && source !== null && "model" in source)) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `${name}: tokenizer is ${typeof source === "string" ? `"${source}"` : typeof source}; give the address of a tokenizer.json (file:///..., s3://...), or its parsed content.`,
    { function: name },
  );
}

/** Loads the tokenizer when it is first asked, once; after a failure it is tried again. */
export class LazyTokenizer {
  #loaded: Promise<TokenCounter> | undefined;

  constructor(
    private readonly name: string,
    private readonly source: TokenizerSource,
  ) {}

  get(context: OperatorContext): Promise<TokenCounter> {
    this.#loaded ??= this.#load(context).catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #load({ content, signal }: OperatorContext): Promise<TokenCounter> {
    const { name, source } = this;
    let json = source as TokenizerJson;
    if (typeof source === "string") {
      const ref = { uri: source, offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "application/json" };
      json = parse(name, source, await content.bytes(ref, signal));
    }
    const { Tokenizer } = await import("@huggingface/tokenizers");
    try {
      const tokenizer = new Tokenizer(json, {});
      return new TokenCounter((text) => tokenizer.encode(text, { add_special_tokens: false }).ids);
    } catch (cause) {
      throw noTokenizer(name, source, cause);
    }
  }
}

function parse(name: string, source: string, bytes: Uint8Array): TokenizerJson {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as TokenizerJson;
  } catch (cause) {
    throw noTokenizer(name, source, cause);
  }
}

function noTokenizer(name: string, source: TokenizerSource, cause: unknown): MillraceError {
  const where = typeof source === "string" ? source : "what was given";
  return new MillraceError(
    "MILL_CONFIG",
    `${name}: ${where} is no tokenizer.json: ${(cause as Error)?.message ?? cause}. Give the tokenizer.json of the model.`,
    { function: name },
    { cause },
  );
}
