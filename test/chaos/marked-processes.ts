/**
 * The processes of one chaos run, found by a mark in their environment, which children inherit. So those are found, too, whose
 * parent was killed. Linux only: it reads /proc.
 *
 * Invariants:
 *   P1  Only processes that carry this run's mark are ever signalled.
 *   P2  They end with the run, also when this process is killed hard: a guard (a shell that waits on a pipe) then ends them.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";

const MARK = "MILLRACE_CHAOS";

/** Ends when its input closes without a word. New ones may start while the first are ended, so it looks more than once. */
const GUARD = `read -r word; [ -n "$word" ] && exit 0
for round in 1 2 3; do
  for process in /proc/[0-9]*; do
    if grep -qsa "$1" "$process/environ"; then kill -9 "\${process#/proc/}"; fi
  done
  sleep 0.3
done`;

export type ProcessKind = "host" | "instance" | "worker" | "coordinator" | "other";

export interface MarkedProcess {
  readonly pid: number;
  readonly parent: number;
  readonly kind: ProcessKind;
  /** SIGSTOP has stopped it. */
  readonly stopped: boolean;
}

export class MarkedProcesses {
  readonly #mark: string;
  readonly #releaseGuard: () => void;

  constructor(readonly run: string) {
    this.#mark = `${MARK}=${run}`;
    const guard = spawn("sh", ["-c", GUARD, "guard", this.#mark], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    const pipe = guard.stdin as Socket;
    pipe.on("error", () => {});
    guard.unref();
    pipe.unref();
    this.#releaseGuard = () => pipe.end("ended\n");
    process.on("exit", () => this.killAll());
  }

  /** What a process must be started with to be one of them. */
  get env(): Readonly<Record<string, string>> {
    return { [MARK]: this.run };
  }

  /** Those that are there, by pid. */
  list(): MarkedProcess[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => this.#look(Number(name)))
      .filter((found) => found !== undefined)
      .sort((a, b) => a.pid - b.pid);
  }

  #look(pid: number): MarkedProcess | undefined {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(this.#mark)) return undefined;
      const [state = "", parent = ""] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (state === "Z" || state === "X") return undefined;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return { pid, parent: Number(parent), kind: kindOf(command), stopped: state === "T" };
    } catch {
      return undefined; // it has ended meanwhile, or belongs to somebody else
    }
  }

  /** @returns whether it was still one of them, and got the signal */
  signal(pid: number, signal: NodeJS.Signals): boolean {
    if (this.#look(pid) === undefined) return false;
    try {
      return process.kill(pid, signal);
    } catch {
      return false;
    }
  }

  killAll(): void {
    for (const { pid } of this.list()) this.signal(pid, "SIGKILL");
  }

  /** After the end of all. */
  release(): void {
    this.killAll();
    this.#releaseGuard();
  }
}

function kindOf(command: readonly string[]): ProcessKind {
  const program = command.slice(1).find((word) => !word.startsWith("-")) ?? ""; // behind the flags of Node
  if (program.endsWith("/host-main.js")) return "host";
  if (program.endsWith("/instance-main.js")) return "instance";
  if (!program.endsWith("/cli/main.js")) return "other";
  return command.includes("worker") ? "worker" : command.includes("coordinator") ? "coordinator" : "other";
}
