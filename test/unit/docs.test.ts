import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES, type ErrorCode } from "../../src/base/errors.js";
import { service } from "../../src/topology/service.js";
import { packageRoot } from "../servers/find.js";

const codes = Object.keys(ERROR_CODES) as ErrorCode[];

/** Sections of docs/errors.md by their heading. */
function errorSections(): Map<string, string> {
  const text = readFileSync(join(packageRoot(), "docs", "errors.md"), "utf8");
  const sections = text.split(/^## /m).slice(1);
  return new Map(sections.map((section) => [section.slice(0, section.indexOf("\n")), section]));
}

describe("docs/errors.md: the table of src/base/errors.ts, for people", () => {
  const sections = errorSections();

  it("has a section for each code, and for nothing else", () => {
    assert.deepEqual([...sections.keys()].sort(), [...codes].sort());
  });

  it("says of each code who acts, exit status, HTTP status and retry as the table does", () => {
    const who = {
      user: "you",
      external: "whoever runs the system that the message names",
      internal: "the developers of Millrace",
    };
    for (const code of codes) {
      const { domain, exit, http, retry } = ERROR_CODES[code];
      const line = `Acts: ${who[domain]}. Exit status ${exit}. HTTP ${http}. ${retry === "backoff" ? "Retried" : "Not retried"}.`;
      assert.ok(sections.get(code)?.includes(line), `docs/errors.md, ${code}: it must have the line "${line}"`);
    }
  });

  it("says more of each code than the table: what happened and what to do", () => {
    for (const [code, section] of sections) {
      const paragraphs = section.trim().split(/\n\n+/).length;
      assert.ok(paragraphs >= 4, `docs/errors.md, ${code}: expected what happened, then what to do`);
    }
  });
});

describe("docs/guarantees.md: what is promised, and what shows it", () => {
  const text = readFileSync(join(packageRoot(), "docs", "guarantees.md"), "utf8");
  const [guarantees = "", rules = ""] = text.split("## Rules");
  const rows = [
    ...tableRows(guarantees).map((row) => ({ ...row, kind: "guarantee" })),
    ...tableRows(rules).map((row) => ({ ...row, kind: "rule" })),
  ];

  it("has 8 guarantees and 13 rules", () => {
    const numbers = (kind: string) => rows.filter((row) => row.kind === kind).map(({ number }) => number);
    assert.deepEqual(numbers("guarantee"), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(numbers("rule"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });

  for (const { kind, number, files } of rows) {
    it(`${kind} ${number} is named by a test in each file that is said to show it`, () => {
      assert.ok(files.length > 0);
      for (const file of files) {
        const named = numbersIn(titlesIn(readFileSync(join(packageRoot(), file), "utf8")), kind);
        assert.ok(named.has(number), `${file}: no title names ${kind} ${number}`);
      }
    });
  }
});

/** Rows of a Markdown table that begin with a number, and the test files that they name. */
function tableRows(text: string): { readonly number: number; readonly files: readonly string[] }[] {
  const rows = text.split("\n").filter((line) => /^\| \d/.test(line));
  return rows.map((row) => ({
    number: Number.parseInt(row.slice(2), 10),
    files: [...row.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file!),
  }));
}

function titlesIn(source: string): string {
  return [...source.matchAll(/\b(?:it|describe)\(\s*(["`].*)/g)].map(([, title]) => title).join("\n");
}

/** Those that are named as "rule 1", or "rules 1, 4". */
function numbersIn(titles: string, kind: string): Set<number> {
  const lists = [...titles.matchAll(new RegExp(`${kind}s? (\\d+(?:, \\d+)*)`, "g"))];
  return new Set(lists.flatMap(([, list]) => list!.split(", ").map(Number)));
}

describe("docs/services.md: the settings of a service", () => {
  const text = readFileSync(join(packageRoot(), "docs", "services.md"), "utf8");
  const section = text.split("## Settings")[1]!.split("\n## ")[0]!;
  const rows = section.split("\n").flatMap((line) => /^\| `([^`]+)` \| ([^|]+) \|/.exec(line)?.slice(1) ?? []);
  const said = new Map(
    rows.flatMap((cell, i): [string, string][] => (i % 2 === 0 ? [[cell, rows[i + 1]!.trim()]] : [])),
  );

  it("are all in its table, with the defaults that a service has that sets nothing", () => {
    const handler = { kind: "none", assets: {}, load: () => Promise.reject(new Error("never loaded")) };
    // Resources have a section of their own.
    const {
      id,
      input,
      output,
      handler: _,
      resources,
      ...settings
    } = service("any", { input: {}, output: {}, handler });
    const shown = (value: unknown) =>
      typeof value === "number"
        ? value.toLocaleString("en-US")
        : value === undefined
          ? "none"
          : [value].flat().join() || "none";
    const defaults: [string, string][] = [];
    for (const [name, value] of Object.entries(settings)) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) defaults.push([name, shown(value)]);
      else for (const [part, of] of Object.entries(value)) defaults.push([`${name}.${part}`, shown(of)]);
    }
    assert.deepEqual([...said].sort(), defaults.sort());
  });
});

describe("docs: links", () => {
  it("every page and file that a page links to exists", () => {
    const root = packageRoot();
    const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(root, "docs", name));
    const broken: string[] = [];
    for (const page of pages) {
      for (const [, target = ""] of readFileSync(page, "utf8").matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        try {
          readFileSync(join(page, "..", target));
        } catch (error) {
          // A link to a folder is read as EISDIR, which is fine.
          if ((error as NodeJS.ErrnoException).code === "ENOENT") broken.push(`${page}: ${target}`);
        }
      }
    }
    assert.deepEqual(broken, []);
  });
});
