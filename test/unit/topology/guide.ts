/** The code of docs/topology.md and other pages. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";

export interface Example {
  /** Of the first line, in the page. */
  readonly line: number;
  readonly code: string;
}

/** Text of a page of docs. */
export function page(name: string): string {
  return readFileSync(join(packageRoot(), "docs", name), "utf8");
}

/** Pages of docs/functions, the list among them. */
export function functionPages(): string[] {
  return readdirSync(join(packageRoot(), "docs", "functions")).filter((name) => name.endsWith(".md"));
}

/** Fenced blocks of one language, in order. */
export function examples(language: "ts" | "text", name = "topology.md"): Example[] {
  const text = page(name);
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, fence]) => fence === language)
    .map((match) => ({ line: text.slice(0, match.index).split("\n").length + 1, code: match[2]! }));
}
