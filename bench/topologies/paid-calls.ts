/**
 * Numbers at a steady pace -> a service that takes `callMs` a call -> JSON Lines. Every instance notes in `marks` each row that it begins
 * and ends, and when; hosts note their pids. For counting calls that are made twice.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { batchFromRows, jsonl, rowsOf, type Source, service, t, topology } from "millrace";

const columns = { n: t.int32 };
const output = { n: t.int32, answer: t.int32 };
const ROWS_OF_SPLIT = 8;
const ROWS_OF_CALL = 4;

function numbers(count: number, paceMs: number): Source<typeof columns> {
  return {
    kind: "paced-numbers",
    columns,
    describe: `${count} numbers`,
    async *splits() {
      for (let first = 0; first < count; first += ROWS_OF_SPLIT) {
        yield { id: String(first), payload: new TextEncoder().encode(String(first)), rows: ROWS_OF_SPLIT };
      }
    },
    async *read(split) {
      const first = Number(new TextDecoder().decode(split.payload));
      await pause(paceMs);
      yield batchFromRows(
        columns,
        Array.from({ length: ROWS_OF_SPLIT }, (_, i) => ({ n: first + i })),
      );
    },
  };
}

export default topology(
  "paid-calls",
  (job) => {
    const marks = job.param("marks", "");
    const callMs = Number(job.param("callMs", "300"));
    const callee = service("callee", {
      input: columns,
      output: { answer: t.int32 },
      instances: Number(job.param("instances", "4")),
      batch: { rowsMax: ROWS_OF_CALL },
      handler: {
        kind: "callee",
        assets: {},
        load: async ({ instance }) => {
          const file = join(marks, `callee-${instance}.${process.pid}`);
          const note = (what: string, rows: readonly { readonly n: number }[]) =>
            appendFileSync(file, rows.map(({ n }) => `${what} ${n} ${Date.now()}\n`).join(""));
          appendFileSync(file, "");
          return {
            async infer(batch) {
              const rows = rowsOf(columns, batch);
              note("begin", rows);
              await pause(callMs);
              note("end", rows);
              return batchFromRows(
                { answer: t.int32 },
                rows.map(({ n }) => ({ answer: 2 * n })),
              );
            },
          };
        },
      },
    });
    let noted = false;
    job
      .read(numbers(1_000_000, Number(job.param("paceMs", "200"))), { id: "numbers" })
      .mapRows({ id: "note", to: columns }, ({ n }) => {
        if (!noted) appendFileSync(join(marks, `host-0.${process.pid}`), "");
        noted = true;
        return { n };
      })
      .infer(callee, { id: "call" })
      .select(...(Object.keys(output) as (keyof typeof output)[]))
      .to(jsonl(job.param("output", "out/paid")), { id: "out" });
  },
  (params) => ({
    checkpointIntervalMs: Number(params.intervalMs ?? "1000"),
    deadLetters: `${params.output ?? "out"}-dead-letters`,
  }),
);
