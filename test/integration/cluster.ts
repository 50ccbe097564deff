/**
 * A cluster of real processes on a real nats-server and a real S3, and the marks that the processes of `told-words.ts` leave:
 * who is there by pid, and which words each instance began. Waiting is for changes of these marks, never for time.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, watch } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Cluster } from "../e2e/cluster.js";
import type { MillraceProcess } from "../e2e/millrace-process.js";

const BOUND_MS = 30_000;

export interface ToldJob {
  readonly submitted: MillraceProcess;
  readonly marks: Marks;
  /** Published rows, in no order. */
  rows(): Promise<{ readonly word: string; readonly instance: string }[]>;
  deadLetters(): Promise<{ readonly code: string; readonly message: string; readonly record: string }[]>;
}

export class TestCluster {
  #cluster: Cluster | undefined;
  #marks: Marks[] = [];
  #jobs = 0;

  async start(...workers: string[]): Promise<void> {
    this.#cluster = await Cluster.start(...workers);
  }

  get #started(): Cluster {
    return this.#cluster ?? assert.fail("the cluster has not been started");
  }

  /** Coordinator and workers that have not been told to end. */
  get processes(): readonly MillraceProcess[] {
    return this.#started.processes.filter(({ args }) => args[0] !== "submit");
  }

  worker(name: string, ...flags: string[]): Promise<MillraceProcess> {
    return this.#started.up("worker", "--name", name, ...flags);
  }

  /** Ends everything, and checks that nothing that ever left a mark is still there. */
  async stop(): Promise<void> {
    if (this.#cluster === undefined) return; // it never came up, and has said why
    // After a test that failed: a worker drains only when what holds its instances lets go.
    await Promise.all(this.#marks.map((marks) => marks.release()));
    const pids = (await Promise.all(this.#marks.map((marks) => marks.pids()))).flat();
    await this.#cluster.stop();
    if (pids.length > 0) await allGone(pids);
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
    const cluster = this.#started;
    const { folder } = cluster;
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
    return {
      submitted: cluster.begin(...args),
      marks,
      rows: () => cluster.rows(name),
      deadLetters: () => cluster.rows(`${name}-dead-letters`),
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

export function words(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}
