/** docs/api is the package's own declarations: written by `MILLRACE_GOLDEN=write`, compared otherwise. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";
import { apiPage, pageName } from "./api-page.js";
import { type ExportList, exportLists } from "./public-names.js";

const FOLDER = join(packageRoot(), "docs", "api");

describe("docs/api: the reference of all that the package exports", function () {
  this.timeout(60_000);
  let lists: ExportList[];

  before(async () => {
    lists = await exportLists();
  });

  it("has a page for each export list of package.json, with every name that is there at run time", async () => {
    const { exports } = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as {
      exports: Record<string, unknown>;
    };
    const specifiers = Object.keys(exports).filter((path) => path !== "./package.json");
    assert.deepEqual(
      lists.map(({ specifier }) => specifier),
      specifiers.map((path) => path.replace(/^\./, "millrace")),
    );
    for (const { specifier, names } of lists) {
      const atRunTime = Object.keys(await import(specifier));
      // Of a class that users only get, the type alone is exported.
      const values = names.filter(
        ({ name, kind }) => kind !== "type" && (kind !== "class" || atRunTime.includes(name)),
      );
      assert.deepEqual(values.map(({ name }) => name).sort(), atRunTime.sort(), specifier);
    }
  });

  it("is what the declarations say", () => {
    if (process.env.MILLRACE_GOLDEN === "write") {
      mkdirSync(FOLDER, { recursive: true });
      for (const list of lists) writeFileSync(join(FOLDER, pageName(list)), apiPage(list, lists));
    }
    const hint =
      "declarations have changed: run this test with MILLRACE_GOLDEN=write, and look at what docs/api says now";
    for (const list of lists)
      assert.equal(readFileSync(join(FOLDER, pageName(list)), "utf8"), apiPage(list, lists), hint);
    assert.deepEqual(readdirSync(FOLDER).sort(), lists.map(pageName).sort(), "docs/api has these pages and no others");
  });

  it("says of every name what it is: all have a doc comment", () => {
    const without = lists.flatMap(({ specifier, names }) =>
      names.filter(({ comment }) => comment === "").map(({ name }) => `${specifier}: ${name}`),
    );
    assert.deepEqual(without, []);
  });

  it("shows nothing that is private to the package", () => {
    for (const { names } of lists)
      for (const { name, signature } of names) {
        assert.doesNotMatch(signature, /@internal|#private|\bprivate |import\("|\bBRAND\b/, name);
        assert.ok(signature.split("\n").length < 200, `${name} has ${signature.split("\n").length} lines`);
      }
  });
});
