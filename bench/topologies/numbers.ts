/**
 * Numbers with `bytes` of payload each -> SHA-256 of the payload -> a service that takes `callMs` a call -> JSON Lines. For
 * measurements of checkpoints: the source waits `paceMs` before a batch, or never, and everything under way is in `infer`.
 * Processes note their pids in `marks`.
 */
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { batchFromRows, jsonl, rowsOf, type Source, service, t, topology } from "millrace";

const columns = { n: t.int32, payload: t.binary };
const hashed = { n: t.int32, payload: t.binary, hash: t.utf8 };
const ROWS_OF_SPLIT = 64;

/** Told of each batch, where somebody runs the job in its own process: `telemetry-cost-worker.ts`. */
type Told = { readonly [key: symbol]: ((rows: number) => void) | undefined };
const onRead = (globalThis as Told)[Symbol.for("millrace.bench.onRead")];

function numbers(count: number, bytes: number, paceMs: number): Source<typeof columns> {
  const payload = new Uint8Array(bytes).fill(7);
  return {
    kind: "numbers",
    columns,
    describe: `${count} numbers`,
    async *splits() {
      for (let first = 0; first < count; first += ROWS_OF_SPLIT) {
        const rows = Math.min(ROWS_OF_SPLIT, count - first);
        yield { id: String(first), payload: new TextEncoder().encode(JSON.stringify({ first, rows })), rows };
      }
    },
    async *read(split) {
      const { first, rows } = JSON.parse(new TextDecoder().decode(split.payload)) as { first: number; rows: number };
      if (paceMs > 0) await pause(paceMs);
      onRead?.(rows);
      yield batchFromRows(
        columns,
        Array.from({ length: rows }, (_, i) => ({ n: first + i, payload })),
      );
    },
  };
}

const input = { n: t.int32 };
const output = { answer: t.int32 };

export default topology(
  "numbers",
  (job) => {
    const [count, bytes, callMs] = ["count", "bytes", "callMs"].map((name) => Number(job.param(name, "0"))) as [
      number,
      number,
      number,
    ];
    const marks = job.param("marks", "");
    const paceMs = Number(job.param("paceMs", "0"));
    const instances = Number(job.param("instances", "2"));
    const callee = service("callee", {
      input,
      output,
      instances,
      batch: { rowsMax: ROWS_OF_SPLIT },
      handler: {
        kind: "callee",
        assets: {},
        load: async () => ({
          async infer(batch) {
            if (callMs > 0) await pause(callMs);
            return batchFromRows(
              output,
              rowsOf(input, batch).map(({ n }) => ({ answer: n })),
            );
          },
        }),
      },
    });
    let noted = false;
    job
      .read(numbers(count, bytes, paceMs), { id: "numbers" })
      .mapRows({ id: "hash", to: hashed }, ({ n, payload }, { subtask }) => {
        if (!noted && marks !== "") appendFileSync(join(marks, `host-${subtask}.${process.pid}`), "");
        noted = true;
        return { n, payload, hash: createHash("sha256").update(payload).digest("hex") };
      })
      .infer(callee, { id: "call" })
      .select("n", "hash", "answer")
      .to(jsonl(job.param("output", "out/numbers")), { id: "out" });
  },
  (params) => ({
    parallelism: Number(params.chains ?? "1"),
    checkpointIntervalMs: Number(params.intervalMs ?? "1000"),
    deadLetters: `${params.output ?? "out"}-dead-letters`,
  }),
);
