import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { MUTANTS, SEEDS_MAX } from "./mutants/mutants.js";

describe("sim/mutants: faults that can be planted", () => {
  for (const { name, edits, hint } of MUTANTS) {
    it(name, () => {
      for (const { file, find } of edits) {
        const places = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8").split(find).length - 1;
        assert.equal(places, 1, `${file} has the text to replace ${places} times: ${find}`);
      }
      assert.ok(
        hint >= 1 && hint <= SEEDS_MAX,
        `it was found by seed ${hint}; it must be one of the first ${SEEDS_MAX}`,
      );
    });
  }
});
