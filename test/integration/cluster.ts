/**
 * A cluster of real processes on a real nats-server and a real S3, and the marks that the processes of `told-words.ts` leave:
 * who is there by pid, and which words each instance began. Waiting is for changes of these marks, never for time.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { type Ended, MillraceProcess } from "../e2e/millrace-process.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";

const BOUND_MS = 30_000;

export interface ToldJob {
  readonly submitted: MillraceProcess;
  readonly marks: Marks;
  /** Published rows, in no order. */
  rows(): Promise<{ readonly word: string; readonly instance: string }[]>;
  deadLetters(): Promise<{ readonly code: string; readonly message: string; readonly record: string }[]>;
}

interface Parts {
  readonly nats: NatsServer;
  readonly minio: MinioServer;
  readonly store: ObjectStore;
  readonly folder: string;
}

export class TestCluster {
  #parts: Parts | undefined;
  #env: Record<string, string> = {};
  #processes: MillraceProcess[] = [];
  #marks: Marks[] = [];
  #jobs = 0;

  async start(...workers: string[]): Promise<void> {
    const [nats, minio] = await Promise.all([startNats(), startMinio()]);
    const folder = await mkdtemp(join(tmpdir(), "millrace-cluster-"));
    this.#env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
      // Whatever this machine has: workers offer what a test tells them.
      CUDA_VISIBLE_DEVICES: "-1",
    };
    const store = openStore(this.#env.MILLRACE_STORE!, { s3: { ...minio } }, realPorts());
    this.#parts = { nats, minio, store, folder };
    await Promise.all([this.#up("coordinator"), ...workers.map((name) => this.worker(name))]);
  }

  /** Coordinator and workers that have not been told to end. */
  get processes(): readonly MillraceProcess[] {
    return this.#processes.filter(({ args }) => args[0] !== "submit");
  }

  worker(name: string, ...flags: string[]): Promise<MillraceProcess> {
    return this.#up("worker", "--name", name, ...flags);
  }

  async #up(...args: string[]): Promise<MillraceProcess> {
    const process = new MillraceProcess(args, { env: this.#env });
    this.#processes.push(process);
    await process.says("is up");
    return process;
  }

  /** Ends everything, and checks that nothing that ever left a mark is still there. */
  async stop(): Promise<void> {
    // After a test that failed: a worker drains only when what holds its instances lets go.
    await Promise.all(this.#marks.map((marks) => marks.release()));
    await Promise.all(this.#processes.map((process) => process.stop()));
    const pids = (await Promise.all(this.#marks.map((marks) => marks.pids()))).flat();
    if (this.#parts === undefined) return; // it never came up, and has said why
    const { nats, minio, store, folder } = this.#parts;
    try {
      if (pids.length > 0) await allGone(pids);
    } finally {
      await store.close();
      await Promise.all([nats.stop(), minio.stop()]);
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Submits `told-words.ts`, or another of the fixtures, with one file per list of words. */
  async tell(
    texts: readonly (readonly string[])[],
    about: {
      readonly instances?: number;
      readonly parallelism?: number;
      readonly workMs?: number;
      readonly topology?: string;
    } = {},
  ): Promise<ToldJob> {
    const { folder, store } = this.#parts ?? assert.fail("the cluster has not been started");
    const name = `job${++this.#jobs}`;
    const marks = new Marks(join(folder, `${name}-marks`));
    this.#marks.push(marks);
    await mkdir(marks.folder);
    for (const [i, words] of texts.entries()) await writeFile(join(folder, `${name}-${i}.txt`), words.join("\n"));
    const params = { input: join(folder, `${name}-*.txt`), output: name, marks: marks.folder };
    const { instances, workMs, topology = "told-words.ts" } = about;
    const all = Object.entries({ ...params, instances, workMs }).filter(([, value]) => value !== undefined);
    const flags = all.flatMap(([key, value]) => ["-p", `${key}=${value}`]);
    const parallelism = ["--parallelism", String(about.parallelism ?? 1)];
    const args = ["submit", `test/fixtures/${topology}`, ...parallelism, ...flags];
    const submitted = new MillraceProcess(args, { env: this.#env });
    this.#processes.push(submitted);
    const linesOf = async (prefix: string) => {
      const lines: string[] = [];
      for await (const { key } of store.list(prefix)) {
        if (key.includes("/_")) continue; // staged, not published: readers of a folder leave out what starts so
        lines.push(
          ...Buffer.from(await store.get(key))
            .toString("utf8")
            .split("\n"),
        );
      }
      return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
    };
    return {
      submitted,
      marks,
      rows: () => linesOf(`${name}/`),
      deadLetters: () => linesOf(`${name}-dead-letters/`),
    };
  }
}

/** What the processes of one job have written down. */
export class Marks {
  constructor(readonly folder: string) {}

  /** Lets the words go that hold their instances. */
  async release(): Promise<void> {
    await writeFile(join(this.folder, "release"), "");
  }

  /** Instances that have been there, each with its pid and the words it began. */
  async instances(): Promise<{ readonly instance: string; readonly pid: number; readonly words: string[] }[]> {
    const files = (await readdir(this.folder)).filter((file) => file.startsWith("told-"));
    return Promise.all(
      files.map(async (file) => {
        const [instance = "", pid] = file.split(".");
        const words = (await readFile(join(this.folder, file), "utf8")).split("\n").filter((word) => word !== "");
        return { instance, pid: Number(pid), words };
      }),
    );
  }

  async #hosts(): Promise<number[]> {
    const files = (await readdir(this.folder)).filter((file) => file.startsWith("host-"));
    return files.map((file) => Number(file.split(".")[1]));
  }

  async pids(): Promise<number[]> {
    return [...(await this.#hosts()), ...(await this.instances()).map(({ pid }) => pid)];
  }

  /** Looks again at every change of the marks until `find` has found something. */
  async until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
    let wake: () => void = () => {};
    const watcher = watch(this.folder, () => wake());
    const bound = new AbortController();
    const late = pause(BOUND_MS, true, { signal: bound.signal }).catch(() => false);
    try {
      for (;;) {
        const changed = new Promise<boolean>((resolve) => {
          wake = () => resolve(false);
        });
        const found = await find();
        if (found !== undefined) return found;
        if (await Promise.race([changed, late])) {
          assert.fail(`waited ${BOUND_MS} ms for ${what}; seen: ${JSON.stringify(await this.instances())}`);
        }
      }
    } finally {
      bound.abort();
      watcher.close();
    }
  }
}

/** Waits until no process of these is left; an ended one that nobody has collected is no process any more. */
export async function allGone(pids: readonly number[]): Promise<void> {
  assert.ok(pids.length > 0, "no process has left a mark");
  const left = () => pids.filter(isThere);
  for (const fromMs = performance.now(); left().length > 0; await pause(20)) {
    if (performance.now() - fromMs > BOUND_MS) assert.fail(`after ${BOUND_MS} ms these processes are left: ${left()}`);
  }
}

export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !/\) [ZX] /.test(readFileSync(stat, "utf8"));
}

export function finished(ended: Ended): void {
  assert.equal(ended.status, 0, `exit status ${ended.status}\n${ended.stdout}\n${ended.stderr}`);
}

export function words(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}
