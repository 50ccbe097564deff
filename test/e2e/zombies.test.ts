/**
 * Processes that are stopped (SIGSTOP) until they have been replaced, and then go on: nothing that they do counts.
 * Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { MillraceError } from "../../src/base/errors.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../../src/wire/stored.js";
import { allGone, isThere } from "../integration/cluster.js";
import { Cluster, finished, type Submitted, until as untilIn } from "./cluster.js";
import type { MillraceProcess } from "./millrace-process.js";

const REGIONS = ["region-texts-0", "region-texts-1"];
const REPLACED_MS_MAX = 40_000;

interface Job extends Pick<Submitted, "output" | "ended" | "pids"> {
  readonly name: string;
}

describe("e2e: processes that are stopped until they have been replaced, and go on", function () {
  this.timeout(60_000);
  let cluster: Cluster;
  let coordinator: MillraceProcess;
  let words: string[];
  const logs = new Map<string, RegionLog>();

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    coordinator = cluster.processes[0]!;
    words = await cluster.writeWords(8, 400);
  });
  after(() => cluster.stop());

  async function submit(output: string, workMs: number): Promise<Job> {
    const submitted = await cluster.submit("slow-words", output, { workMs, together: 2 });
    await submitted.process.says(" submitted\n");
    const { said } = submitted.process;
    const name = /^job (\S+) submitted$/m.exec(said)?.[1] ?? assert.fail(said);
    return { name, output, ended: submitted.ended, pids: () => submitted.pids() };
  }

  /** Pids of hosts that have been at work, by subtask. */
  async function hosts(job: Job): Promise<Map<string, number>> {
    const pids = await until("a host at work for each of the two subtasks", async () => {
      const found = await job.pids();
      return found.size === 2 ? found : undefined;
    });
    return new Map([...pids].map(([host, [pid]]) => [host, pid!]));
  }

  /** What the log of a region has held so far. */
  function logOf(job: Job, region: string): RegionLog {
    const known =
      logs.get(`${job.name} ${region}`) ?? new RegionLog(cluster.store, `jobs/${job.name}/regions/${region}/log/`);
    logs.set(`${job.name} ${region}`, known);
    return known;
  }

  /** Waits for a checkpoint of the attempt. */
  async function committed(job: Job, region: string, attempt: number): Promise<void> {
    await until(`a commit of attempt ${attempt} of ${region}`, async () => {
      const records = await logOf(job, region).look();
      return records.some((record) => record.kind === "COMMIT" && record.attempt === attempt) ? true : undefined;
    });
  }

  /** The job's end, with an eye on the logs: old records do not stay for ever. */
  async function end(job: Job): Promise<void> {
    let over = false;
    const ended = job.ended.finally(() => {
      over = true;
    });
    while (!over) {
      for (const region of REGIONS) await logOf(job, region).look();
      await pause(100);
    }
    finished(await ended);
    await exact(job);
    for (const region of REGIONS) wellOrdered(await logOf(job, region).look());
  }

  /** The last words of every process, for whoever has to find out what is missing. */
  function saidLast(): string {
    return cluster.processes.map(({ args, said }) => `\n${args.slice(0, 3).join(" ")}: ${said.slice(-1_500)}`).join("");
  }

  function until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
    return untilIn(what, find, { withinMs: REPLACED_MS_MAX, seen: saidLast });
  }

  async function exact({ output }: Job): Promise<void> {
    assert.deepEqual((await cluster.words(output)).sort(), [...words].sort());
  }

  async function deposed(old: MillraceProcess): Promise<void> {
    const finds = async () => /leads no more|another coordinator leads now/.exec(old.complained)?.[0];
    await until("that it finds that it leads no more", finds);
  }

  /** Terms and attempts that only grow, and no commit but of the attempt that was fenced last. */
  function wellOrdered(records: readonly RegionRecord[]): void {
    let [number, term, attempt] = [0n, 0n, 0];
    for (const record of records) {
      const place = `record ${record.number}, ${record.kind} of term ${record.term}, attempt ${record.attempt}`;
      assert.ok(record.term >= term && record.attempt >= attempt, `${place}, after term ${term}, attempt ${attempt}`);
      const follows = record.number === number + 1n; // else there were others between, which nobody has seen
      if (record.kind === "COMMIT" && follows) assert.deepEqual([record.term, record.attempt], [term, attempt], place);
      [number, term, attempt] = [record.number, record.term, record.attempt];
    }
  }

  it("a host: what it still does changes nothing, its region goes on in another attempt, the other one in its own (guarantees 2, 8, rules 1, 9)", async () => {
    const job = await submit("host", 60);
    const zombie = (await hosts(job)).get("host-0")!;
    await committed(job, "region-texts-0", 1);
    process.kill(zombie, "SIGSTOP");
    await committed(job, "region-texts-0", 2);
    process.kill(zombie, "SIGCONT");
    await cluster.release("host");
    await end(job);
    assert.equal((await logOf(job, "region-texts-0").look()).at(-1)!.attempt, 2);
    assert.equal((await logOf(job, "region-texts-1").look()).at(-1)!.attempt, 1, "a failure stays in its region");
    await allGone([zombie]);
  });

  it("a host that nobody can end, because its worker was stopped, too: the same, though it works on to the end of the job (rules 1, 9)", async () => {
    const job = await submit("machine", 60);
    const zombie = (await hosts(job)).get("host-0")!;
    await committed(job, "region-texts-0", 1);
    const worker = cluster.processes.find(({ pid }) => pid === parentOf(zombie)) ?? assert.fail("whose host is it?");
    worker.kill("SIGSTOP");
    process.kill(zombie, "SIGSTOP");
    await committed(job, "region-texts-0", 2);
    const before = cpuTicks(zombie);
    process.kill(zombie, "SIGCONT");
    await until("the zombie at work", async () => (cpuTicks(zombie) > before ? true : undefined));
    await cluster.release("machine");
    await end(job);
    assert.ok(isThere(zombie), "nobody has ended it");
    worker.kill("SIGCONT");
    await allGone([zombie]);
  });

  it("a coordinator: it finds that it leads no more, follows who does, and hosts and rows do not notice (rules 1, 9)", async () => {
    const job = await submit("coordinator", 25);
    const before = await hosts(job);
    const old = coordinator;
    old.kill("SIGSTOP");
    coordinator = await cluster.leader();
    await until("a fence of the next term", async () => {
      const records = await logOf(job, "region-texts-0").look();
      return new Set(records.map(({ term }) => term)).size >= 2 ? true : undefined;
    });
    old.kill("SIGCONT");
    await cluster.release("coordinator");
    await end(job);
    for (const region of REGIONS) {
      assert.equal((await logOf(job, region).look()).at(-1)!.attempt, 1, "what was at work went on");
    }
    assert.deepEqual(await hosts(job), before);
    await deposed(old);
    await old.says("follows");
    await old.stop();
  });

  it("a coordinator without a job: it answers nobody, so that no client hears of it that its job is unknown (rule 9)", async () => {
    const old = coordinator;
    old.kill("SIGSTOP");
    coordinator = await cluster.leader();
    const job = await submit("unknown", 25);
    old.kill("SIGCONT");
    await deposed(old);
    await cluster.release("unknown");
    await end(job);
    await old.stop();
  });
});

/** Records that a region's log holds or has held: one a number, whenever it is looked at. */
class RegionLog {
  #records = new Map<bigint, RegionRecord>();

  constructor(
    private readonly store: ObjectStore,
    private readonly prefix: string,
  ) {}

  async look(): Promise<RegionRecord[]> {
    for await (const { key } of this.store.list(this.prefix)) {
      const bytes = await this.store.get(key).catch((error: unknown) => {
        if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") return undefined; // removed meanwhile
        throw error;
      });
      if (bytes === undefined) continue;
      const record = regionRecordFrame.decode(bytes).header;
      assert.deepEqual(record, this.#records.get(record.number) ?? record, `${key} is another record than before`);
      this.#records.set(record.number, record);
    }
    return [...this.#records.values()].sort((a, b) => (a.number < b.number ? -1 : 1));
  }
}

/** Fields of /proc/<pid>/stat after the command's name, from `state` on. */
function stat(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
}

function parentOf(pid: number): number {
  return Number(stat(pid)[1]);
}

function cpuTicks(pid: number): number {
  return Number(stat(pid)[11]) + Number(stat(pid)[12]);
}
