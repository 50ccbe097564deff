/** Dead letters of an embedded job, listed and replayed over its HTTP API. */
import assert from "node:assert/strict";
import { MendedJob } from "./mended-job.js";

const NAMES = ["bad-1.txt", "bad-2.txt", "bad-3.txt", "good.txt"];

const inputs = () => Object.fromEntries(NAMES.map((name) => [name, `text of ${name}`]));

describe("integration: dead letters are replayed through a durable exchange", function () {
  this.timeout(120_000);

  it("what lies in another region behind it has them, exactly once", async () => {
    const job = await MendedJob.ended(inputs(), { between: "log" });
    try {
      await job.mend();
      const { replays } = await job.replay("");
      assert.equal(await job.endOf(replays[0]!.job), "FINISHED");
      assert.deepEqual(await job.written(), NAMES);
    } finally {
      await job.close();
    }
  });
});

describe("integration: dead letters are replayed", function () {
  this.timeout(120_000);
  let job: MendedJob;

  before(async () => {
    job = await MendedJob.ended(inputs());
  });
  after(() => job?.close());

  it("one is shown, and content that it names comes from where it is", async () => {
    const letters = await job.letters();
    assert.deepEqual(letters.map(({ message }) => message.slice(0, 9)).sort(), ["bad-1.txt", "bad-2.txt", "bad-3.txt"]);
    const at = `${job.at}/${letters.find(({ message }) => message.startsWith("bad-1"))!.id}`;
    const shown = (await (await fetch(at)).json()) as { contents: { path: string }[] };
    assert.deepEqual(
      shown.contents.map(({ path }) => path),
      ["ref"],
    );
    const content = await fetch(`${at}/content/ref`);
    assert.equal(content.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(await content.text(), "text of bad-1.txt");
  });

  it("what still fails is a dead letter again, and nothing is written", async () => {
    assert.deepEqual(await job.written(), ["good.txt"]);
    const { id } = (await job.letters())[0]!;
    const { replays } = await job.replay(`${id}/`);
    assert.equal(replays[0]?.records, 1);
    assert.equal(await job.endOf(replays[0]!.job), "FINISHED");
    assert.deepEqual(await job.written(), ["good.txt"]);
    const again = await job.letters();
    assert.equal(again.length, 3);
    assert.ok(
      !again.some((letter) => letter.id === id),
      "the one that was replayed is over; the new one has its own id",
    );
  });

  it("what is mended goes through its operator and all behind it, exactly once", async () => {
    await job.mend();
    const [bad] = await job.letters();
    const one = await job.replay(`${bad!.id}/`);
    const all = await job.replay("");
    assert.deepEqual([one.replays[0]!.records, all.replays[0]!.records], [1, 2]);
    for (const made of [...one.replays, ...all.replays]) assert.equal(await job.endOf(made.job), "FINISHED");
    assert.deepEqual(await job.written(), NAMES);

    const twice = await job.replay(`${bad!.id}/`);
    assert.equal(twice.replays[0]!.job, one.replays[0]!.job);
    assert.deepEqual(await job.written(), NAMES, "asked again, it is where it was put");
    assert.deepEqual([(await job.letters()).length, (await job.letters("?state=replayed")).length], [0, 4]);
  });
});
