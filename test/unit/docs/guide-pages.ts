/** The pages of docs/guide: their code, what is said of it for the tests, and the command lines in them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";
import { page } from "../topology/guide.js";

/**
 * A topology of the guide, and what it is run with. A Markdown comment in front of its block says that, a line each:
 *
 *   <!-- run
 *   in notes/a.txt: "Buy milk\n"          a file, its text as JSON
 *   in scans/a.png: @examples/a.png       a file, copied from this package
 *   out out/notes: {"line": "Buy milk"}   a row that is published below the folder; other columns of the row are not looked at
 *   bad MILL_RECORD_INVALID               a dead letter with this code
 *   -->
 */
export interface GuideTopology {
  /** Page and line. */
  readonly at: string;
  readonly code: string;
  readonly files: Readonly<Record<string, string | { readonly copyOf: string }>>;
  /** By folder, in no order. */
  readonly rows: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
  readonly badRecords: readonly string[];
}

export function guidePages(): string[] {
  return readdirSync(join(packageRoot(), "docs", "guide"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `guide/${name}`);
}

export const isTopology = (code: string): boolean => code.includes("export default topology(");

export function guideTopologies(): GuideTopology[] {
  return guidePages().flatMap((name) => {
    const text = page(name);
    return [...text.matchAll(/(?:<!-- run\n([\s\S]*?)-->\n+)?^```ts\n([\s\S]*?)^```$/gm)]
      .filter(([, , code]) => isTopology(code!))
      .map((match) => {
        const at = `docs/${name}, line ${text.slice(0, match.index).split("\n").length}`;
        if (match[1] === undefined) throw new Error(`${at}: no comment "<!-- run" says what this topology is run with`);
        return { at, code: match[2]!, ...runOf(match[1], at) };
      });
  });
}

function runOf(comment: string, at: string): Pick<GuideTopology, "files" | "rows" | "badRecords"> {
  const files: Record<string, string | { copyOf: string }> = {};
  const rows: Record<string, Record<string, unknown>[]> = {};
  const badRecords: string[] = [];
  for (const line of comment.trim().split("\n")) {
    const [, kind, name = "", value = ""] = /^(in|out|bad) ([^\s:]+)(?:: (.*))?$/.exec(line) ?? [];
    if (kind === "in") files[name] = value.startsWith("@") ? { copyOf: value.slice(1) } : JSON.parse(value);
    else if (kind === "out") rows[name] = [...(rows[name] ?? []), JSON.parse(value)];
    else if (kind === "bad") badRecords.push(name);
    else throw new Error(`${at}: "${line}" is none of in, out, bad`);
  }
  return { files, rows, badRecords };
}

export interface CommandLine {
  readonly at: string;
  /** Without `npx millrace`. */
  readonly words: readonly string[];
}

/** Of all pages: lines of code, indented or fenced, that call `millrace`. */
export function commandLines(): CommandLine[] {
  return guidePages().flatMap((name) => {
    let fenced = false;
    return page(name)
      .split("\n")
      .flatMap((line, i) => {
        if (line.startsWith("```")) fenced = !fenced;
        const isCode = fenced || line.startsWith("    ");
        const parts = isCode
          ? line.replace(/\s+#.*$/, "").split(/&&|\||;/)
          : [...line.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
        return parts.flatMap((part) => {
          const [, rest] = /^\s*(?:[A-Z_]+=\S+ )*(?:npx )?millrace((?: .*)?)$/.exec(part) ?? [];
          return rest === undefined
            ? []
            : [
                {
                  at: `docs/${name}, line ${i + 1}`,
                  words: rest
                    .trim()
                    .split(/\s+/)
                    .filter((word) => word !== ""),
                },
              ];
        });
      });
  });
}
