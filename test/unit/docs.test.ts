import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES, type ErrorCode } from "../../src/base/errors.js";
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
