/** Inputs that are not there, and outputs that cannot or must not be written: `millrace run` says so and loses nothing. */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { assertRefused, filesBelow, type Refused, refused, rowsBelow } from "./bad-input-support.js";
import { millrace } from "./millrace-process.js";

let folder: string;
const at = (name: string): string => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-bad-folders-"));
  await mkdir(at("in"));
  for (const name of ["a.txt", "b.txt"]) await writeFile(at(`in/${name}`), name);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const job = (input: string, output: string, ...more: readonly string[]): string[] => [
  ...["run", "test/fixtures/content-length.ts", "-p", `input=${input}`, "-p", `output=${output}`],
  ...more,
];

async function lengths(output: string): Promise<Record<string, number>> {
  const rows = await rowsBelow<{ name: string; bytes: number }>(join(output, "lengths"));
  return Object.fromEntries(rows.map(({ name, bytes }) => [name, bytes]));
}

describe("e2e: input that cannot be read", () => {
  it("refuses a pattern that matches nothing with MILL_SOURCE_EMPTY, exit status 2, and leaves no output", async () => {
    const pattern = at("in/*.{jpg,png}");
    const refusal = await refused(job(pattern, at("out")));
    assertRefused(refusal, 2, "MILL_SOURCE_EMPTY", /Check the path and the pattern/);
    assert.ok(refusal.message.includes(`no file matches ${pattern}`), refusal.message);
    assert.deepEqual(await filesBelow(at("out")), []);
  });

  it("sets a file aside that is there and cannot be read, and reads the others", async () => {
    await lockedFile(at("in/locked.txt"));
    const run = await millrace(job(at("in/*.txt"), at("out")));
    assert.equal(run.status, 0, run.stderr);
    assert.deepEqual(await lengths(at("out")), { "a.txt": 5, "b.txt": 5 });
    const [letter, ...more] = await rowsBelow<{ code: string; message: string }>(at("out/dead-letters"));
    assert.deepEqual(more, []);
    assert.match(letter!.code, /^MILL_STORE_(REFUSED|FAILED)$/);
    assert.match(letter!.message, /\/in\/locked\.txt.*\. (Change its owner|Look at the disk)/);
    assert.match(run.stdout, /1 bad record, each with its reason: /);
  });
});

/** A file that no read succeeds on. A superuser may read what has no permissions, so there it leads to memory that nobody may. */
async function lockedFile(path: string): Promise<void> {
  if (process.getuid?.() === 0) return symlink("/proc/self/mem", path);
  await writeFile(path, "secret");
  await chmod(path, 0);
}

describe("e2e: output that must not be written", function () {
  this.timeout(60_000); // two or three commands, one after another

  it("refuses a folder that holds an earlier run's files with MILL_SINK_EXISTS, exit status 2, and leaves them", async () => {
    assert.equal((await millrace(job(at("in/*.txt"), at("out")))).status, 0);
    const [file] = await filesBelow(at("out/lengths"));
    const earlier = await readFile(file!);
    const refusal = await refused(job(at("in/a.txt"), at("out")));
    assertRefused(refusal, 2, "MILL_SINK_EXISTS", /operator "lengths"/, /already holds 1 file/, /give --overwrite/);
    assert.ok(refusal.message.includes(dirname(file!)) && refusal.message.includes(basename(file!)), refusal.message);
    assert.deepEqual(await readFile(file!), earlier);
  });

  it("replaces an earlier run's files with --overwrite, dead letters too", async () => {
    await writeFile(at("in/growing.txt"), "grows");
    assert.equal((await millrace(job(at("in/*.txt"), at("out")))).status, 0);
    assert.equal((await filesBelow(at("out/dead-letters"))).length, 1);
    const again = await millrace(job(at("in/a.txt"), at("out"), "--overwrite"));
    assert.equal(again.status, 0, again.stderr);
    assert.deepEqual(await lengths(at("out")), { "a.txt": 5 });
    assert.deepEqual((await filesBelow(at("out"))).length, 1, "nothing is left of the earlier run, not even put aside");
  });

  it("gives an earlier run's files back when the job that would replace them fails", async () => {
    assert.equal((await millrace(job(at("in/*.txt"), at("out")))).status, 0);
    const before = await filesBelow(at("out"));
    await writeFile(at("in/growing.txt"), "grows");
    const refusal = await refused(job(at("in/*.txt"), at("out"), "--overwrite", "-p", "bad=fail"));
    assertRefused(refusal, 1, "MILL_JOB_FAILED", /growing\.txt/);
    assert.deepEqual(await filesBelow(at("out")), before, "under the same name");
    assert.deepEqual(await lengths(at("out")), { "a.txt": 5, "b.txt": 5 });
  });

  it("refuses to replace a file that no run wrote, also with --overwrite, and touches nothing", async () => {
    assert.equal((await millrace(job(at("in/*.txt"), at("out")))).status, 0);
    await writeFile(at("out/lengths/thesis.docx"), "ten years of work");
    const before = (await filesBelow(at("out"))).sort();
    const refusal = await refused(job(at("in/a.txt"), at("out"), "--overwrite"));
    assertRefused(refusal, 2, "MILL_SINK_EXISTS", /holds thesis\.docx, which no run/, /Choose another place/);
    assert.deepEqual((await filesBelow(at("out"))).sort(), before);
    assert.equal(await readFile(at("out/lengths/thesis.docx"), "utf8"), "ten years of work");
  });
});

describe("e2e: output that cannot be written", () => {
  async function refusedAt(output: string, ...says: readonly RegExp[]): Promise<Refused> {
    const refusal = await refused(job(at("in/*.txt"), output));
    assertRefused(refusal, 2, "MILL_SINK_UNWRITABLE", /Or choose another place\.$/, ...says);
    return refusal;
  }

  it("names the file that is in the way of the folder, with MILL_SINK_UNWRITABLE and exit status 2", async () => {
    const { message } = await refusedAt(at("in/a.txt/results"), /operator "lengths"/, /Move it away/);
    assert.ok(message.includes(`${at("in/a.txt")} is no folder`), message);
    assert.equal(await readFile(at("in/a.txt"), "utf8"), "a.txt");
  });

  it("checks the dead letters' place as well, before the job", async () => {
    await mkdir(at("out"));
    await writeFile(at("out/dead-letters"), "a file of this name");
    await refusedAt(at("out"), /operator "dead letters"/, /out\/dead-letters is no folder/);
    assert.deepEqual(await filesBelow(at("out")), [at("out/dead-letters")]);
  });

  if (process.platform === "linux") {
    it("ends where the file system takes no new folder, which Node's own way to make one never does", async () => {
      await refusedAt("/proc/millrace", /no folder can be made at \/proc\/millrace/);
    });
  }

  if (process.getuid?.() !== 0) {
    it("names the folder that this user may not write", async () => {
      await mkdir(at("locked"), { mode: 0o500 });
      await refusedAt(at("locked/out"), /may not read or write \S+locked/, /Change its owner or mode/);
    });
  }
});
