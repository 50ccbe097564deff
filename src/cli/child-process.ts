/**
 * Starts one of our own programs as a child and watches it. Its settings go over the IPC channel, so that no secret
 * shows in a process list; when that channel closes, because the parent died, the child ends by itself.
 *
 * Invariants:
 *   D1  Whatever a child writes comes out here, in whole lines: its log, which it filters itself, as it is at standard error; what its
 *       code, libraries and programs print, in the log at `info`.
 *   D2  When a child's end is told, all that it has started has been ended by force, however it ended itself: a device that was its is free
 *       then. What has made a process group of its own is out of reach.
 */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { isErrorCode } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Log, LogFields } from "../base/ports.js";
import { withoutSecrets } from "../base/secrets.js";
import type { Child, Exit } from "../worker/worker.js";
import { CHILD_ENVIRONMENT, CHILD_FLAGS } from "./child-memory.js";
import { LINK_FD, LOG_FD } from "./child-pipes.js";
import { endGroup } from "./process-group.js";
import { processUsage } from "./process-usage.js";
import { isAlive, watchSilence } from "./silence.js";

/** Of a process that prints without ever ending a line. */
const LINE_CHARS_MAX = 65_536;
/** Of what a child printed before it ended without a reason. */
const LAST_WORDS_LINES = 3;
const LAST_WORDS_CHARS = 1_000;

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

export interface ChildOptions {
  readonly link: boolean;
  readonly log: Log;
  /** Which child it is, for the log. */
  readonly named: LogFields;
  readonly devices: readonly string[] | undefined;
  /** Default: `limits.drainTimeoutMs`. */
  readonly drainTimeoutMs?: number;
}

export function startChild(
  program: "host-main" | "instance-main",
  config: unknown,
  options: ChildOptions,
): StartedChild {
  const file = join(fileURLToPath(new URL(".", import.meta.url)), `${program}.js`);
  const child = fork(file, [], {
    execArgv: [...process.execArgv, ...CHILD_FLAGS],
    // Those of `child-pipes.ts` come last.
    stdio: ["ignore", "pipe", "pipe", "ipc", options.link ? "pipe" : "ignore", "pipe"],
    serialization: "advanced",
    env: environment(options.devices),
    // Its own group: a Ctrl-C at the terminal reaches the parent, which lets its children finish; and it is ended as one (D2).
    detached: true,
  });
  let failure: ChildFailure | undefined;
  child.on("message", (message) => {
    if (!isAlive(message)) failure = message as ChildFailure;
  });
  watchSilence(child, (ms) => {
    const what = `it said nothing for ${ms} ms: a call blocks it for longer than its service's timeoutMs. It was ended.`;
    failure ??= { code: "MILL_SERVICE_TIMEOUT", message: what };
    endGroup(child);
  });
  onLines(
    (child.stdio as readonly unknown[] | undefined)?.[LOG_FD] as Readable | undefined,
    (line) => void process.stderr.write(`${line}\n`),
  );
  const lastWords = printed(child, options.log.child({ ...options.named, pid: child.pid }));
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (status, signal) => {
      endGroup(child); // D2: by itself it may have left a program behind
      resolve(exitOf(status, signal, failure, lastWords()));
    });
    child.once("error", (error) => resolve({ code: "MILL_INTERNAL", message: error.message }));
  });
  child.send(config as object);
  return {
    pid: child.pid ?? -1,
    link: options.link ? (child.stdio[LINK_FD] as Duplex) : undefined,
    exited,
    usage: () => (child.pid === undefined ? undefined : processUsage(child.pid)),
    stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const hard = setTimeout(() => endGroup(child), options.drainTimeoutMs ?? limits.drainTimeoutMs);
      child.once("exit", () => clearTimeout(hard));
    },
  };
}

/** CUDA shows a process these devices and no others; an empty list hides all. */
function environment(devices: readonly string[] | undefined): NodeJS.ProcessEnv {
  const visible = devices === undefined ? {} : { CUDA_VISIBLE_DEVICES: devices.join(",") };
  return { ...CHILD_ENVIRONMENT, ...process.env, ...visible };
}

function exitOf(status: number | null, signal: string | null, failure: ChildFailure | undefined, words: string): Exit {
  if (failure !== undefined)
    return { code: isErrorCode(failure.code) ? failure.code : "MILL_INTERNAL", message: failure.message };
  if (status === 0) return { code: "", message: "" };
  const how = signal === null ? `it exited with status ${status}` : `it was ended by ${signal}`;
  return { code: "MILL_SERVICE_LOST", message: words === "" ? how : `${how}; its last words: ${words}` };
}

/** D1. @returns the last lines of its standard error */
function printed(child: ChildProcess, log: Log): () => string {
  let last: string[] = [];
  onLines(child.stdout, (text) => log.info("printed", { text }));
  onLines(child.stderr, (text) => {
    last = [...last, withoutSecrets(text).slice(0, LAST_WORDS_CHARS)].slice(-LAST_WORDS_LINES);
    log.info("printed", { text });
  });
  return () => last.join(" | ");
}

/** Without empty ones. What has no end is cut into pieces. @param stream none where the child could not be started */
function onLines(stream: Readable | null | undefined, each: (line: string) => void): void {
  if (stream === null || stream === undefined) return;
  let rest = "";
  const tell = (line: string) => line.trim() !== "" && each(line.trimEnd());
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop()!;
    for (const line of lines) tell(line);
    if (rest.length < LINE_CHARS_MAX) return;
    tell(rest);
    rest = "";
  });
  stream.on("end", () => tell(rest));
  stream.on("error", () => {}); // it has ended, then
}
