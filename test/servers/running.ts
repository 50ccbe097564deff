/**
 * One server process of a test, and the promise that it ends.
 *
 * Invariants:
 *   P1  A server ends when it is stopped, when this process ends in whatever way, and when this process is killed hard:
 *       a guard (a shell that waits on a pipe from here) ends it when the pipe breaks.
 *   P2  Servers are ended by process id (Docker: by container name), and never after they are known to have ended: the
 *       id may be somebody else's by then.
 *   P3  The data folder is private, lies under the system's temporary folder, and goes with the server.
 *
 * No signal handlers are installed: they would change how the host process (mocha, a benchmark) reacts to Ctrl-C; the
 * guard covers these ends too. Where there is no `sh` (Windows) a hard kill leaves the server behind.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const STOP_MS_MAX = 3_000;

/** Ends when its input closes without a word: `$1` how (pid or container), `$2` which, `$3` the data folder. */
const GUARD = `read -r word; [ -n "$word" ] && exit 0
if [ "$1" = docker ]; then docker rm -f "$2"; else kill -9 "$2"; fi >/dev/null 2>&1
sleep 0.2; rm -rf -- "$3"`;

const live = new Set<RunningServer>();

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly dataDir: string;
  /** Name of the container, where the process is a `docker run` in the foreground. */
  readonly container?: string;
}

export function privateFolder(server: string): string {
  return mkdtempSync(join(tmpdir(), `millrace-${server}-`));
}

export class RunningServer {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #launch: Launch;
  readonly #logFile: string;
  #ended = false;

  constructor(launch: Launch) {
    this.#launch = launch;
    this.#logFile = join(launch.dataDir, "output.log");
    const log = openSync(this.#logFile, "a");
    // Detached: Ctrl-C in a terminal reaches the test run only, whose hooks then stop the servers in order.
    this.#child = spawn(launch.command, launch.args, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...launch.env },
      detached: true,
    });
    closeSync(log);
    live.add(this);
    const releaseGuard = this.#startGuard();
    this.#exited = new Promise((resolve) => {
      const end = () => {
        this.#ended = true;
        live.delete(this);
        releaseGuard();
        resolve();
      };
      this.#child.once("exit", end);
      this.#child.once("error", end); // could not be started
    });
    this.#child.unref();
  }

  get ended(): boolean {
    return this.#ended;
  }

  get dataDir(): string {
    return this.#launch.dataDir;
  }

  /** The server's process; of a container, as the Docker engine's machine numbers it. */
  get pid(): number {
    const { container } = this.#launch;
    if (container === undefined) return this.#child.pid ?? -1;
    return Number(docker("inspect", "--format", "{{.State.Pid}}", container));
  }

  /** Sends a signal to the server, if it still runs. Fault tests use this; the data folder stays until `stop`. */
  kill(signal: NodeJS.Signals): void {
    const { container } = this.#launch;
    if (this.#ended) return;
    if (container !== undefined) docker("kill", "--signal", signal, container);
    else this.#child.kill(signal);
  }

  /** Ends the server and removes its data; may be called again. */
  async stop(): Promise<void> {
    if (!this.#ended) {
      this.#child.ref();
      this.kill("SIGTERM");
      const hard = setTimeout(() => this.kill("SIGKILL"), STOP_MS_MAX);
      await this.#exited;
      clearTimeout(hard);
    }
    rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** For the `exit` event, where nothing can be awaited. */
  endNow(): void {
    this.kill("SIGKILL");
    rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 3 });
  }

  logTail(): string {
    try {
      return readFileSync(this.#logFile, "utf8").trim().split("\n").slice(-15).join("\n");
    } catch {
      return "(no output)";
    }
  }

  #startGuard(): () => void {
    const { container, dataDir } = this.#launch;
    const which = container ?? this.#child.pid?.toString();
    if (which === undefined || process.platform === "win32") return () => {};
    const guard = spawn("sh", ["-c", GUARD, "guard", container === undefined ? "pid" : "docker", which, dataDir], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    guard.on("error", () => {});
    const pipe = guard.stdin as Socket;
    pipe.on("error", () => {});
    guard.unref();
    pipe.unref();
    return () => pipe.end("ended\n");
  }
}

/** Ends whatever a test forgot; the root hook calls it after the last test. */
export async function stopAllServers(): Promise<void> {
  await Promise.all([...live].map((server) => server.stop()));
}

process.on("exit", () => {
  for (const server of live) server.endNow();
});

function docker(...args: string[]): string {
  return spawnSync("docker", args, { encoding: "utf8" }).stdout?.trim() ?? "";
}

/** Published port of a container, or undefined while there is none. */
export function containerPort(container: string, port: number): number | undefined {
  const found = /:(\d+)\s*$/m.exec(docker("port", container, `${port}/tcp`))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Asks again and again until `ask` has an answer. Fails when the server ends or the bound is over, with its output. */
export async function untilReady<T>(
  server: RunningServer,
  what: string,
  boundMs: number,
  ask: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + boundMs;
  let last = "";
  while (!server.ended && performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = `; last answer: ${String(error)}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const why = server.ended ? "it ended" : `not ready within ${boundMs} ms`;
  throw new Error(`${what}: ${why}${last}. Its output ends:\n${server.logTail()}`);
}
