/**
 * Character error rate of read text against true text.
 *
 * CER = edits / characters of the truth, where edits is the Levenshtein distance (insert, delete, replace: one each)
 * over Unicode code points. Both texts are normalised first: Unicode NFKC (a full-width comma is a comma), and every
 * run of white space, line ends included, becomes one space. With spaces, a lost space is an edit like any other;
 * without, all spaces are removed on both sides. Case, punctuation and reading order count in both.
 * The rate of several pages is the sum of edits over the sum of characters, so that long pages weigh more.
 */
export interface TruthPage {
  readonly file: string;
  readonly kind: string;
  readonly condition: "clean" | "noisy";
  /** True lines in reading order. */
  readonly lines: readonly string[];
}

export interface Errors {
  readonly edits: number;
  readonly characters: number;
}

export interface PageAccuracy {
  readonly file: string;
  readonly kind: string;
  readonly condition: "clean" | "noisy";
  /** Spaces count. */
  readonly spaced: Errors;
  /** Spaces removed on both sides. */
  readonly unspaced: Errors;
}

export interface Accuracy {
  readonly pages: readonly PageAccuracy[];
  readonly clean: { readonly spaced: number; readonly unspaced: number; readonly pages: number };
  readonly noisy: { readonly spaced: number; readonly unspaced: number; readonly pages: number };
}

export function normalise(text: string): string {
  return text.normalize("NFKC").replace(/\s+/gu, " ").trim();
}

/** The least number of inserted, deleted and replaced code points that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  const [from, to] = [[...a], [...b]];
  let row = Uint32Array.from({ length: to.length + 1 }, (_, j) => j);
  let next = new Uint32Array(to.length + 1);
  for (let i = 0; i < from.length; i++) {
    next[0] = i + 1;
    for (let j = 0; j < to.length; j++) {
      const replaced = row[j]! + (from[i] === to[j] ? 0 : 1);
      next[j + 1] = Math.min(replaced, row[j + 1]! + 1, next[j]! + 1);
    }
    [row, next] = [next, row];
  }
  return row[to.length]!;
}

export function characterErrors(read: string, truth: string, spaces: "count" | "remove"): Errors {
  const prepare = (text: string): string =>
    spaces === "count" ? normalise(text) : normalise(text).replaceAll(" ", "");
  const expected = prepare(truth);
  return { edits: editDistance(prepare(read), expected), characters: [...expected].length };
}

/** Edits per true character; an empty truth that was read as empty is right, anything else there is wholly wrong. */
export function rate({ edits, characters }: Errors): number {
  return characters === 0 ? Math.min(edits, 1) : edits / characters;
}

/**
 * Measures every page of the truth; a page that is missing in `texts` counts as read empty.
 * @param texts  text by file name
 */
export function measure(truth: readonly TruthPage[], texts: ReadonlyMap<string, string>): Accuracy {
  const pages = truth.map(({ file, kind, condition, lines }) => {
    const [read, expected] = [texts.get(file) ?? "", lines.join("\n")];
    return {
      file,
      kind,
      condition,
      spaced: characterErrors(read, expected, "count"),
      unspaced: characterErrors(read, expected, "remove"),
    };
  });
  const share = (condition: "clean" | "noisy") => {
    const chosen = pages.filter((page) => page.condition === condition);
    return {
      spaced: rate(sum(chosen.map((page) => page.spaced))),
      unspaced: rate(sum(chosen.map((page) => page.unspaced))),
      pages: chosen.length,
    };
  };
  return { pages, clean: share("clean"), noisy: share("noisy") };
}

function sum(errors: readonly Errors[]): Errors {
  return errors.reduce(
    (total, one) => ({ edits: total.edits + one.edits, characters: total.characters + one.characters }),
    { edits: 0, characters: 0 },
  );
}
