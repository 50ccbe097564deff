/** The same topology with a durable exchange and with a pipelined one in its place, in one process: the same rows. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { millrace } from "./millrace-process.js";

describe("e2e: a durable exchange in one process", function () {
  this.timeout(60_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
    for (let file = 0; file < 6; file++) {
      const words = Array.from({ length: 50 }, (_, i) => `${"abcdefghij"[(file + i) % 10]}${file}-${i}`);
      await writeFile(join(folder, `text-${file}.txt`), words.join("\n"));
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function rowsOf(durable: string, parallelism: number): Promise<string[]> {
    const output = join(folder, `${durable}-${parallelism}`);
    const params = { input: `${folder}/text-*.txt`, output, durable, parallelism };
    const given = Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    const { status, stdout, stderr } = await millrace(["run", "test/fixtures/durable-words.ts", ...given]);
    assert.equal(status, 0, stdout + stderr);
    const files = await Promise.all((await readdir(output)).map((name) => readFile(join(output, name), "utf8")));
    return files.flatMap((text) => text.split("\n").filter((line) => line !== "")).sort();
  }

  for (const parallelism of [1, 3]) {
    it(`gives the rows of a pipelined one, each at the reader of its key (parallelism ${parallelism})`, async () => {
      const durable = await rowsOf("yes", parallelism);
      assert.equal(durable.length, 300);
      assert.deepEqual(durable, await rowsOf("no", parallelism));
    });
  }
});
