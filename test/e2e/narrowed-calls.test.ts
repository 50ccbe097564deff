/** The same topology with columns dropped before its calls and without: the same rows. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { millrace } from "./millrace-process.js";

const FIXTURE = "test/fixtures/narrowed-calls.ts";

describe("e2e: columns that nobody reads behind a call", function () {
  this.timeout(60_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
    for (const [name, text] of Object.entries({
      one: "one two three",
      empty: "",
      long: "much ".repeat(50),
      bad: "a bad one",
    })) {
      await writeFile(join(folder, `${name}.txt`), text);
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const given = (params: Record<string, string>) =>
    Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);

  async function linesOf(narrow: string): Promise<Record<string, string[]>> {
    const output = join(folder, narrow);
    const { status, stdout, stderr } = await millrace([
      ...["run", FIXTURE],
      ...given({ input: `${folder}/*.txt`, output, narrow }),
    ]);
    assert.equal(status, 0, stdout + stderr);
    const lines: Record<string, string[]> = {};
    for (const name of ["loud", "weights", "dead-letters"]) {
      const files = await readdir(join(output, name));
      const texts = await Promise.all(files.map((file) => readFile(join(output, name, file), "utf8")));
      lines[name] = texts.flatMap((text) => text.split("\n").filter((line) => line !== "")).sort();
    }
    return lines;
  }

  it("are dropped before it, and all that leaves the topology is the same, value by value (N1)", async () => {
    const plan = async (narrow: string) => (await millrace(["plan", FIXTURE, ...given({ narrow })])).stdout;
    assert.match(await plan("yes"), /count-columns[\s\S]*shout-columns/);
    assert.doesNotMatch(await plan("no"), /-columns/);
    const [narrow, whole] = [await linesOf("yes"), await linesOf("no")];
    assert.deepEqual([narrow.loud, narrow.weights], [whole.loud, whole.weights]);
    assert.deepEqual([narrow.loud!.length, narrow.weights!.length], [3, 3]);
    // A refused row is told of with the columns that were left.
    const [one, other] = [narrow, whole].map((lines) => JSON.parse(lines["dead-letters"]![0]!));
    assert.deepEqual([one.operator, one.message, narrow["dead-letters"]!.length], [other.operator, other.message, 1]);
    const seen = [one, other].map(({ record }) => Object.keys(JSON.parse(record)).sort());
    assert.deepEqual(seen, [
      ["first", "length", "name", "weight", "words"],
      ["first", "length", "name", "page", "text", "weight", "words"],
    ]);
  });
});
