/** `millrace plan` as a user starts it. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ended, millrace } from "../e2e/millrace-process.js";
import { examples } from "../unit/topology/guide.js";

const OCR = "examples/document-ocr/topology.ts";
/** Said every few seconds of a run that takes so long. */
const PROGRESS = /^ {2}\d+\/\S+ \w+ {2}.*\n/gm;

describe("integration: millrace plan", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-plan-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** The bundle cache is the folder's own, so that nothing of an earlier run can help. */
  const run = (args: readonly string[], cwd?: string): Promise<Ended> =>
    millrace(args, { env: { MILLRACE_CACHE: join(folder, "cache") }, ...(cwd === undefined ? {} : { cwd }) });

  async function planOf(text: string, ...args: string[]): Promise<Ended> {
    await writeFile(join(folder, "topology.ts"), text);
    return run(["plan", join(folder, "topology.ts"), ...args]);
  }

  it("prints operators, actors, channels, regions and services of the document-OCR topology", async () => {
    const { status, stdout, stderr } = await run(["plan", OCR, "--parallelism", "2", "-p", "detectors=3"]);
    assert.deepEqual([status, stderr], [0, ""]);
    const chain = "pages > decode > detect (detector) > crop > recognise (recogniser) > order > jsonl > parquet";
    for (const part of [
      /^topology document-ocr {3}plan [0-9a-f]{12}\n/,
      /\n {2}pages +files examples\/document-ocr\/pages\/\*\.\{png,jpg\}\n +name: utf8, ref: object_ref\n/,
      /\n {2}recognise +infer recogniser for each of strips {2}< crop\n/,
      /\n {2}parquet +parquet millrace-output\/document-ocr\/parquet {2}< order\n/,
      `\nactors (2)\n  pages-0        region-pages-0       ${chain}\n  pages-1        region-pages-1       ${chain}\n`,
      /\nchannels \(0\)\n {2}none: every chain passes its batches by reference\n/,
      "\nregions (2)\n  region-pages-0       pages-0\n  region-pages-1       pages-1\n",
      /\nservices \(2\)\n {2}detector +3 x onnx, batch of 1 rows, 0 ms, called by detect\n {2}recogniser +\d x onnx, .*called by recognise\n/,
      /\nbundle [0-9a-f]{12} {3}\d+ bytes, outside of it: millrace, sharp\n$/,
    ]) {
      if (typeof part === "string") assert.ok(stdout.includes(part), `${part}\nis not in\n${stdout}`);
      else assert.match(stdout, part);
    }
  });

  it("prints channels where rows change actors", async () => {
    const { stdout } = await run(["plan", "test/fixtures/word-count.ts"]);
    assert.match(stdout, /\nchannels \(4\)\n {2}texts-0 > tag-0 {3}hash, pipelined\n/);
    assert.match(stdout, /\nregions \(1\)\n {2}region-texts-0 +texts-0, texts-1, tag-0, tag-1\n/);
  });

  it("--json prints the same plan for programs", async () => {
    const { status, stdout } = await run(["plan", OCR, "--json", "--parallelism", "2"]);
    const plan = JSON.parse(stdout);
    assert.equal(status, 0);
    assert.deepEqual(
      plan.actors.map(({ id }: { id: string }) => id),
      ["pages-0", "pages-1"],
    );
    assert.deepEqual(
      plan.services.map(({ id }: { id: string }) => id),
      ["detector", "recogniser"],
    );
    assert.deepEqual(plan.external, ["millrace", "sharp"]);
    assert.match(plan.hash, /^[0-9a-f]{64}$/);
    assert.match(plan.bundle, /^[0-9a-f]{64}$/);
  });

  const withColumns = (use: string) => `import { files, jsonl, t, topology } from "millrace";
export default topology("small", (job) => {
  const stream: any = job.read(files("*.txt"), { id: "texts" }).mapRows({ id: "tag", to: { a: t.int32 } }, () => ({ a: 1 }));
  ${use};
});
`;
  const refusals: readonly (readonly [string, string, string, RegExp])[] = [
    [
      "a wrong column",
      withColumns('stream.select("b").to(jsonl("out"))'),
      "MILL_TOPOLOGY_COLUMN",
      /operator "select-1": its input has no column "b"\. It has: a\./,
    ],
    [
      "a column that is of no type",
      withColumns('stream.mapRows({ id: "two", to: { b: "int32" } }, () => ({})).to(jsonl("out"))'),
      "MILL_TOPOLOGY_TYPE",
      /operator "two": column "b" is of no type\. Use one of t: /,
    ],
    [
      "a file that does not parse",
      "export default {",
      "MILL_BUNDLE_BUILD",
      /topology\.ts cannot be bundled: topology\.ts:1: Expected/,
    ],
  ];
  for (const [what, text, code, message] of refusals) {
    it(`${what} is ${code} with exit status 2, on standard error alone`, async () => {
      const { status, stdout, stderr } = await planOf(text);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.ok(stderr.startsWith(`millrace: ${code}: `), stderr);
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    });
  }

  it("a parameter that the topology does not have is MILL_CONFIG with exit status 2", async () => {
    const { status, stderr } = await run(["plan", OCR, "-p", "ouput=x"]);
    assert.equal(status, 2, stderr);
    assert.match(
      stderr,
      /^millrace: MILL_CONFIG: .* has no parameter "ouput"\. It has: detectors, input, output, recognisers\.$/m,
    );
  });

  describe("the first example of docs/topology.md", () => {
    const hashes = (text: string) => text.replace(/\b[0-9a-f]{12}\b/g, "<hash>").replace(/\d+ bytes/, "<n> bytes");

    it("has the plan that the page shows", async () => {
      const { status, stdout, stderr } = await planOf(examples("ts")[0]!.code);
      assert.deepEqual([status, stderr], [0, ""]);
      assert.equal(hashes(examples("text")[0]!.code), hashes(stdout));
    });

    it("runs", async () => {
      await writeFile(join(folder, "topology.ts"), examples("ts")[0]!.code);
      const texts = join(folder, "texts");
      await mkdir(texts);
      for (const [name, text] of [
        ["a.txt", "one two\nthree"],
        ["empty.txt", " \n"],
      ] as const) {
        await writeFile(join(texts, name), text);
      }
      const { status, stderr } = await run(["run", "topology.ts"], folder);
      assert.deepEqual([status, stderr.replace(PROGRESS, "")], [0, ""]);
      const written = await readdir(join(folder, "out", "words"));
      assert.equal(written.length, 1, written.join());
      assert.equal(await readFile(join(folder, "out", "words", written[0]!), "utf8"), '{"name":"a.txt","words":3}\n');
    });
  });
});
