/** What the suites of actors, services and coordinator share: waiting with a bound, a runtime that keeps what it is told, rows. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { Gate, Parking } from "../../../src/actors/gate.js";
import type { BadRecord, OperatorRuntime } from "../../../src/actors/operator.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { OperatorId } from "../../../src/base/ids.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import type { ContentAccess, OutputFolder, Sink, SinkContext } from "../../../src/topology/endpoints.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, type Row, t } from "../../../src/types/columns.js";

export { within } from "../../conformance/bus-support.js";

export const op = (name: string) => name as OperatorId;

/** Lets everything that is ready run, timers of 0 ms included. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Resolves as soon as `holds` does; fails after the bound, saying what was awaited and what was seen. */
export async function until(what: string, holds: () => boolean, seen: () => unknown = () => "", boundMs = 10_000) {
  const fromMs = performance.now();
  while (!holds()) {
    if (performance.now() - fromMs > boundMs) assert.fail(`waited ${boundMs} ms for ${what}; seen: ${String(seen())}`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Whether the promise is still open after everything that is ready has run. */
export async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  let open = true;
  promise.then(
    () => (open = false),
    () => (open = false),
  );
  await turns();
  return open;
}

const NO_CONTENT = "this test has no content";

export const noContent: ContentAccess = {
  bytes: () => Promise.reject(new Error(NO_CONTENT)),
  stream: () => assert.fail(NO_CONTENT),
  slice: () => assert.fail(NO_CONTENT),
  list: () => Promise.resolve([]),
  put: () => Promise.reject(new Error(NO_CONTENT)),
};

export interface TestRuntime extends OperatorRuntime {
  readonly gate: Gate;
  readonly parking: Parking;
  readonly refused: Omit<BadRecord, "operator">[];
  readonly failures: unknown[];
  stop(): void;
}

export function testRuntime(): TestRuntime {
  const ports = realPorts();
  const entered = new Gate();
  const parking = new Parking(entered);
  const stop = new AbortController();
  const refused: Omit<BadRecord, "operator">[] = [];
  const failures: unknown[] = [];
  return {
    operator: "under-test",
    subtask: 0,
    attempt: 1,
    gpus: [],
    ports,
    log: silentLog,
    content: noContent,
    traceparent: "",
    signal: stop.signal,
    counters: { rowsRead: 0, rowsWritten: 0, deadLetters: 0, rowsInFlight: 0 },
    gate: entered,
    // Its caller is inside, as every flow of an actor is.
    parking,
    async park(batch, take, changed, saved) {
      entered.fork();
      try {
        await parking.wait("under-test", batch, take, changed, saved);
      } finally {
        entered.leave();
      }
    },
    keep: (batch, saved) => parking.keep("under-test", batch, saved),
    refuse: (record) => void refused.push(record),
    fail: (error) => void failures.push(error),
    refused,
    failures,
    stop: () => stop.abort(new MillraceError("MILL_JOB_FAILED", "stopped by the test")),
  };
}

export const numbered = { n: t.int32 };

export function numbers(...values: number[]): RecordBatch {
  return batchFromRows(
    numbered,
    values.map((n) => ({ n })),
  ) as unknown as RecordBatch;
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

export function rows<C extends Columns>(columns: C, batches: readonly RecordBatch[]): Row<C>[] {
  return batches.flatMap((batch) => rowsOf(columns, batch as never) as Row<C>[]);
}

/** A transactional sink in memory: what is staged and what is published, and how often each was asked for. */
export class TestSink implements Sink {
  readonly kind = "test";
  readonly describe = "test";
  readonly staged = new Map<string, unknown[]>();
  readonly published = new Map<string, unknown[]>();
  readonly calls: string[] = [];
  /** Awaited before what the name says is done. */
  readonly holds = new Map<string, Promise<void>>();

  constructor(readonly url: string) {}

  check(): void {}

  async open(context: SinkContext) {
    const key = `${context.operator}-${context.subtask}`;
    let written: unknown[] = [];
    this.calls.push(`open ${key}`);
    await this.holds.get("open");
    return {
      write: async (batch: RecordBatch) => {
        written.push(...rowsOf(context.columns, batch as never));
      },
      prepare: async () => {
        await this.holds.get("prepare");
        this.calls.push(`prepare ${key}`);
        this.staged.set(key, written);
        written = [];
        return new TextEncoder().encode(key);
      },
      commit: async (prepared: Uint8Array) => {
        this.calls.push(`commit ${key}`);
        await this.holds.get("commit");
        const name = new TextDecoder().decode(prepared);
        const staged = this.staged.get(name);
        if (staged !== undefined) this.published.set(name, staged);
        this.staged.delete(name);
      },
      recover: async (pending: readonly Uint8Array[]) => {
        this.calls.push(`recover ${key} ${pending.length}`);
      },
      abort: async () => {
        this.calls.push(`abort ${key}`);
        this.staged.delete(key);
      },
    };
  }

  rows(): unknown[] {
    return [...this.published.values()].flat();
  }
}

export const noOutput: OutputFolder = {
  url: "memory",
  put: () => Promise.resolve(),
  move: () => Promise.resolve(),
  delete: () => Promise.resolve(),
  list: () => Promise.resolve([]),
};

export function gate(): { readonly promise: Promise<void>; open(): void } {
  let open: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}
