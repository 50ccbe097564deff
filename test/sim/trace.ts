/**
 * What happened, in order: a running hash over all of it, and the last lines for people. Two runs of one seed are the same
 * run exactly when their hashes are equal.
 */
import { crc32 } from "node:zlib";

/** Lines kept for a failure report. */
const LINES_MAX = 4_000;
const NOISE = /^\S+ \S+ (?:timer|sleep|server:|answered:|gets mr\.\w+\.cluster\.coordinator\.report) ?/;

export class Trace {
  #lines: string[] = [];
  #hash = 0;
  #count = 0;

  constructor(private readonly echo: ((line: string) => void) | undefined) {}

  add(atMs: number, who: string, what: string): void {
    const line = `${(atMs / 1000).toFixed(6)} ${who} ${what}`;
    this.#hash = crc32(line, this.#hash);
    this.#count += 1;
    this.echo?.(line);
    this.#lines.push(line);
    if (this.#lines.length >= 2 * LINES_MAX) this.#lines = this.#lines.slice(-LINES_MAX);
  }

  get hash(): string {
    return `${this.#count}-${this.#hash.toString(16).padStart(8, "0")}`;
  }

  /** The newest lines, without timers and the way to the server, which say little to people. */
  last(count: number): string[] {
    return this.#lines.filter((line) => !NOISE.test(line)).slice(-count);
  }
}

export function checksum(bytes: Uint8Array): string {
  return `${bytes.length}b#${crc32(bytes).toString(16)}`;
}
