/** What the bus suites share: a system under test, waiting with a bound, and a log that remembers. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { Log, LogFields, Ports } from "../../src/base/ports.js";
import { realClock, realRandom } from "../../src/base/real/ports.js";
import type { Bus, BusMessage } from "../../src/bus/bus.js";

export interface BusSystem {
  /** Another connection to the same system. */
  bus(): Promise<Bus>;
  stop(): Promise<void>;
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** Real ports whose log keeps its lines. */
export function recordingPorts(): { readonly ports: Ports; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const level = (name: string) => (message: string, fields?: LogFields) => {
    lines.push({ level: name, message, fields });
  };
  const log: Log = {
    debug: level("debug"),
    info: level("info"),
    warn: level("warn"),
    error: level("error"),
    child: () => log,
  };
  return { ports: { clock: realClock, random: realRandom, log }, lines };
}

/** `promise`, or a failure that says what was awaited. */
export async function within<T>(what: string, promise: Promise<T>, boundMs = 10_000): Promise<T> {
  const bound = new AbortController();
  const late = realClock.sleep(boundMs, bound.signal).then(
    () => assert.fail(`waited ${boundMs} ms for ${what}`),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    bound.abort();
  }
}

/** When a connection has ended, by a reset too: `once(socket, "close")` of `node:events` fails on a socket's error. */
export const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once("close", () => resolve()));

/** A handler that collects messages, and lets a test wait until there are enough of them. */
export class Inbox {
  readonly messages: BusMessage[] = [];
  private wake = () => {};

  readonly handler = (message: BusMessage): void => {
    this.messages.push(message);
    this.wake();
  };

  async waitFor(count: number, boundMs = 10_000): Promise<BusMessage[]> {
    const enough = new Promise<void>((resolve) => {
      this.wake = () => {
        if (this.messages.length >= count) resolve();
      };
      this.wake();
    });
    await within(`${count} messages`, enough, boundMs).catch((error: Error) => {
      throw new Error(`${error.message}; ${this.messages.length} came`, { cause: error });
    });
    return this.messages;
  }

  texts(): string[] {
    return this.messages.map((message) => text(message.payload));
  }
}

export function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

export function text(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

/** `length` bytes that are not all alike: a part out of place shows. */
export function pattern(length: number, seed = 7): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, length);
}

export function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.equal(actual?.byteLength, expected.byteLength);
  assert.ok(Buffer.compare(actual ?? new Uint8Array(), expected) === 0, "the bytes differ");
}
