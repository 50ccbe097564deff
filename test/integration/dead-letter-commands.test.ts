/** `millrace dead-letters` at a real coordinator, with a job that refuses three of four files until it is mended. */
import assert from "node:assert/strict";
import { type Ended, millrace } from "../e2e/millrace-process.js";
import { hasTerminals, Terminal } from "../e2e/terminal.js";
import { skipBecause } from "../servers/index.js";
import { MendedJob } from "./mended-job.js";

const NAMES = ["bad-1.txt", "bad-2.txt", "bad-3.txt", "good.txt"];

describe("integration: the command dead-letters", function () {
  this.timeout(120_000);
  let job: MendedJob;
  before(async () => {
    job = await MendedJob.ended(Object.fromEntries(NAMES.map((name) => [name, `text of ${name}`])));
  });
  after(() => job?.close());

  const letters = (...args: string[]): Promise<Ended> => millrace(["dead-letters", ...args, "--url", job.url]);
  const said = ({ status, stdout, stderr }: Ended): string => {
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const json = async (...args: string[]) => JSON.parse(said(await letters(...args, "--json")));
  const idOf = async (name: string): Promise<string> => {
    const { deadLetters } = await json(job.job);
    return deadLetters.find(({ message }: { message: string }) => message.startsWith(name)).id;
  };

  it("lists them, also by operator, code and state, and shows one with its record", async () => {
    const text = said(await letters(job.job));
    assert.match(text, /^ID +REFUSED +OPERATOR +CODE +STATE +MESSAGE$/m);
    assert.equal(text.match(/ judge +MILL_OPERATOR_FAILED +open +bad-\d/g)?.length, 3, text);
    assert.equal(said(await letters("list", job.job)), text, "list is what it does without a word");
    assert.equal((await json(job.job, "--operator", "judge")).deadLetters.length, 3);
    assert.deepEqual((await json(job.job, "--code", "MILL_RECORD_INVALID")).deadLetters, []);
    assert.match(
      said(await letters(job.job, "--state", "replayed")),
      /^job \S+ has no replayed dead letters that are published$/m,
    );
    const shown = said(await letters("show", job.job, await idOf("bad-1")));
    assert.match(shown, /MILL_OPERATOR_FAILED: bad-1\.txt is not for now/);
    assert.match(shown, /^ {2}name: "bad-1\.txt"$/m);
    assert.match(shown, /^ {2}content of ref: text\/plain, 17 B$/m);
  });

  it("asks for consent before harm; where nobody can be asked it does nothing and says how to go on", async () => {
    for (const verb of ["replay", "discard"]) {
      const { status, stdout, stderr } = await letters(verb, job.job, "--all");
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, new RegExp(`MILL_CONFIG: ${verb} 3 dead letters of job ${job.job}\\? .* give --yes`, "i"));
    }
    assert.equal((await json(job.job)).deadLetters.length, 3);
  });

  it("wants to be told which, and once", async () => {
    const none = await letters("discard", job.job, "--yes");
    assert.match(none.stderr, /MILL_CONFIG: it is not said which dead letters .*--all, --operator or --code/);
    const both = await letters("discard", job.job, await idOf("bad-1"), "--all", "--yes");
    assert.match(both.stderr, /MILL_CONFIG: both ids and a filter/);
    const nothing = await letters("discard", job.job, "--code", "MILL_RECORD_INVALID", "--yes");
    assert.match(nothing.stderr, /MILL_REQUEST_NOT_FOUND: .* no open dead letters with MILL_RECORD_INVALID/);
    assert.deepEqual([none.status, both.status, nothing.status], [2, 2, 2]);
    assert.equal((await json(job.job)).deadLetters.length, 3);
  });

  for (const [answer, keys, left] of [
    ["Enter is no", "\r", 3],
    ["Ctrl-D is no", "\u0004", 3],
    ["y is yes", "y\r", 2],
  ] as const) {
    it(`at a terminal it asks, and ${answer}`, async function () {
      if (!hasTerminals()) skipBecause(this, "no `script` (util-linux)");
      const terminal = new Terminal(["dead-letters", "discard", job.job, await idOf("bad-3"), "--url", job.url]);
      try {
        await terminal.shows(/Discard 1 dead letter of job \S+\? \[y\/N\] /);
        terminal.press(keys);
        assert.equal(await terminal.ended, 0);
        assert.match(terminal.drawn, left === 3 ? /nothing was changed/ : /1 dead letter of job \S+ discarded/);
      } finally {
        await terminal.stop();
      }
      assert.equal((await json(job.job)).deadLetters.length, left);
    });
  }

  it("replay gives one back, or all, and says by which job; again it says the same", async () => {
    await job.mend();
    const id = await idOf("bad-1");
    const one = await json("replay", job.job, id, "--yes");
    assert.deepEqual([one.replays[0].records, one.left, one.more], [1, 0, false]);
    const again = said(await letters("replay", job.job, id, "--yes"));
    assert.match(again, new RegExp(`^1 record replayed by job ${one.replays[0].job}$`, "m"));
    const all = said(await letters("replay", job.job, "--all", "--yes"));
    const [, by] = /^1 record replayed by job (\S+)$/m.exec(all) ?? assert.fail(all);
    for (const made of [one.replays[0].job, by]) assert.equal(await job.endOf(made!), "FINISHED");
    assert.deepEqual(await job.written(), ["bad-1.txt", "bad-2.txt", "good.txt"]);
    assert.equal((await json(job.job, "--state", "discarded")).deadLetters.length, 1);
  });
});
