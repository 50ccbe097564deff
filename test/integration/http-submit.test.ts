/** A job by HTTP alone: coordinator, worker, NATS and S3 are real, and so is the process that plans. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Cluster, until } from "../e2e/cluster.js";
import { MillraceProcess } from "../e2e/millrace-process.js";

const SOURCE = `
import { files, jsonl, t, topology } from "millrace";
export default topology("sent", (job) => {
  job.read(files("s3://nowhere/*.txt"), { id: "texts" })
    .flatMap({ id: "split", to: { word: t.utf8 } }, async ({ ref }, { content }) => {
      const text = new TextDecoder().decode(await content.bytes(ref));
      return text.split(" ").map((word) => ({ word }));
    })
    .to(jsonl("sent/words"), { id: "words" });
}, () => ({ deadLetters: "sent/dead-letters" }));
`;

describe("integration: submitted over HTTP", function () {
  this.timeout(240_000);
  let cluster: Cluster;
  let url: string;
  before(async () => {
    cluster = await Cluster.start("w1");
    const [coordinator] = cluster.processes;
    url = await until("the API's address", async () => /http:\/\/127\.0\.0\.1:\d+/.exec(coordinator!.said)?.[0]);
  });
  after(() => cluster.stop());

  const json = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${url}${path}`, init);
    return { status: answer.status, body: (await answer.json()) as Record<string, never> };
  };
  const submit = (key: string) =>
    json("/v1/jobs", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify({ topology: SOURCE, inputs: { texts: `${cluster.env.MILLRACE_STORE}/in/*.txt` } }),
    });

  it("source runs; the same key is the same job; what it has left is deleted, and what it has published is not", async () => {
    await cluster.store.put("in/a.txt", Buffer.from("one two"));
    await cluster.store.put("in/b.txt", Buffer.from("three"));
    const { status, body } = await submit("key-1");
    assert.equal(status, 201, JSON.stringify(body));
    const job = String(body.job);
    assert.deepEqual((await submit("key-1")).body, body);
    await until("its end", async () => {
      const found = (await json(`/v1/jobs/${job}`)).body as Record<string, string>;
      assert.notEqual(found.state, "FAILED", found.message);
      return found.state === "FINISHED" ? true : undefined;
    });
    assert.deepEqual((await cluster.words("sent/words")).sort(), ["one", "three", "two"]);
    assert.deepEqual((await submit("key-1")).body, body, "also when it has ended, and its outputs are there");
    const report = `jobs/${job}/report.avro`;
    await until("its report", async () => ((await cluster.store.head(report)) === undefined ? undefined : true));
    assert.equal((await json(`/v1/jobs/${job}`, { method: "DELETE" })).status, 202);
    await until("it to be deleted", async () => {
      const { state } = (await json(`/v1/operations/delete.${job}`)).body as Record<string, string>;
      assert.notEqual(state, "failed");
      return state === "done" ? true : undefined;
    });
    for await (const { key } of cluster.store.list(`jobs/${job}/`)) assert.fail(`${key} is left`);
    assert.deepEqual((await cluster.words("sent/words")).sort(), ["one", "three", "two"]);
  });

  /** The command as somebody runs it who reaches the coordinator's address alone. */
  const command = (...args: string[]) => {
    const env = { ...process.env, MILLRACE_URL: url, MILLRACE_CACHE: cluster.env.MILLRACE_CACHE! };
    const begun = new MillraceProcess(args, { env: env as Record<string, string> });
    cluster.processes.push(begun);
    return begun.ended;
  };

  it("the command uploads code, submits and waits; local files that nobody uploaded are an error that says so", async () => {
    const file = "test/fixtures/word-count.ts";
    const far = await command(
      "submit",
      file,
      "-p",
      `input=${cluster.env.MILLRACE_STORE}/in/*.txt`,
      "-p",
      "output=counted",
    );
    assert.equal(far.status, 0, far.stderr);
    assert.match(far.stdout, /^job word-count-\S+ submitted\njob \S+ finished: 3 rows written\n$/);
    assert.deepEqual((await cluster.words("counted")).sort(), ["one", "three", "two"]);
    const near = await command("submit", file, "-p", `input=${cluster.folder}/*.txt`, "-p", "output=other");
    assert.equal(near.status, 2, near.stdout);
    assert.match(near.stderr, /MILL_CONFIG: source "texts" reads .*s3:\/\/ pattern/);
  });

  it("a job that was stopped at a savepoint goes on, planned by a process that has no rights of its own", async () => {
    const words = await cluster.writeWords(4, 100);
    const { process: first } = await cluster.submit("slow-words", "slow", { workMs: 200 });
    const job = await until("the job's name", async () => /job (\S+) submitted/.exec(first.said)?.[1]);
    await until("rows", async () => ((await cluster.rows("slow")).length > 0 ? true : undefined));
    const asked = await json(`/v1/jobs/${job}/savepoints`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "stop-1" },
      body: JSON.stringify({ stop: true }),
    });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    const operation = String(asked.body.operation);
    await until("the savepoint", async () => {
      const { state, message } = (await json(`/v1/operations/${operation}`)).body as Record<string, string>;
      assert.notEqual(state, "failed", message);
      return state === "done" ? true : undefined;
    });
    await first.ended;
    const before = await cluster.words("slow");
    assert.ok(before.length < words.length, "it was stopped on its way");
    const marks = join(cluster.folder, "marks-slow");
    const params = { input: `${cluster.folder}/text-*.txt`, output: "slow-2", marks, workMs: "0" };
    const flags = Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    const name = operation.split(".")[2];
    const restored = await command("restore", `${job}/${name}`, "test/fixtures/slow-words.ts", ...flags);
    assert.equal(restored.status, 0, restored.stderr);
    assert.deepEqual([...before, ...(await cluster.words("slow-2"))].sort(), words.sort());
  });
});
