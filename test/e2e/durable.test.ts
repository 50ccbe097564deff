/**
 * A durable exchange between processes: what is killed on one side of it leaves the other side alone, and every row comes out
 * once. Real processes, NATS with JetStream, S3.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { JobId } from "../../src/base/ids.js";
import { jobKeys } from "../../src/storage/keys.js";
import { regionRecordFrame } from "../../src/wire/stored.js";
import { Cluster, finished, type Submitted, until } from "./cluster.js";
import type { Ended } from "./millrace-process.js";

/** One for each region of the job, so that each has a host of its own. */
const WORKERS = 4;
const LOG_BYTES = 1 << 20;

describe("e2e: a durable exchange", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let client: NatsConnection;
  let streams: JetStreamManager["streams"];
  let words: string[];

  before(async () => {
    cluster = await Cluster.start(...Array.from({ length: WORKERS }, (_, i) => `w${i + 1}`));
    client = await connect({ servers: cluster.nats.url });
    streams = (await jetstreamManager(client)).streams;
    words = (await cluster.writeWords(12, 40)).sort();
  });

  after(async () => {
    await client?.close();
    await cluster.stop();
  });

  /** Kills each of them once it has begun, with both sides at work, and waits until it is there again. */
  async function killOneByOne(job: Submitted, victims: readonly string[]): Promise<void> {
    for (const victim of victims) {
      const known = await until(`both sides and ${victim} at work`, async () => {
        const all = await job.pids();
        return all.size === WORKERS ? all.get(victim) : undefined;
      });
      assert.ok(!job.isOver, `the job is not over before ${victim} is killed`);
      for (const pid of known) process.kill(pid, "SIGKILL");
      await until(`${victim} to be there again`, async () => {
        const now = (await job.pids()).get(victim);
        return now !== undefined && now.size > known.size ? now : undefined;
      });
    }
  }

  function jobOf({ stdout, stderr }: Ended): JobId {
    const job = /durable-words-\d+-\w+/.exec(stdout + stderr)?.[0];
    assert.ok(job !== undefined, `the output names the job\n${stdout}\n${stderr}`);
    return job as JobId;
  }

  /** The highest attempt in each region's log. */
  async function attempts(job: JobId): Promise<Record<string, number>> {
    const highest: Record<string, number> = {};
    for await (const { key } of cluster.store.list(`jobs/${job}/regions/`)) {
      if (!key.includes("/log/")) continue;
      const { region, attempt } = regionRecordFrame.decode(await cluster.store.get(key)).header;
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

  for (const [side, victims] of [
    ["writer", ["writer-0", "writer-1"]],
    ["reader", ["reader-0", "reader-1"]],
  ] as const) {
    it(`hosts of its ${side}s are killed: every row once, and the other side keeps its attempt (rules 1, 2, 4)`, async () => {
      const job = await cluster.submit("durable-words", `${side}s`, { writeMs: 200, readMs: 130, bytesMax: LOG_BYTES });
      await killOneByOne(job, victims);
      await cluster.release(job.output);
      const ended = await job.ended;
      finished(ended);
      assert.deepEqual((await cluster.words(job.output)).sort(), words);
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
    const job = await cluster.submit("durable-words", "slow", { letters: 20_000, readMs: 1_000, bytesMax: LOG_BYTES });
    let bytesMost = 0;
    while (!job.isOver) {
      for (const name of await logs()) {
        const state = await streams.info(name).catch(() => undefined);
        bytesMost = Math.max(bytesMost, state?.state.bytes ?? 0);
      }
      if (bytesMost > LOG_BYTES / 2) await cluster.release(job.output);
      await pause(50);
    }
    const ended = await job.ended;
    finished(ended);
    assert.deepEqual((await cluster.words(job.output)).sort(), words);
    assert.ok(bytesMost > LOG_BYTES / 2 && bytesMost <= LOG_BYTES, `at most ${bytesMost} bytes were in a log`);
    assert.deepEqual(new Set(Object.values(await attempts(jobOf(ended)))), new Set([1]));
    await logsAreGone();
  });

  it("a log that has lost entries fails the job, which names the range (rule 13)", async () => {
    const job = await cluster.submit("durable-words", "lost", { writeMs: 200, readMs: 5, bytesMax: LOG_BYTES });
    await until("entries of both writers in both logs", async () => {
      const found = await Promise.all((await logs()).map((name) => streams.info(name)));
      return found.length === 2 && found.every(({ state }) => state.last_seq >= 4) ? found : undefined;
    });
    for (const name of await logs()) await streams.delete(name);
    for (const pid of (await job.pids()).get("writer-0")!) process.kill(pid, "SIGKILL");
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
