/**
 * The doors to time, randomness and the log. Everything below `src/cli` is handed these and reads no other clock,
 * which is what lets a simulation own time. Real versions: `src/base/real`.
 */

import { noTelemetry, type Telemetry } from "./telemetry.js";

export interface Timer {
  /** Stops the timer; does nothing when it has fired. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch. For people and for records, never for measuring. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start; never steps back. For measuring. */
  monotonicMs(): number;
  /** Calls `fn` once after `delayMs` (0 or more). */
  after(delayMs: number, fn: () => void): Timer;
  /** Resolves after `delayMs`, or rejects with the signal's reason. 0: when what has arrived meanwhile has had its turn. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `length` characters of [a-z0-9], unguessable in the real version. */
  id(length: number): string;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds `fields` to every line. */
  child(fields: LogFields): Log;
}

/** What nearly every part needs; passed as one value. */
export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Traces and metrics. Absent: none are kept. */
  readonly telemetry?: Telemetry;
}

export function telemetryOf({ telemetry = noTelemetry }: Pick<Ports, "telemetry">): Telemetry {
  return telemetry;
}
