/** A durable log's meaning in memory: it lasts as long as its system. */
import { MillraceError } from "../base/errors.js";
import type { LogEntry, LogOptions } from "./bus.js";
import { Changes } from "./changes.js";

export class MemoryLog {
  readonly changes = new Changes();
  private entries: LogEntry[] = [];
  private lastSequence = 0n;
  private bytes = 0;
  private gone = false;

  constructor(
    readonly name: string,
    private readonly options: LogOptions,
    /** Of the logs of its system, how many came before it. */
    private readonly made: number,
  ) {}

  append(payload: Uint8Array, expectedLast: bigint | undefined): bigint {
    this.checkThere("append to");
    if (expectedLast !== undefined && expectedLast !== this.lastSequence) {
      throw logConflict(this.name, expectedLast, this.lastSequence);
    }
    const { bytesMax } = this.options;
    if (bytesMax !== undefined && this.bytes + payload.byteLength > bytesMax) throw logFull(this.name, bytesMax);
    this.lastSequence += 1n;
    this.bytes += payload.byteLength;
    this.entries.push({ sequence: this.lastSequence, payload });
    this.changes.announce();
    return this.lastSequence;
  }

  /** For who has it open; its system forgets it. */
  delete(): void {
    this.gone = true;
    this.entries = [];
    this.bytes = 0;
  }

  incarnation(): string {
    this.checkThere("describe");
    return `${this.made}`;
  }

  last(): bigint {
    this.checkThere("describe");
    return this.lastSequence;
  }

  first(): bigint {
    this.checkThere("describe");
    return this.firstKept;
  }

  /** The oldest kept entry at or after `sequence`. Whoever follows a log that is gone hears nothing of that. */
  at(sequence: bigint): LogEntry | undefined {
    const index = sequence - this.firstKept;
    return this.entries[index < 0n ? 0 : Number(index)];
  }

  purgeBelow(sequence: bigint): void {
    this.checkThere("purge");
    const count = sequence - this.firstKept;
    if (count <= 0n) return;
    for (const entry of this.entries.splice(0, Number(count))) this.bytes -= entry.payload.byteLength;
  }

  private get firstKept(): bigint {
    return this.entries[0]?.sequence ?? this.lastSequence + 1n;
  }

  private checkThere(verb: string): void {
    if (this.gone) throw logGone(this.name, verb);
  }
}

export function logConflict(log: string, expected: bigint, last: bigint | undefined): MillraceError {
  const found = last === undefined ? "not that" : `${last}`;
  return new MillraceError(
    "MILL_BUS_CONFLICT",
    `append to log ${log} expected ${expected} as its last entry, and it is ${found}: somebody else has written. Read the log again.`,
    { log, expected },
  );
}

export function logGone(log: string, verb: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_BUS_LOG_GONE",
    `${verb} log ${log}: it was deleted on the server, with all its entries. Start again what used it.`,
    { log },
    cause === undefined ? undefined : { cause },
  );
}

export function logFull(log: string, bytesMax: number | undefined): MillraceError {
  const size = bytesMax === undefined ? "" : ` (${bytesMax} bytes)`;
  return new MillraceError(
    "MILL_BUS_LOG_FULL",
    `log ${log} is full${size}: its readers' checkpoints have not let go of enough. Wait for a purge, or give the log more bytes.`,
    { log, ...(bytesMax === undefined ? {} : { bytesMax }) },
  );
}
