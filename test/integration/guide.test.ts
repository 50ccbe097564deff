/** The topologies of docs/guide run, in one process, and what comes out is what their page says. */
import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { millrace } from "../e2e/millrace-process.js";
import { packageRoot } from "../servers/find.js";
import { type GuideTopology, guideTopologies } from "../unit/docs/guide-pages.js";

type Json = Readonly<Record<string, unknown>>;

describe("integration: the topologies of docs/guide", function () {
  this.timeout(60_000);
  let folder: string;

  beforeEach(async () => {
    // Within the package, so that "millrace" is this one.
    const cache = join(packageRoot(), ".cache");
    await mkdir(cache, { recursive: true });
    folder = await mkdtemp(join(cache, "guide-run-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  for (const example of guideTopologies()) {
    it(`${example.at}: runs, publishes its rows, and refuses what it says`, async () => {
      await write(example);
      const { status, stdout, stderr } = await millrace(["run", "topology.ts"], { cwd: folder });
      assert.equal(status, 0, `${stdout}${stderr}`);
      for (const [place, expected] of Object.entries(example.rows)) {
        const found = await rowsIn(join(folder, place));
        assert.equal(found.length, expected.length, `${place}: ${JSON.stringify(found)}`);
        for (const row of expected)
          assert.ok(
            found.some((one) => holds(one, row)),
            `${place}: no row has ${JSON.stringify(row)}, but there are ${JSON.stringify(found)}`,
          );
      }
      const bad = await rowsIn(join(folder, "millrace-output"));
      assert.deepEqual(bad.map(({ code }) => code).sort(), [...example.badRecords].sort(), JSON.stringify(bad));
    });
  }

  async function write({ code, files }: GuideTopology): Promise<void> {
    await writeFile(join(folder, "topology.ts"), code);
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      if (typeof content === "string") await writeFile(join(folder, name), content);
      else await copyFile(join(packageRoot(), content.copyOf), join(folder, name));
    }
  }
});

/** Rows of the JSON lines below a folder; none where it is not there. */
async function rowsIn(folder: string): Promise<Json[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const texts = await Promise.all(
    names.filter((name) => name.endsWith(".jsonl")).map((name) => readFile(join(folder, name), "utf8")),
  );
  return texts.flatMap((text) =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Json),
  );
}

const holds = (row: Json, expected: Json): boolean =>
  Object.entries(expected).every(([name, value]) => JSON.stringify(row[name]) === JSON.stringify(value));
