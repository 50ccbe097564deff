/**
 * One simulated operating-system process: what runs in it can be killed, paused and given a wrong wall clock.
 *
 * Code between two events is never interrupted; everything that leaves a process (a message, a store call, a timer) is
 * several events, and a crash falls between any two of them.
 */
import type { Log, LogFields, Ports } from "../../src/base/ports.js";
import { type SimEvent, type SimWorld, simClock } from "./sim-clock.js";

export type ProcessRole = "coordinator" | "worker" | "host" | "instance" | "client";

export class SimProcess {
  state: "running" | "paused" | "dead" = "running";
  /** Added to the wall clock, not to the monotonic one. */
  skewMs = 0;
  readonly ports: Ports;
  #keptBack: SimEvent[] = [];
  #onEnd: ((how: string) => void)[] = [];

  constructor(
    readonly world: SimWorld,
    readonly name: string,
    readonly role: ProcessRole,
    log?: Log,
  ) {
    this.ports = {
      clock: simClock(world, this),
      random: world.random.fork(`process ${name}`),
      log: log ?? simLog(world, this, {}),
    };
  }

  get isDead(): boolean {
    return this.state === "dead";
  }

  /** Runs `fn` as this process; never, if it dies before. */
  later(delayMs: number, label: string, fn: () => void): void {
    this.world.schedule(this, delayMs, label, fn);
  }

  /** Resolves as an event of this process; never, if it dies before. */
  hop(delayMs: number, label: string): Promise<void> {
    return new Promise((resolve) => this.later(delayMs, label, resolve));
  }

  /** SIGKILL, or an end of its own: nothing of it runs any more. */
  end(how: string): void {
    if (this.state === "dead") return;
    this.world.trace.add(this.world.nowMs, this.name, `ends: ${how}`);
    this.state = "dead";
    this.#keptBack = [];
    for (const tell of this.#onEnd.splice(0)) tell(how);
  }

  /** SIGSTOP. */
  pause(): void {
    if (this.state === "running") this.state = "paused";
  }

  /** SIGCONT: all that was due runs now. */
  resume(): void {
    if (this.state !== "paused") return;
    this.state = "running";
    this.world.release(this.#keptBack);
    this.#keptBack = [];
  }

  onEnd(tell: (how: string) => void): void {
    if (this.state === "dead") tell("it has ended");
    else this.#onEnd.push(tell);
  }

  keepBack(event: SimEvent): void {
    this.#keptBack.push(event);
  }
}

/** Lines go to the trace, so that a failure report tells what the processes themselves said. */
function simLog(world: SimWorld, process: SimProcess, fixed: LogFields): Log {
  const at = (level: string) => (message: string, fields?: LogFields) => {
    world.trace.add(world.nowMs, process.name, `${level} ${message} ${show({ ...fixed, ...fields })}`);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => simLog(world, process, { ...fixed, ...fields }),
  };
}

function show(fields: LogFields): string {
  return JSON.stringify(fields, (_key, value: unknown) => {
    if (typeof value === "bigint") return `${value}`;
    if (value instanceof Error) return value.message;
    return value;
  });
}
