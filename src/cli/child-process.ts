/**
 * Starts one of our own programs as a child and watches it. Its settings go over the IPC channel, so that no secret
 * shows in a process list; when that channel closes, because the parent died, the child ends by itself.
 */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { isErrorCode } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";
import type { Child, Exit } from "../worker/worker.js";
import { processUsage } from "./process-usage.js";
import { isAlive, watchSilence } from "./silence.js";

/** What a child says of itself before it ends with an error. */
export interface ChildFailure {
  readonly code: string;
  readonly message: string;
}

export interface StartedChild extends Child {
  readonly pid: number;
  /** The stream to the child, where one was asked for. */
  readonly link: Duplex | undefined;
}

export function startChild(
  program: "host-main" | "instance-main",
  config: unknown,
  options: { readonly link: boolean; readonly log: Log; readonly devices: readonly string[] | undefined },
): StartedChild {
  const file = join(fileURLToPath(new URL(".", import.meta.url)), `${program}.js`);
  const child = fork(file, [], {
    stdio: ["ignore", "ignore", "pipe", "ipc", options.link ? "pipe" : "ignore"],
    serialization: "advanced",
    env: environment(options.devices),
    // Its own group: a Ctrl-C at the terminal reaches the parent, which lets its children finish.
    detached: true,
  });
  let failure: ChildFailure | undefined;
  child.on("message", (message) => {
    if (!isAlive(message)) failure = message as ChildFailure;
  });
  watchSilence(child, (ms) => {
    const what = `it said nothing for ${ms} ms: a call blocks it for longer than its service's timeoutMs. It was ended.`;
    failure ??= { code: "MILL_SERVICE_TIMEOUT", message: what };
    child.kill("SIGKILL");
  });
  const lastWords = tail(child, options.log);
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (status, signal) => resolve(exitOf(status, signal, failure, lastWords())));
    child.once("error", (error) => resolve({ code: "MILL_INTERNAL", message: error.message }));
  });
  child.send(config as object);
  return {
    pid: child.pid ?? -1,
    link: options.link ? (child.stdio[4] as Duplex) : undefined,
    exited,
    usage: () => (child.pid === undefined ? undefined : processUsage(child.pid)),
    stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const hard = setTimeout(() => child.kill("SIGKILL"), limits.drainTimeoutMs);
      child.once("exit", () => clearTimeout(hard));
    },
  };
}

/** CUDA shows a process these devices and no others; an empty list hides all. */
function environment(devices: readonly string[] | undefined): NodeJS.ProcessEnv {
  return devices === undefined ? process.env : { ...process.env, CUDA_VISIBLE_DEVICES: devices.join(",") };
}

function exitOf(status: number | null, signal: string | null, failure: ChildFailure | undefined, words: string): Exit {
  if (failure !== undefined)
    return { code: isErrorCode(failure.code) ? failure.code : "MILL_INTERNAL", message: failure.message };
  if (status === 0) return { code: "", message: "" };
  const how = signal === null ? `it exited with status ${status}` : `it was ended by ${signal}`;
  return { code: "MILL_SERVICE_LOST", message: words === "" ? how : `${how}; its last words: ${words}` };
}

/** Passes the child's standard error on to the log and keeps its end. */
function tail(child: ChildProcess, log: Log): () => string {
  let kept = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    kept = `${kept}${text}`.slice(-1_000);
    log.debug("child", { pid: child.pid, text: text.trimEnd() });
  });
  return () => kept.trim().split("\n").slice(-3).join(" | ");
}
