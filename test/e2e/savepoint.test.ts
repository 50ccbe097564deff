/**
 * Savepoints: a job is stopped at one, another goes on from it, with as many parallel instances or with others. Together they write
 * every row once, or count every word once. Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { Cluster, finished, type Params, until } from "./cluster.js";

/** Of `durable-words`: it is not done before it is stopped, or released. */
const SLOW = { letters: 20_000, readMs: 1_000 };

describe("e2e: savepoints", function () {
  this.timeout(240_000);
  let cluster: Cluster;
  let words: string[];
  const jobs: string[] = [];

  before(async () => {
    cluster = await Cluster.start("w1");
    words = await cluster.writeWords(24, 10);
  });
  after(() => cluster.stop());

  /** Submits, and waits for the end. @param flags `--savepoint`, `--parallelism` */
  async function go(fixture: string, output: string, params: Params, ...flags: string[]): Promise<void> {
    finished(await cluster.run(...(await cluster.submission(fixture, output, params)).args, ...flags));
  }

  /** Starts a job, and waits until it has written something. */
  async function begun(fixture: string, output: string, params: Params, ...flags: string[]): Promise<string> {
    const { args } = await cluster.submission(fixture, output, params);
    const job = /job (\S+) submitted/.exec(finished(await cluster.run(...args, ...flags, "--no-wait")))![1]!;
    jobs.push(job);
    await until(`the first rows of ${job}`, async () => ((await cluster.rows(output)).length > 0 ? true : undefined));
    return job;
  }

  /** The same, and stops it at a savepoint. @returns `<job>/<name>` */
  async function stopped(fixture: string, output: string, params: Params, ...flags: string[]): Promise<string> {
    const job = await begun(fixture, output, params, ...flags);
    finished(await cluster.run("savepoint", "create", job, "--name", "half-way", "--stop"));
    return `${job}/half-way`;
  }

  it("goes on from one with as many instances, and with more: every row comes out once (rules 3, 6, 10)", async () => {
    const savepoint = await stopped("slow-words", "first", { keyed: "yes", workMs: 400 });
    const written = await cluster.words("first");
    assert.ok(written.length < words.length, "it was stopped half-way");
    assert.match(finished(await cluster.run("savepoint", "list", jobs[0]!)), /half-way/);
    const listed = JSON.parse(finished(await cluster.run("savepoint", "list", jobs[0]!, "--json")));
    assert.deepEqual(
      listed.savepoints.map(({ name }: { name: string }) => name),
      [savepoint],
    );
    for (const parallelism of ["2", "3"]) {
      const output = `second-${parallelism}`;
      const params = { keyed: "yes", workMs: 2 };
      if (parallelism === "2") {
        await go("slow-words", output, params, "--savepoint", savepoint, "--parallelism", parallelism);
      } else {
        // The same by its own name.
        const [, ...args] = (await cluster.submission("slow-words", output, params)).args;
        finished(await cluster.run("restore", savepoint, ...args, "--parallelism", parallelism));
      }
      const rest = await cluster.words(output);
      assert.deepEqual([...written, ...rest].sort(), [...words].sort(), `with ${parallelism} instances`);
    }
    assert.deepEqual(await cluster.words("first"), written, "the first job wrote nothing more");
  });

  it("counts by key go on with fewer instances, each from where it was (rule 10, K3)", async () => {
    const savepoint = await stopped("count-words", "counts-1", { emit: "changes", pauseMs: 4_000 });
    await go("count-words", "counts-2", { emit: "changes" }, "--savepoint", savepoint, "--parallelism", "1");
    type Count = { readonly initial: string; readonly words: number };
    const seen = [...(await cluster.rows<Count>("counts-1")), ...(await cluster.rows<Count>("counts-2"))];
    assert.equal(seen.length, words.length);
    for (const initial of "abcdefghij") {
      const own = seen.filter((row) => row.initial === initial).map((row) => row.words);
      const total = words.filter((word) => word[0] === initial).length;
      assert.deepEqual(
        own.sort((a, b) => a - b),
        Array.from({ length: total }, (_, i) => i + 1),
        initial,
      );
    }
  });

  /** What `durable-words` writes, in the order in which each key's owner wrote it. */
  async function durableRows(prefix: string): Promise<string[]> {
    return (await cluster.rows<{ word: string; answer: string }>(prefix)).map(({ word, answer }) => {
      assert.equal(answer, word.toUpperCase());
      return word;
    });
  }

  /** Rows of a letter come from all files; those of one file keep their order. */
  function inOrder(all: readonly string[], what: string): void {
    const lines = new Map<string, number[]>();
    for (const word of all) {
      const [source, number] = word.split("-");
      lines.set(source!, [...(lines.get(source!) ?? []), Number(number)]);
    }
    for (const [source, numbers] of lines) {
      assert.deepEqual(
        numbers,
        [...numbers].sort((a, b) => a - b),
        `${what}: ${source} keeps its order`,
      );
    }
  }

  it("a job with a durable exchange goes on from one, whose log is full and has been deleted since, with as many writers and readers or others (rules 3, 10)", async () => {
    const bytesMax = 1 << 20;
    const savepoint = await stopped("durable-words", "durable", { ...SLOW, bytesMax });
    const written = await durableRows("durable");
    assert.ok(written.length < words.length, "it was stopped half-way");
    const kept: number[] = [];
    for await (const { sizeBytes } of cluster.store.list(
      `jobs/${savepoint.split("/")[0]}/savepoint-exchanges/half-way/`,
    )) {
      kept.push(sizeBytes);
    }
    const keptBytes = kept.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(keptBytes > bytesMax, `a log's worth lay between writers and readers: ${keptBytes} bytes`);
    for (const [parallelism, partitions] of [
      [2, 2],
      [3, 1],
    ]) {
      const output = `durable-${parallelism}-${partitions}`;
      const flags = ["--savepoint", savepoint, "--parallelism", `${parallelism}`];
      await go("durable-words", output, { bytesMax, partitions: partitions! }, ...flags);
      const all = [...written, ...(await durableRows(output))];
      const what = `${parallelism} writers, ${partitions} readers`;
      assert.deepEqual([...all].sort(), [...words].sort(), what);
      inOrder(all, what);
    }
  });

  it("a job that is still reading what a savepoint has kept can have one itself (rule 3)", async () => {
    const first = await stopped("durable-words", "again-1", SLOW);
    const flags = ["--savepoint", first, "--parallelism", "1"];
    const second = await stopped("durable-words", "again-2", { ...SLOW, partitions: 3 }, ...flags);
    await go("durable-words", "again-3", { partitions: 2 }, "--savepoint", second);
    const all: string[] = [];
    for (const output of ["again-1", "again-2", "again-3"]) all.push(...(await durableRows(output)));
    assert.deepEqual([...all].sort(), [...words].sort());
    inOrder(all, "three jobs");
  });

  it("a job with a durable exchange goes on after one that does not stop it, and what was kept is whole (rule 3)", async () => {
    const job = await begun("durable-words", "goes-on", SLOW);
    finished(await cluster.run("savepoint", "create", job, "--name", "on-the-way"));
    const before = await durableRows("goes-on");
    await cluster.release("goes-on");
    const all = await until("all rows of the job that goes on", async () => {
      const rows = await durableRows("goes-on");
      return rows.length >= words.length ? rows : undefined;
    });
    assert.deepEqual(all.sort(), [...words].sort());
    await go("durable-words", "from-there", {}, "--savepoint", `${job}/on-the-way`);
    const rest = await durableRows("from-there");
    assert.equal(new Set(rest).size, rest.length, "nothing twice");
    assert.ok(rest.length < words.length, "what was written before it is not written again");
    assert.deepEqual([...new Set([...before, ...rest])].sort(), [...words].sort(), "nothing is missing");
  });

  it("state that finds no operator is an error that names it (M1)", async () => {
    const savepoint = `${jobs[0]}/half-way`;
    const other = (await cluster.submission("count-words", "unmatched", {})).args;
    const refused = await cluster.run(...other, "--savepoint", savepoint);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /MILL_SAVEPOINT_UNMATCHED.*"(shout|keep)" \((infer|mapRows)\)/);
    const unknown = await cluster.run(...other, "--savepoint", `${savepoint}-not`);
    assert.match(unknown.stderr, /MILL_CONFIG.*has no savepoint "half-way-not"/);
  });
});
