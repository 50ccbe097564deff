/**
 * Counts by key when hosts are killed in the middle: exact, whatever was under way. Readers and counters are on two hosts, with a
 * hash exchange over NATS between them. Real processes, NATS, S3.
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

const FILES = 14;
const WORDS = 50;
const LETTERS = "abcdefghijklmnopqr";

interface Count {
  readonly initial: string;
  readonly words: number;
  readonly longest: string;
}

describe("e2e: counts by key, and hosts that are killed", function () {
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
      const own = Array.from({ length: WORDS }, (_, i) => `${LETTERS[(file * i + i) % LETTERS.length]}${file}-${i}`);
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

  /** What a plain loop counts, letter by letter. */
  function counts(): Map<string, Count> {
    const found = new Map<string, Count>();
    for (const word of words) {
      const initial = word[0]!;
      const { words: before, longest } = found.get(initial) ?? { words: 0, longest: "" };
      const longer = word.length > longest.length || (word.length === longest.length && word < longest);
      found.set(initial, { initial, words: before + 1, longest: longer ? word : longest });
    }
    return found;
  }

  async function rowsBelow(prefix: string): Promise<Count[]> {
    const rows: string[] = [];
    for await (const { key } of store.list(`${prefix}/`)) {
      if (key.includes("/_")) continue;
      const text = Buffer.from(await store.get(key)).toString("utf8");
      rows.push(...text.split("\n").filter((line) => line !== ""));
    }
    return rows.map((line) => JSON.parse(line) as Count);
  }

  async function submit(output: string, emit: string): Promise<{ marks: string; ended: Promise<Ended> }> {
    const marks = join(folder, `marks-${output}`);
    await mkdir(marks);
    const args = ["submit", "test/fixtures/count-words.ts", "-p", `input=${folder}/text-*.txt`, "-p", "pauseMs=500"];
    const params = ["-p", `output=${output}`, "-p", `marks=${marks}`, "-p", `emit=${emit}`];
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

  async function runWithKills(output: string, emit: string): Promise<Count[]> {
    const { marks, ended } = await submit(output, emit);
    const killed = await killHosts(marks, 3, ended);
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
    assert.ok(killed >= 2, `two hosts were killed, ${killed} were`);
    return rowsBelow(output);
  }

  it("one count for each key at the end, of every word once (rules 1, 2, 7)", async () => {
    const rows = await runWithKills("at-end", "end");
    const byLetter = (a: Count, b: Count) => (a.initial < b.initial ? -1 : 1);
    assert.deepEqual(rows.sort(byLetter), [...counts().values()].sort(byLetter));
  });

  it("every change of a count comes out once: 1, 2, 3, ... for each key (rules 1, 2)", async () => {
    const rows = await runWithKills("changes", "changes");
    assert.equal(rows.length, words.length);
    for (const { initial, words: total, longest } of counts().values()) {
      const own = rows.filter((row) => row.initial === initial).sort((a, b) => a.words - b.words);
      assert.deepEqual(
        own.map((row) => row.words),
        Array.from({ length: total }, (_, i) => i + 1),
        `counts of ${initial}`,
      );
      assert.equal(own.at(-1)!.longest, longest);
    }
  });
});
