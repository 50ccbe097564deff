/**
 * A job is changed while it runs, over HTTP and by way of the coordinator that follows: paused and resumed, its service scaled, an instance
 * drained, another put into quarantine, the leader killed in between. Real processes, NATS, S3. Every row comes out once.
 */
import assert from "node:assert/strict";
import type { JobDetail } from "../../src/coordinator/describe.js";
import type { JobWishes } from "../../src/wire/control.js";
import { Cluster, finished, type Submitted, until } from "./cluster.js";
import type { MillraceProcess } from "./millrace-process.js";

const AT = /HTTP API and dashboard at (\S+)/;

describe("e2e: a job is changed while it runs", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let follower: MillraceProcess;
  let words: string[];

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    words = (await cluster.writeWords(8, 200)).sort();
    follower = await cluster.up("coordinator");
    await follower.says("follows");
  });
  after(() => cluster?.stop());

  /** Until `holds` does. */
  const becomes = (what: string, holds: () => Promise<boolean>) =>
    until(what, async () => ((await holds()) ? true : undefined));

  async function ask<T>(method: string, path: string, body?: object): Promise<T> {
    const [, url] = AT.exec(follower.said)!;
    const json =
      body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(`${url}${path}`, { method, ...json });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return (await answer.json()) as T;
  }

  async function jobOf(submitted: Submitted): Promise<string> {
    await submitted.process.says("submitted");
    return /job (\S+) submitted/.exec(submitted.process.said)![1]!;
  }

  it("pauses, goes on under the next leader, scales, drains and quarantines, and loses and doubles nothing", async () => {
    const submitted = await cluster.submit("slow-words", "changed", { workMs: 100, together: 2 });
    const job = await jobOf(submitted);
    const show = () => ask<JobDetail>("GET", `/v1/jobs/${job}`);
    const ready = async () =>
      (await show()).services[0]!.instances.filter(({ state }) => state === "READY").map(({ instance }) => instance);
    await becomes("rows are written", async () => (await show()).rowsWritten > 20);

    await ask("POST", `/v1/jobs/${job}/pause`);
    let regions: JobDetail["regions"] = [];
    const rest = async () => {
      ({ regions } = await show());
      return regions.every(({ phase }) => phase === "PLACING" || phase === "FINISHED") ? true : undefined;
    };
    await until("all regions rest", rest, { seen: () => `: ${JSON.stringify(regions)}` });
    assert.ok(
      regions.some(({ phase }) => phase === "PLACING"),
      "the job was paused before it was done",
    );
    const written = (await cluster.words("changed")).length;
    assert.ok(written > 0, "what was done before is published");
    cluster.processes[0]!.kill("SIGKILL");
    await follower.says("leads");
    await becomes(
      "the next leader has it paused",
      async () => (await ask<JobWishes>("GET", `/v1/jobs/${job}/wishes`)).paused,
    );
    assert.equal((await cluster.words("changed")).length, written, "nothing is done meanwhile");
    await ask("POST", `/v1/jobs/${job}/resume`);
    await becomes("it goes on", async () =>
      (await show()).regions.every(({ phase }) => phase === "RUNNING" || phase === "FINISHED"),
    );

    const service = `/v1/jobs/${job}/services/shout`;
    await ask("PATCH", service, { instances: 4 });
    await becomes("four instances are ready", async () => (await ready()).length === 4);
    const [drained, kept] = await ready();
    await ask("POST", `${service}/instances/${drained}/drain`);
    await ask("POST", `${service}/instances/${kept}/quarantine`);
    await becomes("another is there for the one that drained", async () => {
      const now = await ready();
      return now.length === 4 && !now.includes(drained!) && now.includes(kept!);
    });
    await ask("PATCH", service, { instances: 2 });
    await becomes("two are left", async () => (await ready()).length === 2);

    await cluster.release("changed");
    finished(await submitted.ended);
    assert.deepEqual((await cluster.words("changed")).sort(), words);
  });

  it("a job that is stopped has published what it has committed, and ends", async () => {
    const submitted = await cluster.submit("slow-words", "stopped", { workMs: 100, together: 2 });
    const job = await jobOf(submitted);
    await becomes("rows are written", async () => (await ask<JobDetail>("GET", `/v1/jobs/${job}`)).rowsWritten > 20);
    await ask("POST", `/v1/jobs/${job}/stop`);
    await submitted.ended;
    const { state, regions } = await ask<JobDetail>("GET", `/v1/jobs/${job}`);
    assert.equal(state, "CANCELLED");
    assert.ok(regions.every(({ committed }) => committed > 0));
    const all = await cluster.words("stopped");
    assert.ok(all.length > 0);
    assert.equal(new Set(all).size, all.length, "none is doubled");
  });
});
