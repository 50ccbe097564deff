/** A command at a terminal of its own, by `script` (util-linux): with a size, keys, and everything that it draws. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../src/cli/packages.js";
import { until } from "./cluster.js";

export const hasTerminals = (): boolean => {
  try {
    execFileSync("script", ["--version"]);
    return true;
  } catch {
    return false;
  }
};

export class Terminal {
  readonly #child: ChildProcess;
  #drawn = "";
  readonly ended: Promise<number | null>;

  /** @param env what it has beside this process' own; an empty text unsets */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}, columns = 120, rows = 40) {
    const main = join(packageRoot, "dist", "src", "cli", "main.js");
    const command = [process.execPath, main, ...args].map((word) => `'${word}'`).join(" ");
    // Node draws no colours where CI is set, whatever the terminal can do.
    const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, ...own } = process.env;
    this.#child = spawn("script", ["-qec", `stty cols ${columns} rows ${rows}; exec ${command}`, "/dev/null"], {
      env: { ...own, TERM: "xterm-256color", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#drawn += text;
      });
    }
    this.ended = new Promise((resolve) => this.#child.once("close", (status) => resolve(status)));
  }

  get drawn(): string {
    return this.#drawn;
  }

  /** Waits until it has drawn that. */
  shows(what: RegExp): Promise<string> {
    const seen = () => `\n${JSON.stringify(this.#drawn.slice(-2_000))}`;
    return until(String(what), async () => what.exec(this.#drawn)?.[0], { seen });
  }

  press(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.ended;
  }
}
