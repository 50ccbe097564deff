import assert from "node:assert/strict";
import { finished } from "../e2e/cluster.js";
import { allGone, TestCluster, words } from "./cluster.js";

describe("integration/drain: SIGTERM while a job runs", function () {
  this.timeout(60_000);
  const cluster = new TestCluster();
  before(() => cluster.start("w1"));
  after(() => cluster.stop());

  it("a worker finishes what it holds, takes nothing new, and leaves with status 0 and no process behind", async () => {
    const leaving = await cluster.worker("leaving");
    const texts = [0, 1, 2, 3].map((i) => [`hold-${i}`, ...words(`plain${i}`, 5)]);
    const { submitted, marks, rows, deadLetters } = await cluster.tell(texts, { parallelism: 2, instances: 2 });
    await marks.until("both instances at work", async () => {
      const busy = (await marks.instances()).filter((one) => one.words.length > 0);
      return busy.length === 2 ? true : undefined;
    });
    leaving.kill("SIGTERM");
    await leaving.says("takes nothing new and waits for");
    const other = await cluster.tell([words("other", 5)], { instances: 2 });
    finished(await other.submitted.ended);
    await marks.release();
    finished(await submitted.ended);
    finished(await leaving.ended);
    assert.deepEqual(await deadLetters(), []);
    assert.deepEqual((await rows()).map(({ word }) => word).sort(), texts.flat().sort());
    assert.equal((await marks.instances()).length, 2, "an instance was replaced that had nothing wrong with it");
    assert.equal((await other.rows()).length, 5);
    await allGone([...(await marks.pids()), ...(await other.marks.pids())]);
  });

  it("a coordinator that is told to stop leaves with status 0, and the workers after it", async () => {
    const ended = await Promise.all(cluster.processes.map((process) => process.stop()));
    for (const one of ended) finished(one);
  });
});
