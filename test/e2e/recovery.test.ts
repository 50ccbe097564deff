/**
 * What comes out when hosts are killed in the middle: every row once, whatever was under way. Real processes, NATS, S3.
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
import { MillraceProcess } from "./millrace-process.js";

const FILES = 12;
const WORDS = 40;

describe("e2e: hosts that are killed", function () {
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

  for (const [what, keyed] of [
    ["of two independent regions", ""],
    ["of one region that exchanges rows", "yes"],
  ] as const) {
    it(`${what}: every row comes out once`, async () => {
      const output = `words${keyed}`;
      const marks = join(folder, `marks${keyed}`);
      await mkdir(marks);
      const args = ["submit", "test/fixtures/slow-words.ts", "-p", `input=${folder}/text-*.txt`];
      const submitted = new MillraceProcess(
        [...args, "-p", `output=${output}`, "-p", `marks=${marks}`, "-p", `keyed=${keyed}`],
        { env },
      );
      const killed = new Set<number>();
      let over = false;
      const ended = submitted.ended.finally(() => {
        over = true;
      });
      while (!over && killed.size < 3) {
        await pause(700);
        const pids = (await readdir(marks)).map((name) => Number(name.split(".")[1]));
        const victim = pids.find((pid) => !killed.has(pid));
        if (victim === undefined) continue;
        killed.add(victim);
        process.kill(victim, "SIGKILL");
      }
      const { status, stdout, stderr } = await ended;
      assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
      assert.ok(killed.size >= 2, `${killed.size} hosts were killed`);
      assert.deepEqual(await rowsBelow(output), [...words].sort());
    });
  }
});
