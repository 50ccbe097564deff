/** docs/types.md: the table of all column types, for people. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { arrowSchema, type ColumnType, t } from "../../../src/types/columns.js";
import { packageRoot } from "../../servers/find.js";

const text = readFileSync(join(packageRoot(), "docs", "types.md"), "utf8");
const table = text.slice(text.indexOf("| `t` |"), text.indexOf("\n\n", text.indexOf("| `t` |")));
const rows = table
  .split("\n")
  .slice(2)
  .map((line) => line.split("|").map((cell) => cell.trim().replace(/^`(.*)`$/, "$1")));

describe("docs/types.md: the column types", () => {
  it("has every name of `t`, and no other", () => {
    assert.deepEqual([...new Set(rows.map(([, name]) => name))].sort(), Object.keys(t).sort());
  });

  for (const [, name, example = "", , , extension, metadata] of rows) {
    it(`${example} is of the type that is said there`, () => {
      assert.ok(example === `t.${name}` || example.startsWith(`t.${name}(`));
      const type = new Function("t", `return ${example};`)(t) as ColumnType;
      const field = arrowSchema({ c: type }).fields[0]!;
      assert.equal(field.metadata.get("ARROW:extension:name") ?? "", extension);
      assert.equal(field.metadata.get("ARROW:extension:metadata") ?? "", metadata);
    });
  }
});
