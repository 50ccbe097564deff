/** The code of docs/topology.md and other pages. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";

export interface Example {
  /** Of the first line, in the page. */
  readonly line: number;
  readonly code: string;
}

/** Fenced blocks of one language, in order. */
export function examples(language: "ts" | "text", name = "topology.md"): Example[] {
  const page = readFileSync(join(packageRoot(), "docs", name), "utf8");
  return [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, fence]) => fence === language)
    .map((match) => ({ line: page.slice(0, match.index).split("\n").length + 1, code: match[2]! }));
}
