/**
 * A cluster as a user has it: coordinator and workers, each a process of its own, on a real nats-server and a real S3, with files
 * of words to read. What it started is stopped in every path.
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

const DRAIN_MS = 5_000;
/** How long a host works before it is killed. */
const WORK_MS = 700;

/** How processes come to NATS. */
export interface Access {
  nats(): Promise<NatsServer>;
  env(role: "coordinator" | "worker" | "submitter"): Readonly<Record<string, string>>;
}

export class Cluster {
  /** Coordinator, workers and commands, in the order in which they were started. */
  readonly processes: MillraceProcess[] = [];

  private constructor(
    readonly nats: NatsServer,
    readonly minio: MinioServer,
    readonly store: ObjectStore,
    readonly folder: string,
    readonly env: Readonly<Record<string, string>>,
    private readonly as: Access,
  ) {}

  /** A coordinator, and workers of these names. */
  static start(...workers: string[]): Promise<Cluster> {
    return Cluster.startAs({ nats: () => startNats(), env: () => ({}) }, ...workers);
  }

  /** The same, where NATS tells its users apart. */
  static async startAs(as: Access, ...workers: string[]): Promise<Cluster> {
    const [nats, minio] = await Promise.all([as.nats(), startMinio()]);
    const folder = await mkdtemp(join(tmpdir(), "millrace-cluster-"));
    const env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
      // Whatever this machine has: workers offer what a test tells them.
      CUDA_VISIBLE_DEVICES: "-1",
    };
    const store = openStore(env.MILLRACE_STORE, { s3: { ...minio } }, realPorts());
    const cluster = new Cluster(nats, minio, store, folder, env, as);
    try {
      await Promise.all([cluster.up("coordinator"), ...workers.map((name) => cluster.up("worker", "--name", name))]);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Starts a process that stays. */
  async up(...args: string[]): Promise<MillraceProcess> {
    const process = this.begin(...args);
    await process.says("is up");
    return process;
  }

  /** Starts a coordinator, and waits until it leads: that a lease runs out which somebody has not given back. */
  async leader(): Promise<MillraceProcess> {
    const coordinator = await this.up("coordinator");
    await coordinator.says("leads");
    return coordinator;
  }

  begin(...args: string[]): MillraceProcess {
    const [command] = args;
    const role = command === "coordinator" || command === "worker" ? command : "submitter";
    const process = new MillraceProcess(args, { env: { ...this.env, ...this.as.env(role) } });
    this.processes.push(process);
    return process;
  }

  /** A command, to its end. */
  run(...args: string[]): Promise<Ended> {
    return this.begin(...args).ended;
  }

  async stop(): Promise<void> {
    for (const process of this.processes) process.kill("SIGCONT"); // a test may have left some stopped
    for (const process of this.processes) process.kill("SIGTERM");
    const gone = Promise.all(this.processes.map(({ ended }) => ended));
    const late = new AbortController();
    await Promise.race([gone, pause(DRAIN_MS, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    // Told again, whoever is still there does not wait for what it holds: a job that nobody ends any more.
    for (const process of this.processes) process.kill("SIGTERM");
    await gone;
    await this.store.close();
    await Promise.all([this.nats.stop(), this.minio.stop()]);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Writes `text-<n>.txt`, one word a line; a word names its letter, file and line: `c2-0`. @returns all words */
  async writeWords(files: number, words: number, letters = "abcdefghij"): Promise<string[]> {
    const all: string[] = [];
    for (let file = 0; file < files; file++) {
      const own = Array.from({ length: words }, (_, i) => `${letters[(file + i) % letters.length]}${file}-${i}`);
      all.push(...own);
      await writeFile(join(this.folder, `text-${file}.txt`), own.join("\n"));
    }
    return all;
  }

  /** Submits a fixture that reads the words; its processes leave marks in `marks`. */
  async submit(fixture: string, output: string, params: Params = {}): Promise<Submitted> {
    const { marks, args } = await this.submission(fixture, output, params);
    return new Submitted(output, marks, this.begin(...args));
  }

  /** Lets the fixture that writes there go, which is slow until then: the job ends soon. */
  async release(output: string): Promise<void> {
    await writeFile(join(this.folder, `marks-${output}`, "release"), "");
  }

  /** The command that submits a fixture, for tests that add to it. */
  async submission(fixture: string, output: string, params: Params): Promise<{ marks: string; args: string[] }> {
    const marks = join(this.folder, `marks-${output}`);
    await mkdir(marks);
    const all = { input: `${this.folder}/text-*.txt`, output, marks, ...params };
    return { marks, args: ["submit", `test/fixtures/${fixture}.ts`, ...flagsOf(all)] };
  }

  /** Published rows of an output of JSON Lines, in the order of its files. */
  async rows<R>(output: string): Promise<R[]> {
    const rows: R[] = [];
    for await (const { key } of this.store.list(`${output}/`)) {
      if (key.includes("/_")) continue; // staged: readers of a folder leave out what starts so
      const lines = Buffer.from(await this.store.get(key))
        .toString("utf8")
        .split("\n");
      rows.push(...lines.filter((line) => line !== "").map((line) => JSON.parse(line) as R));
    }
    return rows;
  }

  async words(output: string): Promise<string[]> {
    return (await this.rows<{ readonly word: string }>(output)).map(({ word }) => word);
  }
}

export type Params = Readonly<Record<string, string | number>>;

export function flagsOf(params: Params): string[] {
  return Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
}

export class Submitted {
  readonly ended: Promise<Ended>;
  #over = false;

  constructor(
    readonly output: string,
    readonly marks: string,
    readonly process: MillraceProcess,
  ) {
    this.ended = process.ended.finally(() => {
      this.#over = true;
    });
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Process ids that have left marks, by who did: `host-0`. */
  async pids(): Promise<Map<string, Set<number>>> {
    const found = new Map<string, Set<number>>();
    for (const name of await readdir(this.marks)) {
      const [who = "", pid] = name.split(".");
      if (pid === undefined) continue; // what lets it go
      found.set(who, (found.get(who) ?? new Set()).add(Number(pid)));
    }
    return found;
  }

  /** Kills processes that leave marks, one after another, each with work in hand. The job is one that is slow until it is released. */
  async killHosts(count: number): Promise<void> {
    const killed = new Set<number>();
    while (killed.size < count) {
      const victim = await until("a host that has not been killed", async () =>
        [...(await this.pids()).values()].flatMap((pids) => [...pids]).find((pid) => !killed.has(pid)),
      );
      await pause(WORK_MS);
      process.kill(victim, "SIGKILL");
      killed.add(victim);
    }
  }
}

/** @returns what it said */
export function finished({ status, stdout, stderr }: Ended): string {
  assert.equal(status, 0, `exit status ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Looks until there is something. @param seen what a test that fails shows */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { withinMs = 30_000, seen = () => "" }: { readonly withinMs?: number; readonly seen?: () => string } = {},
): Promise<T> {
  for (const lateMs = performance.now() + withinMs; ; await pause(50)) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > lateMs) assert.fail(`waited ${withinMs} ms for ${what}${seen()}`);
  }
}
