/** `scale`, `drain`, `pause` and `resume` at a real coordinator, with a small job on real workers. Every row comes out once. */
import assert from "node:assert/strict";
import type { JobDetail, ServiceDetail } from "../../src/coordinator/describe.js";
import { Cluster, finished, until } from "../e2e/cluster.js";
import type { Ended } from "../e2e/millrace-process.js";

describe("integration: the commands scale, drain, pause and resume", function () {
  this.timeout(180_000);
  let cluster: Cluster;
  let url: string;
  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    url = await until("the API's address", async () => /http:\/\/\S+/.exec(cluster.processes[0]!.said)?.[0]);
  });
  after(() => cluster?.stop());

  const ask = (...args: string[]): Promise<Ended> => cluster.run(...args, "--url", url);
  const get = async <T>(path: string) => (await (await fetch(`${url}/v1/${path}`)).json()) as T;
  /** What the coordinator said last: a test that waits in vain shows it. */
  let told = "";
  const becomes = (what: string, holds: () => Promise<boolean>) =>
    until(what, async () => ((await holds()) ? true : undefined), { seen: () => `; ${told}` });

  it("change a job while it runs, and nothing is lost or doubled", async () => {
    const words = await cluster.writeWords(8, 60);
    const submitted = await cluster.submit("slow-words", "changed", { workMs: 60, together: 2 });
    const job = await until("the job's name", async () => /job (\S+) submitted/.exec(submitted.process.said)?.[1]);
    const show = async () => {
      const detail = await get<JobDetail>(`jobs/${job}`);
      const phases = detail.regions.map(({ region, phase, attempt }) => `${region} ${phase} ${attempt}`);
      told = `${detail.state} ${detail.message}, ${detail.rowsWritten} rows written: ${phases.join(", ")}`;
      return detail;
    };
    const ready = async () => {
      const { instances } = await get<ServiceDetail>(`jobs/${job}/services/shout`);
      return instances.filter(({ state }) => state === "READY");
    };
    await becomes("rows are written", async () => (await show()).rowsWritten > 10);

    assert.match(
      finished(await ask("checkpoints", job, "--trigger")),
      /^\d+ regions? of job \S+ to take a checkpoint$/m,
    );
    assert.match(finished(await ask("pause", job)), new RegExp(`^job ${job} rests behind a checkpoint$`, "m"));
    await becomes("all regions rest", async () => (await show()).regions.every(({ phase }) => phase === "PLACING"));
    // While it rests no time presses: it cannot end before all this is done.
    const unknown = await ask("scale", job, "no-such-service", "3");
    assert.deepEqual([unknown.status, /MILL_REQUEST_NOT_FOUND: .*no-such-service/.test(unknown.stderr)], [2, true]);
    assert.match(finished(await ask("scale", job, "shout", "3")), /service shout of job \S+ is to have 3 instances/);
    await becomes("three instances are ready", async () => (await ready()).length === 3);
    const [{ instance }] = (await ready()) as [ServiceDetail["instances"][number]];
    const drained = finished(await ask("drain", instance, "--job", job, "--service", "shout"));
    assert.match(drained, new RegExp(`^instance ${instance} finishes what it has`));
    await becomes("another is there for the one that drained", async () => {
      const now = (await ready()).map((one) => one.instance);
      return now.length === 3 && !now.includes(instance);
    });
    assert.match(finished(await ask("resume", job)), new RegExp(`^job ${job} goes on$`, "m"));
    await becomes("it goes on", async () => (await show()).regions.every(({ phase }) => phase !== "PLACING"));

    const leaving = cluster.processes.find(({ args }) => args.includes("w2"))!;
    assert.match(finished(await ask("drain", "w2")), /^worker w2 takes nothing new/);
    assert.equal((await leaving.ended).status, 0, "it has left");
    finished(await submitted.ended);
    assert.deepEqual((await cluster.words("changed")).sort(), words.sort());

    // What all of them, and a command that asks S3 itself, say: nothing of the S3 client's wishes for Node.
    finished(await cluster.run("savepoint", "list", job));
    for (const { args, complained } of cluster.processes)
      assert.ok(!complained.includes("NodeVersionSupportWarning"), `${args}: ${complained}`);
  });
});
