/**
 * Savepoints: a job is stopped at one, another goes on from it, with as many parallel instances or with others. Together they write
 * every row once, or count every word once. Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { type Ended, MillraceProcess } from "./millrace-process.js";

const FILES = 8;
const WORDS = 30;

describe("e2e: savepoints", function () {
  this.timeout(240_000);
  let nats: NatsServer;
  let minio: MinioServer;
  let store: ObjectStore;
  let env: Record<string, string>;
  let folder: string;
  const cluster: MillraceProcess[] = [];
  const words: string[] = [];
  const jobs: string[] = [];

  before(async () => {
    nats = await startNats();
    minio = await startMinio();
    folder = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
    env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
    };
    store = openStore(env.MILLRACE_STORE!, { s3: { ...minio } }, realPorts());
    for (let file = 0; file < FILES; file++) {
      const own = Array.from({ length: WORDS }, (_, i) => `${"abcdefghij"[(file + i) % 10]}${file}-${i}`);
      words.push(...own);
      await writeFile(join(folder, `text-${file}.txt`), own.join("\n"));
    }
    for (const args of [["coordinator"], ["worker", "--name", "w1"]]) {
      const one = new MillraceProcess(args, { env });
      cluster.push(one);
      await one.says("is up");
    }
  });

  after(async () => {
    await Promise.all(cluster.map((process) => process.stop()));
    await store.close();
    await Promise.all([nats.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  async function linesBelow(prefix: string): Promise<string[]> {
    const rows: string[] = [];
    for await (const { key } of store.list(`${prefix}/`)) {
      if (key.includes("/_")) continue;
      const text = Buffer.from(await store.get(key)).toString("utf8");
      rows.push(...text.split("\n").filter((line) => line !== ""));
    }
    return rows;
  }

  const wordsBelow = async (prefix: string) =>
    (await linesBelow(prefix)).map((line) => (JSON.parse(line) as { word: string }).word);

  async function millrace(...args: string[]): Promise<Ended> {
    return new MillraceProcess(args, { env }).ended;
  }

  function ok({ status, stdout, stderr }: Ended): string {
    assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
    return stdout;
  }

  async function submitArgs(fixture: string, output: string, ...more: string[]): Promise<string[]> {
    const marks = join(folder, `marks-${output}`);
    await mkdir(marks);
    const params = [`input=${folder}/text-*.txt`, `output=${output}`, `marks=${marks}`, ...more];
    return ["submit", `test/fixtures/${fixture}.ts`, ...params.flatMap((param) => ["-p", param])];
  }

  /** Starts a job, waits until it has written something, and stops it at a savepoint. @returns `<job>/<name>` */
  async function stopped(begun: () => Promise<boolean>, args: readonly string[]): Promise<string> {
    const job = /job (\S+) submitted/.exec(ok(await millrace(...args, "--no-wait")))![1]!;
    jobs.push(job);
    const lateMs = Date.now() + 30_000;
    while (!(await begun())) {
      assert.ok(Date.now() < lateMs, "the job has written something within 30 s");
      await pause(50);
    }
    ok(await millrace("savepoint", "create", job, "--name", "half-way", "--stop"));
    return `${job}/half-way`;
  }

  it("goes on from one with as many instances, and with more: every row comes out once (rules 3, 6, 10)", async () => {
    const args = await submitArgs("slow-words", "first", "keyed=yes", "workMs=60");
    const savepoint = await stopped(async () => (await linesBelow("first")).length > 0, args);
    const written = await wordsBelow("first");
    assert.ok(written.length < words.length, "it was stopped half-way");
    assert.match(ok(await millrace("savepoint", "list", jobs[0]!)), /half-way/);
    for (const parallelism of ["2", "3"]) {
      const go = await submitArgs("slow-words", `second-${parallelism}`, "keyed=yes", "workMs=2");
      ok(await millrace(...go, "--savepoint", savepoint, "--parallelism", parallelism));
      const rest = await wordsBelow(`second-${parallelism}`);
      assert.deepEqual([...written, ...rest].sort(), [...words].sort(), `with ${parallelism} instances`);
    }
    assert.deepEqual(await wordsBelow("first"), written, "the first job wrote nothing more");
  });

  it("counts by key go on with fewer instances, each from where it was (rule 10, K3)", async () => {
    const args = await submitArgs("count-words", "counts-1", "emit=changes", "pauseMs=1500");
    const savepoint = await stopped(async () => (await linesBelow("counts-1")).length > 0, args);
    const go = await submitArgs("count-words", "counts-2", "emit=changes");
    ok(await millrace(...go, "--savepoint", savepoint, "--parallelism", "1"));
    const rows = [...(await linesBelow("counts-1")), ...(await linesBelow("counts-2"))];
    const seen = rows.map((line) => JSON.parse(line) as { initial: string; words: number });
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
    return (await linesBelow(prefix)).map((line) => {
      const { word, answer } = JSON.parse(line) as { word: string; answer: string };
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
    const bytesMax = `bytesMax=${1 << 20}`;
    const args = await submitArgs("durable-words", "durable", "letters=20000", "readMs=100", bytesMax);
    const savepoint = await stopped(async () => (await linesBelow("durable")).length > 0, args);
    const written = await durableRows("durable");
    assert.ok(written.length < words.length, "it was stopped half-way");
    const kept: number[] = [];
    for await (const { sizeBytes } of store.list(`jobs/${savepoint.split("/")[0]}/savepoint-exchanges/half-way/`)) {
      kept.push(sizeBytes);
    }
    const keptBytes = kept.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(keptBytes > 1 << 20, `a log's worth lay between writers and readers: ${keptBytes} bytes`);
    for (const [parallelism, partitions] of [
      [2, 2],
      [3, 1],
    ]) {
      const output = `durable-${parallelism}-${partitions}`;
      const go = await submitArgs("durable-words", output, bytesMax, `partitions=${partitions}`);
      ok(await millrace(...go, "--savepoint", savepoint, "--parallelism", `${parallelism}`));
      const all = [...written, ...(await durableRows(output))];
      const what = `${parallelism} writers, ${partitions} readers`;
      assert.deepEqual([...all].sort(), [...words].sort(), what);
      inOrder(all, what);
    }
  });

  it("a job that is still reading what a savepoint has kept can have one itself (rule 3)", async () => {
    const args = await submitArgs("durable-words", "again-1", "letters=20000", "readMs=100");
    const first = await stopped(async () => (await linesBelow("again-1")).length > 0, args);
    const on = await submitArgs("durable-words", "again-2", "letters=20000", "readMs=100", "partitions=3");
    const second = await stopped(
      async () => (await linesBelow("again-2")).length > 0,
      [...on, "--savepoint", first, "--parallelism", "1"],
    );
    const last = await submitArgs("durable-words", "again-3", "partitions=2");
    ok(await millrace(...last, "--savepoint", second));
    const all: string[] = [];
    for (const output of ["again-1", "again-2", "again-3"]) all.push(...(await durableRows(output)));
    assert.deepEqual([...all].sort(), [...words].sort());
    inOrder(all, "three jobs");
  });

  it("a job with a durable exchange goes on after one that does not stop it, and what was kept is whole (rule 3)", async () => {
    const args = await submitArgs("durable-words", "goes-on", "letters=20000", "readMs=50");
    const job = /job (\S+) submitted/.exec(ok(await millrace(...args, "--no-wait")))![1]!;
    while ((await linesBelow("goes-on")).length === 0) await pause(50);
    ok(await millrace("savepoint", "create", job, "--name", "on-the-way"));
    const before = await durableRows("goes-on");
    const lateMs = Date.now() + 30_000;
    while ((await linesBelow("goes-on")).length < words.length) {
      assert.ok(Date.now() < lateMs, "the job goes on to its end within 30 s");
      await pause(100);
    }
    assert.deepEqual((await durableRows("goes-on")).sort(), [...words].sort());
    ok(await millrace(...(await submitArgs("durable-words", "from-there")), "--savepoint", `${job}/on-the-way`));
    const rest = await durableRows("from-there");
    assert.equal(new Set(rest).size, rest.length, "nothing twice");
    assert.ok(rest.length < words.length, "what was written before it is not written again");
    assert.deepEqual([...new Set([...before, ...rest])].sort(), [...words].sort(), "nothing is missing");
  });

  it("state that finds no operator is an error that names it (M1)", async () => {
    const savepoint = `${jobs[0]}/half-way`;
    const other = await submitArgs("count-words", "unmatched");
    const refused = await millrace(...other, "--savepoint", savepoint);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /MILL_SAVEPOINT_UNMATCHED.*"(shout|keep)" \((infer|mapRows)\)/);
    const unknown = await millrace(...other, "--savepoint", `${savepoint}-not`);
    assert.match(unknown.stderr, /MILL_CONFIG.*has no savepoint "half-way-not"/);
  });
});
