/**
 * What comes out when hosts, instances and the coordinator are killed in the middle: every row once, whatever was under way.
 * Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { Cluster, finished, type Params, until } from "./cluster.js";

describe("e2e: processes that are killed", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let words: string[];

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    words = (await cluster.writeWords(12, 400)).sort();
  });
  after(() => cluster.stop());

  for (const [what, output, params] of [
    ["of two independent regions", "hosts", {}],
    ["of one region that exchanges rows", "hosts-keyed", { keyed: "yes" }],
  ] as [string, string, Params][]) {
    it(`hosts ${what}: every row comes out once (rules 1, 2, 5, 6)`, async () => {
      const job = await cluster.submit("slow-words", output, params);
      await job.killHosts(3);
      await cluster.release(output);
      finished(await job.ended);
      assert.deepEqual((await cluster.words(output)).sort(), words);
    });
  }

  it("the coordinator: the next one takes the job up, and what is at work goes on (rules 1, 9)", async () => {
    const job = await cluster.submit("slow-words", "coordinator", { together: 2 });
    await until("both hosts at work", async () => ((await job.pids()).size === 2 ? true : undefined));
    const [coordinator] = cluster.processes;
    coordinator!.kill("SIGKILL");
    await coordinator!.ended;
    await cluster.leader();
    await cluster.release("coordinator");
    finished(await job.ended);
    assert.deepEqual((await cluster.words("coordinator")).sort(), words);
    const hosts = [...(await job.pids()).values()].flatMap((pids) => [...pids]);
    assert.equal(new Set(hosts).size, 2, "no host was started again");
  });
});
