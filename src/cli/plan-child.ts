/**
 * Starts the program that plans what was sent (`plan-main.ts`), and keeps it within its bounds.
 *
 * Invariants:
 *   S1  Sent code never runs in the coordinator. Its process is told nothing secret: its environment is made anew, and the store is reached
 *       through the parent, at the keys of the savepoint that was named and of the job that begins with it.
 *   S2  It ends: at `limits.planTimeoutMs`, above `limits.planMemoryBytesMax`, when it has answered, with all that it has started.
 *   S3  What it says is checked like what comes over a network.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { JobSpec } from "../wire/control.js";
import type { FromPlanner, Planned, PlanTask, StoreCall, ToPlanner } from "./plan-messages.js";
import { processUsage } from "./process-usage.js";
import { savepointName } from "./savepoints.js";

/** Between two looks at how much memory it has. */
const LOOK_MS = 250;
const MESSAGE_CHARS_MAX = 4_000;
/** Of this process's environment: nothing in it is secret. */
const PASSED_ON = ["PATH", "LANG", "LC_ALL", "TZ"];
/** What a job that begins with a savepoint may have before its spec, below its own keys. */
const WRITTEN = ["regions/", "sources/", "exchanges/"];

export type PlanRequest = Omit<PlanTask, "folder" | "packages" | "store">;

/** Plans, and lets `act` go on with it; the process lives until that is over. */
export async function withPlanner<T>(
  request: PlanRequest,
  store: ObjectStore,
  act: (planned: Planned, planner: Planner) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-plan-"));
  const planner = new Planner(folder, store, request.savepoint);
  try {
    const planned = await planner.plan({ ...request, folder, packages: process.cwd(), store: store.url });
    return await act(planned, planner);
  } finally {
    planner.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

export class Planner {
  #child: ChildProcess;
  #over: MillraceError | undefined;
  #waiting: { kind: FromPlanner["kind"]; resolve(message: FromPlanner): void; reject(error: Error): void } | undefined;
  #timers: NodeJS.Timeout[] = [];
  #job: JobId | undefined;

  constructor(
    folder: string,
    private readonly store: ObjectStore,
    private readonly savepoint: string | undefined,
  ) {
    const env = Object.fromEntries(PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
    this.#child = fork(join(fileURLToPath(new URL(".", import.meta.url)), "plan-main.js"), [], {
      cwd: folder,
      env: { ...env, HOME: folder, TMPDIR: folder },
      execArgv: [`--max-old-space-size=${Math.floor(limits.planMemoryBytesMax / 2 ** 21)}`],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      serialization: "advanced",
      detached: true, // a group of its own, to be ended as one
    });
    this.#child.on("message", (message) => this.#onMessage(message as FromPlanner));
    this.#child.once("error", (cause) => this.#end(`it could not be started: ${cause.message}`));
    this.#child.once("exit", (status, signal) => this.#end(`its process ended (${signal ?? `status ${status}`})`));
    const tooLong = () => this.#end(`that took longer than ${limits.planTimeoutMs} ms`);
    this.#timers.push(
      setTimeout(tooLong, limits.planTimeoutMs),
      setInterval(() => this.#look(), LOOK_MS),
    );
  }

  async plan(task: PlanTask): Promise<Planned> {
    return (await this.#ask({ kind: "plan", task }, "planned")) as Planned;
  }

  /** Writes what the job begins with. */
  async begin(job: JobId): Promise<JobSpec["seeds"]> {
    this.#job = job;
    const answer = await this.#ask({ kind: "begin", job }, "begun");
    return (answer as Extract<FromPlanner, { kind: "begun" }>).seeds;
  }

  /** S2 */
  close(): void {
    this.#end("it is over");
  }

  #ask(message: ToPlanner, kind: FromPlanner["kind"]): Promise<FromPlanner> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) return reject(this.#over);
      this.#waiting = { kind, resolve, reject };
      this.#tell(message);
    });
  }

  #tell(message: ToPlanner): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #onMessage(message: FromPlanner): void {
    if (this.#over !== undefined) return;
    if (message?.kind === "call") void this.#answer(message);
    if (message?.kind === "failed") this.#fail(refused(message.code, message.message));
    if (this.#waiting?.kind !== message?.kind) return; // nobody has asked
    this.#waiting?.resolve(message);
    this.#waiting = undefined;
  }

  async #answer({ call, method, key, bytes }: StoreCall): Promise<void> {
    try {
      this.#check(method, String(key)); // S1
      const body = bytes instanceof Uint8Array ? bytes : new Uint8Array();
      const value =
        method === "head" || method === "get" ? await this.store[method](key) : await this.store[method](key, body);
      this.#tell({ kind: "answer", call, value });
    } catch (cause) {
      const { code, message } = MillraceError.from(cause);
      this.#tell({ kind: "refused", call, code, message });
    }
  }

  #check(method: StoreCall["method"], key: string): void {
    const reads = method === "head" || method === "get";
    if (reads && this.savepoint !== undefined && key.startsWith(jobKeys(savepointName(this.savepoint).job).all)) return;
    const own = this.#job && jobKeys(this.#job).all;
    const writes = method === "put" || method === "create";
    if (writes && own !== undefined && WRITTEN.some((part) => key.startsWith(own + part))) return;
    throw new MillraceError("MILL_STORE_REFUSED", `a topology that is planned may not ${String(method)} ${key}.`);
  }

  #look(): void {
    const { pid } = this.#child;
    const usage = pid === undefined ? undefined : processUsage(pid);
    if (usage !== undefined && usage.rssBytes > limits.planMemoryBytesMax)
      this.#end(`that took more than ${limits.planMemoryBytesMax} bytes of memory`);
  }

  #end(why: string): void {
    this.#fail(
      new MillraceError("MILL_TOPOLOGY_LOAD", `the topology could not be planned: ${why}. Do less where it is built.`),
    );
  }

  #fail(error: MillraceError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    const { pid } = this.#child;
    try {
      if (pid !== undefined) process.kill(-pid, "SIGKILL");
    } catch {
      this.#child.kill("SIGKILL"); // its group has gone, or there are no groups here
    }
  }
}

/** S3: that something of ours is broken, sent code cannot say. */
function refused(code: unknown, message: unknown): MillraceError {
  const known = typeof code === "string" && isErrorCode(code) && code !== "MILL_INTERNAL" ? code : "MILL_TOPOLOGY_LOAD";
  return new MillraceError(known, String(message).slice(0, MESSAGE_CHARS_MAX));
}
