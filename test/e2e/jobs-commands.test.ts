/** The commands that ask the coordinator over HTTP, on a cluster with a job at work. */
import assert from "node:assert/strict";
import type { JobDetail } from "../../src/coordinator/describe.js";
import { skipBecause } from "../servers/index.js";
import { Cluster, finished, type Submitted, until } from "./cluster.js";
import type { Ended } from "./millrace-process.js";
import { hasTerminals, Terminal } from "./terminal.js";

describe("e2e: jobs, services and workers over the HTTP API", function () {
  this.timeout(180_000);
  let cluster: Cluster;
  let submitted: Submitted;
  let job: string;
  let url: string;

  before(async () => {
    cluster = await Cluster.start("w1");
    const [coordinator] = cluster.processes;
    url = await until("the API's address", async () => /http:\/\/127\.0\.0\.1:\d+/.exec(coordinator!.said)?.[0]);
    await cluster.writeWords(4, 2_000); // it ends when it is cancelled, not before
    submitted = await cluster.submit("slow-words", "words", { workMs: 400 });
    job = await until("the job's name", async () => /job (\S+) submitted/.exec(submitted.process.said)?.[1]);
    let seen: JobDetail | undefined;
    const atWork = async () => {
      seen = (await (await fetch(`${url}/v1/jobs/${job}`)).json()) as JobDetail;
      const { counts, regions } = seen;
      const isWhole = counts.actorsRunning === counts.actors && counts.instancesReady === counts.instancesWanted;
      return isWhole && regions.every(({ phase, committed }) => phase === "RUNNING" && committed > 0)
        ? true
        : undefined;
    };
    await until("all of it at work, with checkpoints", atWork, { seen: () => `: ${JSON.stringify(seen)}` });
  });
  after(() => cluster.stop());

  const ask = (...args: string[]): Promise<Ended> => cluster.run(...args, "--url", url);
  const json = async (...args: string[]) => JSON.parse(finished(await ask(...args, "--json")));

  it("jobs lists it, also by its state, and job shows its operators, regions and services", async () => {
    assert.match(finished(await ask("jobs")), new RegExp(`^${job} +RUNNING .* 4/4 `, "m"));
    assert.deepEqual(
      (await json("jobs", "--state", "running")).jobs.map((one: { job: string }) => one.job),
      [job],
    );
    assert.deepEqual((await json("jobs", "--state", "finished")).jobs, []);
    const text = finished(await ask("job", job));
    assert.match(text, new RegExp(`^job ${job} {2}RUNNING$`, "m"));
    assert.match(text, /^shout +infer shout +2 /m);
    assert.match(text, /^region-texts-0 +RUNNING +1 /m);
    assert.match(text, /^shout: 2 of 2 instances ready$/m);
    assert.equal((await json("job", job)).topology, "slow-words");
  });

  it("checkpoints, services and workers list what there is", async () => {
    const { checkpoints } = await json("checkpoints", job);
    assert.ok(checkpoints.length > 0);
    assert.match(
      finished(await ask("checkpoints", job, "--region", "region-texts-0")),
      /region-texts-0 +\d+ +COMMITTED/,
    );
    assert.match(finished(await ask("services", job)), /^shout +\S+ +READY +w1 /m);
    assert.equal((await json("services", job)).services[0].instances.length, 2);
    assert.match(finished(await ask("workers")), /^w1 +UP /m);
    assert.deepEqual(
      (await json("workers")).workers.map(({ worker }: { worker: string }) => worker),
      ["w1"],
    );
  });

  it("logs shows the job's events, and follows them", async () => {
    assert.match(finished(await ask("logs", job)), /job\.state/);
    const following = cluster.begin("logs", job, "--follow", "--json", "--url", url);
    await following.says('"kind":"job.state"');
    following.kill("SIGINT");
    const { status, stdout } = await following.ended;
    assert.equal(status, 0);
    for (const line of stdout.trimEnd().split("\n")) assert.equal(JSON.parse(line).job, job);
  });

  it("a job that there is not is MILL_JOB_UNKNOWN, with its exit status, of every command", async () => {
    for (const args of [["job"], ["checkpoints"], ["services"], ["logs"], ["logs", "--follow"], ["cancel"]]) {
      const { status, stdout, stderr } = await ask(args[0]!, "no-such-job", ...args.slice(1));
      assert.deepEqual([status, stdout], [2, ""], `${args} ${stderr}`);
      assert.match(stderr, /^millrace: MILL_JOB_UNKNOWN: .*no-such-job/);
    }
  });

  it("an address where no coordinator is, is MILL_COORDINATOR_UNREACHABLE with status 3", async () => {
    for (const args of [["jobs"], ["top"], ["logs", "-f"], ["scale", "a", "b", "2"], ["drain", "w1"]]) {
      const { status, stderr } = await cluster.run(...args, "--url", "http://127.0.0.1:9");
      if (args[0] === "top") assert.match(stderr, /MILL_CONFIG: top needs a terminal/);
      else {
        assert.equal(status, 3, stderr);
        assert.match(stderr, /MILL_COORDINATOR_UNREACHABLE: no coordinator answers at http:\/\/127\.0\.0\.1:9/);
      }
    }
  });

  it("doctor knows a coordinator's port from another program's", async () => {
    const { checks } = JSON.parse(
      (await cluster.run("doctor", "--json", "--http", url.slice("http://".length))).stdout,
    );
    const port = checks.find(({ name }: { name: string }) => name === "http port");
    assert.deepEqual([port.state, port.found], ["ok", `a coordinator answers at ${url}`]);
  });

  for (const [what, keys] of [
    ["q", "q"],
    ["Ctrl-C", "\u0003"],
  ] as const) {
    it(`top shows jobs, operators and instances, and gives the terminal back on ${what}`, async function () {
      if (!hasTerminals()) skipBecause(this, "no `script` (util-linux)");
      const terminal = new Terminal(["top", "--url", url], { NO_COLOR: "1" }, 160, 30);
      try {
        await terminal.shows(/\[\?1049h/);
        await terminal.shows(new RegExp(`${job} {2}RUNNING for `));
        await terminal.shows(/shout +infer shout/);
        await terminal.shows(/shout +\S+ +READY +w1/);
        // Looked at again: the clock in its first line has moved.
        const times = () => new Set(terminal.drawn.match(/\d\d:\d\d:\d\d {2}\d job/g));
        await until("a second look", async () => (times().size > 1 ? true : undefined));
        terminal.press(keys);
        assert.equal(await terminal.ended, 0);
        assert.ok(terminal.drawn.endsWith("\u001b[?25h\u001b[?1049l"), JSON.stringify(terminal.drawn.slice(-100)));
      } finally {
        await terminal.stop();
      }
    });
  }

  it("cancel stops the job", async () => {
    assert.match(finished(await ask("cancel", job)), /is stopped/);
    const { status, stderr } = await submitted.ended;
    assert.equal(status, 1);
    assert.match(stderr, /was cancelled/);
    await until("the job's end", async () => ((await json("job", job)).state === "CANCELLED" ? true : undefined));
  });
});
