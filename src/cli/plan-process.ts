/**
 * A process that works on what was sent (`plan-main.ts`), kept within its bounds.
 *
 * Invariants:
 *   S2  It ends: at `limits.planTimeoutMs`, above `limits.planMemoryBytesMax`, when it is closed; and with it all that it has started.
 *   S4  It is told nothing secret: its environment is made anew.
 */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { FromPlanner, StoreCall, ToPlanner } from "./plan-messages.js";
import { endGroup } from "./process-group.js";
import { processUsage } from "./process-usage.js";

/** Between two looks at how much memory it has. */
const LOOK_MS = 250;
const MESSAGE_CHARS_MAX = 4_000;
/** Of this process's environment: nothing in it is secret. */
const PASSED_ON = ["PATH", "LANG", "LC_ALL", "TZ"];

export class PlanProcess {
  #child: ChildProcess;
  #over: MillraceError | undefined;
  #waiting: { kind: FromPlanner["kind"]; resolve(message: FromPlanner): void; reject(error: Error): void } | undefined;
  #timers: NodeJS.Timeout[] = [];

  /**
   * @param folder its own
   * @param flags of Node
   * @param onCall what it asks of the store
   */
  constructor(
    folder: string,
    flags: readonly string[],
    private readonly onCall: (call: StoreCall) => void,
  ) {
    const env = Object.fromEntries(PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
    this.#child = fork(join(fileURLToPath(new URL(".", import.meta.url)), "plan-main.js"), [], {
      cwd: folder,
      env: { ...env, HOME: folder, TMPDIR: folder },
      execArgv: [`--max-old-space-size=${Math.floor(limits.planMemoryBytesMax / 2 ** 21)}`, ...flags],
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

  /** @throws {MillraceError} what it says is wrong; `MILL_TOPOLOGY_LOAD`: it has ended */
  ask<K extends FromPlanner["kind"]>(message: ToPlanner, kind: K): Promise<Extract<FromPlanner, { kind: K }>> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) return reject(this.#over);
      this.#waiting = { kind, resolve: resolve as (message: FromPlanner) => void, reject };
      this.tell(message);
    });
  }

  tell(message: ToPlanner): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** S2 */
  close(): void {
    this.#end("it is over");
  }

  #onMessage(message: FromPlanner): void {
    if (this.#over !== undefined) return;
    if (message?.kind === "call") this.onCall(message);
    if (message?.kind === "failed") this.#fail(refused(message.code, message.message));
    if (this.#waiting?.kind !== message?.kind) return; // nobody has asked
    this.#waiting?.resolve(message);
    this.#waiting = undefined;
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
    endGroup(this.#child);
  }
}

/** That something of ours is broken, sent code cannot say. */
function refused(code: unknown, message: unknown): MillraceError {
  const known = typeof code === "string" && isErrorCode(code) && code !== "MILL_INTERNAL" ? code : "MILL_TOPOLOGY_LOAD";
  return new MillraceError(known, String(message).slice(0, MESSAGE_CHARS_MAX));
}
