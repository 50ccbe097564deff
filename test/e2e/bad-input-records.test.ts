/** Records that cannot be processed, in a job that otherwise works: `millrace run` as a user starts it. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { badPages, GOOD_PAGES, pagesWith } from "../fixtures/bad-pages.js";
import { assertRefused, filesBelow, refused, rowsBelow } from "./bad-input-support.js";
import { millrace } from "./millrace-process.js";

interface DeadLetter {
  readonly operator: string;
  readonly code: string;
  readonly message: string;
  readonly record: string;
}

const OCR = ["run", "examples/document-ocr/topology.ts", "-p", "detectors=1", "-p", "recognisers=1"];
const LENGTHS = ["run", "test/fixtures/content-length.ts"];

const nameIn = (letter: DeadLetter): string => (JSON.parse(letter.record) as { name: string }).name;

describe("e2e: bad records among good ones", function () {
  this.timeout(60_000);
  let folder: string;
  const at = (name: string): string => join(folder, name);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-bad-records-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("reads the good pages, and sets every bad one aside with operator, code, reason and name", async () => {
    await pagesWith(at("scans"), await badPages());
    const run = await millrace([...OCR, "-p", `input=${at("scans")}/*`, "-p", `output=${at("ocr")}`]);
    assert.equal(run.status, 0, run.stderr);

    const read = await rowsBelow<{ name: string; words: number }>(at("ocr/jsonl"));
    assert.deepEqual(read.map((row) => row.name).sort(), [...GOOD_PAGES]);
    assert.ok(read.every((row) => row.words > 5));

    const letters = await rowsBelow<DeadLetter>(at("ocr/dead-letters"));
    const expected: Record<string, readonly [string, RegExp]> = {
      "cut-off.jpg": ["MILL_IMAGE_INVALID", /cut-off\.jpg cannot be read as an image: .*copy or export it again/],
      "empty.jpg": ["MILL_IMAGE_INVALID", /empty\.jpg is empty \(0 bytes\)\. Write the file again/],
      "gigapixel.png": ["MILL_IMAGE_TOO_LARGE", /gigapixel\.png .*64000000 pixels\. Reduce the image/],
      "notes.jpg": ["MILL_IMAGE_INVALID", /notes\.jpg is not an image: .*leave the file out/],
    };
    assert.deepEqual(letters.map(nameIn).sort(), Object.keys(expected));
    for (const letter of letters) {
      const [code, message] = expected[nameIn(letter)]!;
      assert.equal(letter.operator, "decode");
      assert.equal(letter.code, code);
      assert.match(letter.message, message);
    }

    assert.match(run.stdout, /finished: 6 pages read, 4 rows written by 2 sinks in [\d.]+ s\n/);
    assert.ok(run.stdout.endsWith(`  4 bad records, each with its reason: ${at("ocr/dead-letters")}\n`), run.stdout);
  });

  it("sets a file aside that vanished and one that grew after they were listed", async () => {
    await pagesWith(at("texts"), {});
    for (const name of ["a.txt", "b.txt", "growing.txt", "vanishing.txt"]) await writeFile(at(`texts/${name}`), name);
    const run = await millrace([...LENGTHS, "-p", `input=${at("texts")}/*.txt`, "-p", `output=${at("lengths")}`]);
    assert.equal(run.status, 0, run.stderr);
    const rows = await rowsBelow<{ name: string; bytes: number }>(at("lengths/lengths"));
    assert.deepEqual(
      rows.sort((a, b) => (a.name < b.name ? -1 : 1)),
      ["a.txt", "b.txt"].map((name) => ({ name, bytes: name.length })),
    );
    const letters = await rowsBelow<DeadLetter>(at("lengths/dead-letters"));
    const [grown, vanished] = letters.sort((a, b) => (nameIn(a) < nameIn(b) ? -1 : 1));
    assert.deepEqual(
      [grown, vanished].map((one) => one?.operator),
      ["measure", "measure"],
    );
    assert.equal(grown?.code, "MILL_SOURCE_CHANGED");
    assert.match(grown!.message, /growing\.txt .*expected 11 bytes, found 15 bytes\. Run the job again/);
    assert.equal(vanished?.code, "MILL_STORE_NOT_FOUND");
    assert.match(vanished!.message, /\/texts\/vanishing\.txt.*removed/);
    assert.equal(letters.length, 2);
    assert.ok(
      run.stdout.endsWith(`  2 bad records, each with its reason: ${at("lengths/dead-letters")}\n`),
      run.stdout,
    );
  });

  it("ends well where no record is good: nothing is lost, and nothing hidden", async () => {
    await mkdir(at("all"));
    await writeFile(at("all/growing.txt"), "growing.txt");
    const run = await millrace([...LENGTHS, "-p", `input=${at("all")}/*.txt`, "-p", `output=${at("all-out")}`]);
    assert.equal(run.status, 0, run.stderr);
    assert.match(
      run.stdout,
      /finished: 1 file read, 0 rows written in .*\n.*\n {2}1 bad record, each with its reason: \S+\n$/,
    );
    assert.deepEqual((await rowsBelow<DeadLetter>(at("all-out"))).map(nameIn), ["growing.txt"]);
  });

  it('fails the job at a bad record where its topology says badRecords: "fail", and publishes nothing', async () => {
    await pagesWith(at("strict"), {});
    for (const name of ["a.txt", "growing.txt"]) await writeFile(at(`strict/${name}`), name);
    const params = ["-p", `input=${at("strict")}/*.txt`, "-p", `output=${at("none")}`, "-p", "bad=fail"];
    assertRefused(
      await refused([...LENGTHS, ...params]),
      1,
      "MILL_JOB_FAILED",
      /operator "measure" refused a record/,
      /growing\.txt has changed/,
      /badRecords: "fail"/,
    );
    assert.deepEqual(await filesBelow(at("none")), []);
    assert.equal(await readFile(at("strict/a.txt"), "utf8"), "a.txt");
  });
});
