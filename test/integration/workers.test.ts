import assert from "node:assert/strict";
import { finished } from "../e2e/cluster.js";
import { allGone, TestCluster, words } from "./cluster.js";

describe("integration/workers: a worker that is killed", function () {
  this.timeout(60_000);
  const cluster = new TestCluster();
  before(() => cluster.start("w1"));
  after(() => cluster.stop());

  it("costs no row and doubles none: its regions go on where there is a worker left, and no process of it stays", async () => {
    const lost = await cluster.worker("doomed");
    const texts = [0, 1, 2, 3].map((i) => [`hold-${i}`, ...words(`plain${i}`, 5)]);
    const { submitted, marks, rows, deadLetters } = await cluster.tell(texts, { parallelism: 2, instances: 2 });
    await marks.until("both instances at work", async () => {
      const busy = (await marks.instances()).filter((one) => one.words.length > 0);
      return busy.length === 2 ? true : undefined;
    });
    lost.kill("SIGKILL");
    await marks.release();
    finished(await submitted.ended);
    assert.deepEqual((await rows()).map(({ word }) => word).sort(), texts.flat().sort());
    assert.deepEqual(await deadLetters(), []);
    await allGone(await marks.pids());
  });
});
