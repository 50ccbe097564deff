/**
 * Two coordinators, and the one that leads goes: killed, or told to end. The other leads within seconds, and nobody at work notices.
 * Real processes, NATS, S3. That one that stood still leads no more: `zombies.test.ts`.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Namespace } from "../../src/base/ids.js";
import { realPorts } from "../../src/base/real/ports.js";
import type { Bus } from "../../src/bus/bus.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { LeaseBucket } from "../../src/coordinator/term.js";
import { jobKeys } from "../../src/storage/keys.js";
import type { Lease } from "../../src/wire/stored.js";
import { leaseFrame, regionRecordFrame } from "../../src/wire/stored.js";
import { Cluster, finished, type Submitted, until } from "./cluster.js";
import { MillraceProcess } from "./millrace-process.js";
import { nextLease, RowsWritten } from "./takeover.js";

const NAMESPACE = "default" as Namespace;
const NEXT_MS_MAX = 10_000;
const REGIONS = ["region-texts-0", "region-texts-1"];

describe("e2e: leadership of two coordinators", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let bus: Bus;
  let words: string[];
  const homes: string[] = [];

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    bus = await connectNats({ servers: cluster.nats.url, name: "test" }, realPorts());
    words = (await cluster.writeWords(12, 400)).sort();
  });
  after(async () => {
    await bus?.close();
    await cluster?.stop();
    for (const home of homes) await rm(home, { recursive: true, force: true });
  });

  const lease = async (): Promise<Lease> => (await new LeaseBucket(bus, NAMESPACE).read())!.lease;

  /** A coordinator that has never run before: nothing of any other is on its disk. */
  async function standby(): Promise<MillraceProcess> {
    const home = await mkdtemp(join(tmpdir(), "millrace-home-"));
    homes.push(home);
    const env = {
      ...cluster.env,
      HOME: home,
      XDG_CACHE_HOME: join(home, "cache"),
      MILLRACE_CACHE: join(home, "millrace"),
    };
    const coordinator = new MillraceProcess(["coordinator"], { env, cwd: home });
    cluster.processes.push(coordinator);
    await coordinator.says("is up");
    await coordinator.says(`follows ${(await lease()).holder}`);
    assert.deepEqual(await readdir(home), [], "its disk is empty");
    return coordinator;
  }

  async function committed(job: string, region: string, term: bigint): Promise<true | undefined> {
    for await (const { key } of cluster.store.list(
      jobKeys(job as never)
        .regionRecord(region, 0n)
        .replace(/[^/]*$/, ""),
    )) {
      const bytes = await cluster.store.get(key).catch(() => undefined); // removed meanwhile
      const record = bytes && regionRecordFrame.decode(bytes).header;
      if (record?.kind === "COMMIT" && record.term === term) return true;
    }
    return undefined;
  }

  async function atWork(output: string): Promise<{ job: string; submitted: Submitted }> {
    const submitted = await cluster.submit("slow-words", output, { together: 2, workMs: 25 });
    await submitted.process.says(" submitted\n");
    const job = /^job (\S+) submitted$/m.exec(submitted.process.said)![1]!;
    const look = async () => ((await submitted.pids()).size === 2 ? true : undefined);
    await until("both hosts at work", look, { seen: () => cluster.processes.map(({ said }) => `\n${said}`).join("") });
    const { term } = await lease();
    for (const region of REGIONS) await until(`a commit of ${region}`, () => committed(job, region, term));
    return { job, submitted };
  }

  it("SIGKILL: the other leads within seconds, adopts what is at work, and every row comes out once; it began with an empty disk, and loses it (K5, rules 1, 9)", async () => {
    const [leader] = cluster.processes;
    await standby();
    const rows = await RowsWritten.watch(bus, NAMESPACE);
    const { job, submitted } = await atWork("killed");
    const hosts = await submitted.pids();
    const before = await lease();
    const killedMs = performance.now();
    leader!.kill("SIGKILL");
    const next = await nextLease(bus, NAMESPACE, before, NEXT_MS_MAX);
    await rm(homes[0]!, { recursive: true }); // whatever it has written meanwhile: it needs nothing of it
    for (const region of REGIONS)
      await until(`a commit of ${region} by the next leader`, () => committed(job, region, next.lease.term));
    const committedMs = performance.now();
    await cluster.release("killed");
    finished(await submitted.ended);
    assert.equal(next.lease.term, before.term + 1n);
    assert.deepEqual((await cluster.words("killed")).sort(), words);
    assert.deepEqual(await submitted.pids(), hosts, "no host was started again");
    for (const region of REGIONS) assert.deepEqual([...rows.attempts.get(region)!], [1], `attempts of ${region}`);
    const paused = rows.least(killedMs, committedMs, 1_000);
    assert.ok(paused > 0, "rows went on to the sinks in every second without a leader");
  });

  it("SIGTERM: the lease is given back, and the other leads at its next look", async () => {
    const leader = cluster.processes.findLast(({ said }) => said.includes("leads namespace"))!;
    await standby();
    const { submitted } = await atWork("ended");
    const hosts = await submitted.pids();
    const before = await lease();
    const written: Lease[] = [];
    await bus.subscribe(`$KV.millrace-${NAMESPACE}.term`, ({ payload }) => {
      written.push(leaseFrame.decode(payload).header);
    });
    leader.kill("SIGTERM");
    await nextLease(bus, NAMESPACE, before, NEXT_MS_MAX);
    await cluster.release("ended");
    assert.equal((await leader.ended).status, 0);
    finished(await submitted.ended);
    const own = written.filter(({ term }) => term === before.term);
    assert.equal(own.at(-1)?.holder, "", "the lease was given back: nobody had to wait until it ran out");
    assert.deepEqual((await cluster.words("ended")).sort(), words);
    assert.deepEqual(await submitted.pids(), hosts, "no host was started again");
  });
});
