import assert from "node:assert/strict";
import { finished } from "../e2e/cluster.js";
import { allGone, TestCluster, words } from "./cluster.js";

describe("integration/gpus: workers that are told of devices", function () {
  this.timeout(60_000);
  const told = ["--gpus", "1", "--gpu-kind", "NVIDIA H200", "--gpu-memory", "80GiB"];
  const cluster = new TestCluster();
  before(async () => {
    await cluster.start();
    await cluster.worker("w1", ...told);
  });
  after(() => cluster.stop());

  it("two instances share one, a third waits and says why, and is placed when there is another", async () => {
    const all = words("word", 30);
    const { submitted, marks, rows } = await cluster.tell([all], { topology: "told-gpus.ts" });
    const busy = (count: number) =>
      marks.until(`${count} busy instances`, async () => {
        const some = (await marks.instances()).filter((one) => one.words.length > 0);
        return some.length === count ? some : undefined;
      });
    await busy(2);
    const reason = "needs 0.5 gpu of kind h200 with 40 GiB; worker w1 has 1, taken";
    await submitted.complains(`service told: 1 instance waits: ${reason}\n`);
    await cluster.worker("w2", ...told);
    const three = await busy(3);
    await marks.release();
    const ended = await submitted.ended;
    finished(ended);
    assert.equal(ended.stderr.split("waits: ").length, 2, `it is said once:\n${ended.stderr}`);
    const published = (await rows()) as unknown as {
      readonly word: string;
      readonly instance: string;
      devices: string;
    }[];
    assert.deepEqual(published.map(({ word }) => word).sort(), [...all].sort());
    assert.deepEqual(
      new Set(published.map(({ instance }) => instance)),
      new Set(three.map(({ instance }) => instance)),
    );
    assert.deepEqual(new Set(published.map(({ devices }) => devices)), new Set(["0"]));
    await allGone(await marks.pids());
  });

  it("operators have theirs in a host of its own; what fits nowhere waits and says why, and is placed when there is room", async () => {
    const all = words("word", 12);
    // A reader may hold two of these splits: two readers leave some for the third, which waits.
    const texts = all.map((one) => [one]);
    const { submitted, marks, rows } = await cluster.tell(texts, {
      topology: "gpu-operators.ts",
      parallelism: 3,
    });
    await submitted.complains(
      "needs 0.5 gpu of kind h200 for operator whole and 0.25 gpu of kind h200 with 20 GiB for operator part; worker w1 has 1, taken; worker w2 has 1, taken\n",
    );
    await cluster.worker("w3", ...told);
    await marks.release();
    finished(await submitted.ended);
    const published = (await rows()) as unknown as Record<string, unknown>[];
    assert.deepEqual(
      published.sort((a, b) => all.indexOf(String(a.word)) - all.indexOf(String(b.word))),
      all.map((word) => ({ word, gpus: "0 0.5", other: "0 0.25", none: 0, devices: "0" })),
    );
  });
});
