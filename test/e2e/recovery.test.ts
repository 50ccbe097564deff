/**
 * What comes out when hosts, instances and the coordinator are killed in the middle: every row once, whatever was under way.
 * Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { type Ended, MillraceProcess } from "./millrace-process.js";

const FILES = 12;
const WORDS = 40;

describe("e2e: processes that are killed", function () {
  this.timeout(120_000);
  let nats: NatsServer;
  let minio: MinioServer;
  let store: ObjectStore;
  let env: Record<string, string>;
  let folder: string;
  const cluster: MillraceProcess[] = [];
  const words: string[] = [];

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
    for (const args of [["coordinator"], ["worker", "--name", "w1"], ["worker", "--name", "w2"]]) {
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

  async function rowsBelow(prefix: string): Promise<string[]> {
    const rows: string[] = [];
    for await (const { key } of store.list(`${prefix}/`)) {
      if (key.includes("/_")) continue;
      const text = Buffer.from(await store.get(key)).toString("utf8");
      rows.push(...text.split("\n").filter((line) => line !== ""));
    }
    return rows.map((line) => (JSON.parse(line) as { word: string }).word).sort();
  }

  async function submit(output: string, more: string[]): Promise<{ marks: string; ended: Promise<Ended> }> {
    const marks = join(folder, `marks-${output}`);
    await mkdir(marks);
    const args = ["submit", "test/fixtures/slow-words.ts", "-p", `input=${folder}/text-*.txt`];
    const params = ["-p", `output=${output}`, "-p", `marks=${marks}`, ...more.flatMap((param) => ["-p", param])];
    return { marks, ended: new MillraceProcess([...args, ...params], { env }).ended };
  }

  /** Kills up to `most` processes that leave marks, one after another while the job runs. @returns how many */
  async function killHosts(marks: string, most: number, ended: Promise<Ended>): Promise<number> {
    const killed = new Set<number>();
    let over = false;
    void ended.then(() => {
      over = true;
    });
    while (!over && killed.size < most) {
      await pause(700);
      const pids = (await readdir(marks)).map((name) => Number(name.split(".")[1]));
      const victim = pids.find((pid) => !killed.has(pid));
      if (victim === undefined) continue;
      killed.add(victim);
      process.kill(victim, "SIGKILL");
    }
    return killed.size;
  }

  for (const [what, more] of [
    ["of two independent regions", []],
    ["of one region that exchanges rows", ["keyed=yes"]],
  ] as [string, string[]][]) {
    it(`hosts ${what}: every row comes out once (rules 1, 2, 5, 6)`, async () => {
      const output = `hosts${more.length}`;
      const { marks, ended } = await submit(output, more);
      assert.ok((await killHosts(marks, 3, ended)) >= 2, "two hosts were killed");
      ok(await ended);
      assert.deepEqual(await rowsBelow(output), [...words].sort());
    });
  }

  it("the coordinator: the next one takes the job up, and what is at work goes on (rules 1, 9)", async () => {
    const { marks, ended } = await submit("coordinator", ["together=2"]);
    await begun(marks);
    cluster[0]!.kill("SIGKILL");
    await cluster[0]!.ended;
    cluster[0] = new MillraceProcess(["coordinator"], { env });
    ok(await ended);
    assert.deepEqual(await rowsBelow("coordinator"), [...words].sort());
    const hosts = new Set((await readdir(marks)).map((name) => name.split(".")[1]));
    assert.equal(hosts.size, 2, "no host was started again");
  });

  async function begun(marks: string): Promise<void> {
    const lateMs = Date.now() + 20_000;
    while ((await readdir(marks)).length < 2) {
      assert.ok(Date.now() < lateMs, "both hosts have begun within 20 s");
      await pause(50);
    }
  }

  function ok({ status, stdout, stderr }: Ended): void {
    assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
  }
});
