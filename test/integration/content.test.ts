/** Content of an embedded job, with a service in a process of its own: it leaves processes as references, and files refer to it afterwards. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { realPorts, silentLog } from "../../src/base/real/ports.js";
import { runEmbedded } from "../../src/cli/embedded.js";
import { packageRoot } from "../../src/cli/packages.js";
import { readSubmission } from "../../src/cli/submission.js";
import { sha256Of } from "../../src/storage/content-checks.js";

interface Row {
  readonly name: string;
  readonly length: number;
  readonly page: Reference;
  readonly twice: Reference;
}
interface Reference {
  readonly uri: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly bytes: string | null;
}

const LONG = "long ".repeat(30);

describe("integration: content of an embedded job", function () {
  this.timeout(60_000);
  let folder: string;
  let rows: readonly Row[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-content-"));
    for (const [name, text] of Object.entries({ short: "short", long: LONG, again: LONG, half: "h".repeat(60) })) {
      await writeFile(join(folder, `${name}.txt`), text);
    }
    const submission = await readSubmission(join(packageRoot, "test/fixtures/shouted-pages.ts"), {
      params: { input: join(folder, "*.txt"), output: join(folder, "pages") },
      parallelism: 0,
      cache: join(folder, "cache"),
    });
    const job = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports: realPorts(silentLog) });
    try {
      await job.ended(() => {});
    } finally {
      await job.close();
    }
    const files = await readdir(join(folder, "pages"));
    const texts = await Promise.all(files.map((name) => readFile(join(folder, "pages", name), "utf8")));
    const lines = texts.flatMap((text) => text.split("\n").filter((line) => line !== ""));
    rows = lines.map((line) => JSON.parse(line) as Row);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const rowOf = (name: string) => rows.find((row) => row.name === `${name}.txt`) ?? assert.fail(`no row of ${name}`);
  const read = ({ uri }: Reference) => readFile(fileURLToPath(uri), "utf8");

  it("above the limit it is published as a reference, which can be read when the job is over", async () => {
    const { page } = rowOf("long");
    assert.equal(page.bytes, null);
    assert.equal(await read(page), LONG.toUpperCase());
    assert.deepEqual([page.sizeBytes, page.sha256], [LONG.length, sha256Of(Buffer.from(LONG.toUpperCase()))]);
    assert.ok(page.uri.includes("/millrace-content/jobs/"), page.uri);
  });

  it("below the limit it stays in its row", () => {
    const { page, twice } = rowOf("short");
    assert.deepEqual([page.uri, Buffer.from(page.bytes!, "base64").toString()], ["", "SHORT"]);
    assert.deepEqual([twice.uri, Buffer.from(twice.bytes!, "base64").toString()], ["", "SHORTSHORT"]);
  });

  it("a service is sent references, and reads them as it reads what is sent whole", () => {
    assert.deepEqual([rowOf("long").length, rowOf("short").length], [LONG.length, -1]);
  });

  it("what a service answers leaves its process so, too", async () => {
    const { page, twice } = rowOf("half");
    assert.equal(page.uri, "");
    assert.equal(twice.bytes, null);
    assert.equal(await read(twice), "H".repeat(120));
  });

  it("equal content is kept once", () => {
    assert.equal(rowOf("again").page.uri, rowOf("long").page.uri);
  });
});
