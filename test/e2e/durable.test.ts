/**
 * A durable exchange between processes: what is killed on one side of it leaves the other side alone, and every row comes out
 * once. Real processes, NATS with JetStream, S3.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { JobId } from "../../src/base/ids.js";
import { realPorts } from "../../src/base/real/ports.js";
import { jobKeys } from "../../src/storage/keys.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { regionRecordFrame } from "../../src/wire/stored.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { type Ended, MillraceProcess } from "./millrace-process.js";

const FILES = 12;
const WORDS = 40;
/** One for each region of the job, so that each has a host of its own. */
const WORKERS = 4;
const LOG_BYTES = 1 << 20;
const BOUND_MS = 30_000;

interface Submitted {
  readonly output: string;
  readonly marks: string;
  readonly ended: Promise<Ended>;
  readonly isOver: () => boolean;
}

describe("e2e: a durable exchange", function () {
  this.timeout(120_000);
  let nats: NatsServer;
  let minio: MinioServer;
  let client: NatsConnection;
  let streams: JetStreamManager["streams"];
  let store: ObjectStore;
  let env: Record<string, string>;
  let folder: string;
  const cluster: MillraceProcess[] = [];
  const words: string[] = [];

  before(async () => {
    nats = await startNats();
    minio = await startMinio();
    client = await connect({ servers: nats.url });
    streams = (await jetstreamManager(client)).streams;
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
    const workers = Array.from({ length: WORKERS }, (_, i) => ["worker", "--name", `w${i + 1}`]);
    for (const args of [["coordinator"], ...workers]) {
      const one = new MillraceProcess(args, { env });
      cluster.push(one);
      await one.says("is up");
    }
  });

  after(async () => {
    await Promise.all(cluster.map((process) => process.stop()));
    await client.close();
    await store.close();
    await Promise.all([nats.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  async function submit(output: string, params: Readonly<Record<string, number>>): Promise<Submitted> {
    const marks = join(folder, `marks-${output}`);
    await mkdir(marks);
    const all = { input: `${folder}/text-*.txt`, output, marks, ...params };
    const given = Object.entries(all).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    const { ended } = new MillraceProcess(["submit", "test/fixtures/durable-words.ts", ...given], { env });
    let over = false;
    void ended.then(() => {
      over = true;
    });
    return { output, marks, ended, isOver: () => over };
  }

  /** Process ids by who wrote the mark: `writer-0`, `reader-1`. */
  async function pids(marks: string): Promise<Map<string, Set<number>>> {
    const found = new Map<string, Set<number>>();
    for (const name of await readdir(marks)) {
      const [who, pid] = name.split(".");
      found.set(who!, (found.get(who!) ?? new Set()).add(Number(pid)));
    }
    return found;
  }

  async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    for (const lateMs = performance.now() + BOUND_MS; ; await pause(50)) {
      const found = await look();
      if (found !== undefined) return found;
      assert.ok(performance.now() < lateMs, `waited ${BOUND_MS} ms for ${what}`);
    }
  }

  /** Kills each of them once it has begun, with both sides at work, and waits until it is there again. */
  async function killOneByOne({ marks, isOver }: Submitted, victims: readonly string[]): Promise<void> {
    for (const victim of victims) {
      const known = await until(`both sides and ${victim} at work`, async () => {
        const all = await pids(marks);
        return all.size === WORKERS ? all.get(victim) : undefined;
      });
      assert.ok(!isOver(), `the job is not over before ${victim} is killed`);
      for (const pid of known) process.kill(pid, "SIGKILL");
      await until(`${victim} to be there again`, async () => {
        const now = (await pids(marks)).get(victim);
        return now !== undefined && now.size > known.size ? now : undefined;
      });
    }
  }

  async function rowsBelow(output: string): Promise<string[]> {
    const rows: string[] = [];
    for await (const { key } of store.list(`${output}/`)) {
      if (key.includes("/_")) continue;
      const text = Buffer.from(await store.get(key)).toString("utf8");
      rows.push(...text.split("\n").filter((line) => line !== ""));
    }
    return rows.map((line) => (JSON.parse(line) as { word: string }).word).sort();
  }

  function jobOf({ stdout, stderr }: Ended): JobId {
    const job = /durable-words-\d+-\w+/.exec(stdout + stderr)?.[0];
    assert.ok(job !== undefined, `the output names the job\n${stdout}\n${stderr}`);
    return job as JobId;
  }

  /** The highest attempt in each region's log. */
  async function attempts(job: JobId): Promise<Record<string, number>> {
    const highest: Record<string, number> = {};
    for await (const { key } of store.list(`jobs/${job}/regions/`)) {
      if (!key.includes("/log/")) continue;
      const { region, attempt } = regionRecordFrame.decode(await store.get(key)).header;
      assert.ok(key.startsWith(jobKeys(job).regionLog(region)));
      highest[region] = Math.max(highest[region] ?? 0, attempt);
    }
    return highest;
  }

  async function logs(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of streams.names()) if (name.startsWith("MR_LOG_")) names.push(name);
    return names;
  }

  async function logsAreGone(): Promise<void> {
    await until("the logs of the exchange to be deleted", async () => ((await logs()).length === 0 ? true : undefined));
  }

  function ok({ status, stdout, stderr }: Ended): void {
    assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
  }

  for (const [side, victims] of [
    ["writer", ["writer-0", "writer-1"]],
    ["reader", ["reader-0", "reader-1"]],
  ] as const) {
    it(`hosts of its ${side}s are killed: every row once, and the other side keeps its attempt (rules 1, 2, 4)`, async () => {
      const job = await submit(`${side}s`, { writeMs: 30, readMs: 20, bytesMax: LOG_BYTES });
      await killOneByOne(job, victims);
      const ended = await job.ended;
      ok(ended);
      assert.deepEqual(await rowsBelow(job.output), [...words].sort());
      const { "region-texts-0": w0, "region-texts-1": w1, ...readers } = await attempts(jobOf(ended));
      const { "region-handover-0": r0, "region-handover-1": r1 } = readers;
      const [killed, left] =
        side === "writer"
          ? [
              [w0, w1],
              [r0, r1],
            ]
          : [
              [r0, r1],
              [w0, w1],
            ];
      assert.deepEqual(killed, [2, 2], "each that was killed has begun again");
      assert.deepEqual(left, [1, 1], "nobody told the others");
      await logsAreGone();
    });
  }

  it("slow readers with a small log hold their writers back; nothing fails, and nothing is dropped (rule 6)", async () => {
    const job = await submit("slow", { letters: 20_000, readMs: 10, bytesMax: LOG_BYTES });
    let bytesMost = 0;
    while (!job.isOver()) {
      for (const name of await logs()) {
        const state = await streams.info(name).catch(() => undefined);
        bytesMost = Math.max(bytesMost, state?.state.bytes ?? 0);
      }
      await pause(50);
    }
    const ended = await job.ended;
    ok(ended);
    assert.deepEqual(await rowsBelow(job.output), [...words].sort());
    assert.ok(bytesMost > LOG_BYTES / 2 && bytesMost <= LOG_BYTES, `at most ${bytesMost} bytes were in a log`);
    assert.deepEqual(new Set(Object.values(await attempts(jobOf(ended)))), new Set([1]));
    await logsAreGone();
  });

  it("a log that has lost entries fails the job, which names the range (rule 13)", async () => {
    const job = await submit("lost", { writeMs: 30, readMs: 5, bytesMax: LOG_BYTES });
    await until("entries of both writers in both logs", async () => {
      const found = await Promise.all((await logs()).map((name) => streams.info(name)));
      return found.length === 2 && found.every(({ state }) => state.last_seq >= 4) ? found : undefined;
    });
    for (const name of await logs()) await streams.delete(name);
    for (const pid of (await pids(job.marks)).get("writer-0")!) process.kill(pid, "SIGKILL");
    const { status, stderr, stdout } = await job.ended;
    assert.equal(status, 3, stdout + stderr);
    assert.match(stderr, /MILL_EXCHANGE_LOST/);
    assert.match(
      stderr,
      /partition \d: (its log ends at entry \d+|its log has begun anew at entry \d+|its log was deleted( and made anew)?), and ("keyBy-1-\d" has published up to \d+|its reader goes on from entry \d+)/,
    );
    await logsAreGone();
  });
});
