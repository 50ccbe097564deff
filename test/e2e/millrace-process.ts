/** The `millrace` command as a user starts it: its own process, its own output, ended by pid. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../src/cli/packages.js";

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** To start, and to say something, where all processes share two cores. */
const SAYS_MS_MAX = 30_000;

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class MillraceProcess {
  #child: ChildProcess;
  #stdout = "";
  #stderr = "";
  #changed: (() => void)[] = [];
  readonly ended: Promise<Ended>;

  constructor(
    readonly args: readonly string[],
    options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
  ) {
    const command = join(packageRoot, "dist", "src", "cli", "main.js");
    this.#child = spawn(process.execPath, [command, ...args], {
      cwd: options.cwd ?? packageRoot,
      // Several coordinators on one machine: each at a port of its own.
      env: { ...process.env, MILLRACE_HTTP: "127.0.0.1:0", ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.#child);
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => this.#grow(() => (this.#stdout += text)));
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => this.#grow(() => (this.#stderr += text)));
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (status, signal) => {
        running.delete(this.#child);
        this.#grow(() => {});
        resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when standard output has said it. @throws when the process ends first, or after `withinMs`, with all it said */
  says(text: string, withinMs = SAYS_MS_MAX): Promise<void> {
    return this.#until(text, () => this.#stdout, withinMs);
  }

  /** The same of standard error. */
  complains(text: string, withinMs = SAYS_MS_MAX): Promise<void> {
    return this.#until(text, () => this.#stderr, withinMs);
  }

  async #until(text: string, said: () => string, withinMs: number): Promise<void> {
    const failed = (why: string) =>
      new Error(`millrace ${this.args.join(" ")}: ${why} before it said "${text}"\n${this.#stdout}\n${this.#stderr}`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(failed(`${withinMs} ms passed`)), withinMs);
    });
    try {
      while (!said().includes(text)) {
        if (!running.has(this.#child)) throw failed("it ended");
        await Promise.race([late, new Promise<void>((resolve) => this.#changed.push(resolve))]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** What it has said so far on standard output. */
  get said(): string {
    return this.#stdout;
  }

  /** The same of standard error. */
  get complained(): string {
    return this.#stderr;
  }

  /** Ends it politely and waits. */
  async stop(): Promise<Ended> {
    if (running.has(this.#child)) this.#child.kill("SIGTERM");
    return this.ended;
  }

  #grow(change: () => void): void {
    change();
    for (const wake of this.#changed.splice(0)) wake();
  }
}

/** Runs a command to its end. */
export function millrace(
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<Ended> {
  return new MillraceProcess(args, options).ended;
}
