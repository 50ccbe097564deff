/** A topology of two actors for the suites of actors and hosts: numbers in splits of a test's making -> doubled -> a sink in memory. */
import type { RecordBatch } from "apache-arrow";
import type { OperatorId } from "../../../src/base/ids.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { Sink, SinkContext, SinkWriter, Source } from "../../../src/topology/endpoints.js";
import { topology } from "../../../src/topology/topology.js";
import { rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { numbered, numbers } from "./support.js";

export interface SmallJobParts {
  /** Values of each split. */
  readonly splits?: readonly (readonly number[])[];
  /** Awaited before a split is read. */
  readonly reading?: (split: number) => Promise<void>;
  /** What becomes of a value; throws for a bad record. */
  readonly double?: (n: number) => number | Promise<number>;
  /** What becomes of a batch; throws for a mistake. */
  readonly check?: () => void;
  readonly badRecords?: "dead-letter" | "fail";
}

export const SOURCE = "numbers" as OperatorId;

/** A transactional sink in memory. What is prepared carries its rows, so any later writer can commit it. */
export class SmallSink implements Sink {
  readonly kind = "test";
  readonly describe = "test";
  /** Rows by the name of what was prepared. */
  readonly published = new Map<string, unknown[]>();
  readonly calls: string[] = [];
  /** Awaited before what the name says is done. */
  readonly holds = new Map<string, Promise<void>>();
  /** Bytes that every `prepare` returns on top. */
  padding = 0;

  constructor(readonly url: string) {}

  check(): void {}

  async open({ columns, operator, subtask, attempt }: SinkContext): Promise<SinkWriter> {
    let written: unknown[] = [];
    const publish = (prepared: Uint8Array) => {
      if (prepared.length === 0) return;
      const { name, rows } = JSON.parse(new TextDecoder().decode(prepared)) as { name: string; rows: unknown[] };
      this.published.set(name, rows);
    };
    this.calls.push(`open ${operator} ${attempt}`);
    await this.holds.get("open");
    return {
      write: (batch: RecordBatch) => void written.push(...rowsOf(columns, batch as never)),
      prepare: async (checkpoint) => {
        const rows = written;
        written = [];
        await this.holds.get("prepare");
        this.calls.push(`prepare ${operator} ${checkpoint}`);
        if (rows.length === 0) return new Uint8Array();
        const name = `${operator}-${subtask}-${checkpoint.toString().padStart(4, "0")}`;
        return new TextEncoder().encode(JSON.stringify({ name, rows, padding: "x".repeat(this.padding) }));
      },
      commit: async (prepared) => {
        this.calls.push(`commit ${operator}`);
        await this.holds.get("commit");
        publish(prepared);
      },
      recover: async (pending) => {
        this.calls.push(`recover ${operator} ${pending.length}`);
        for (const prepared of pending) publish(prepared);
      },
      abort: async () => {
        this.calls.push(`abort ${operator}`);
        written = [];
      },
    };
  }

  /** What is published, in the order of its names. */
  rows(): unknown[] {
    return [...this.published].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, rows]) => rows);
  }

  /** How often that was asked for. */
  asked(call: string): number {
    return this.calls.filter((one) => one.startsWith(`${call} `)).length;
  }
}

/** Actors: `numbers-0` reads, and `check-0` checks, doubles and writes. */
export function smallJob(parts: SmallJobParts = {}) {
  const { splits = [[1, 2], [3]], double = (n) => 2 * n } = parts;
  const sink = new SmallSink("out");
  const letters = new SmallSink("letters");
  const source: Source<typeof numbered> = {
    kind: "test",
    columns: numbered,
    describe: "test",
    async *splits() {
      for (const [i, values] of splits.entries()) yield { id: `s${i}`, payload: Uint8Array.of(i), rows: values.length };
    },
    async *read(split) {
      await parts.reading?.(split.payload[0]!);
      yield numbers(...splits[split.payload[0]!]!) as never;
    },
  };
  const built = topology(
    "small",
    (job) => {
      job
        .read(source, { id: SOURCE })
        .map({ id: "check", to: numbered }, (batch) => {
          parts.check?.();
          return batch;
        })
        .isolate()
        .mapRows({ id: "double", to: { n: t.int32 } }, async ({ n }) => ({ n: await double(n) }))
        .to(sink, { id: "out" });
    },
    { badRecords: parts.badRecords ?? "dead-letter" },
  ).build({});
  return { topology: built, plan: planTopology(built), sink, letters };
}

/** Numbers that a sink has published, in order. */
export const published = (sink: SmallSink) => (sink.rows() as { n: number }[]).map(({ n }) => n);
