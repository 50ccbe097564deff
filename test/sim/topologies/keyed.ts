/** State by key behind a hash exchange, one region: `reduce` at the end or at every change, `process` with rows of its own. */
import { MillraceError } from "../../../src/base/errors.js";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { type KeyedStream, topology } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import type { SimProcess } from "../sim-process.js";
import type { SimRandom } from "../sim-random.js";
import type { Lane, Line, Scenario, Turn } from "./scenario.js";
import {
  drawInput,
  drawPace,
  drawRestart,
  type InputRow,
  inputColumns,
  memorySource,
  objectSource,
  objectsOf,
  rowsOfInput,
} from "./sources.js";

const OUT = "out/counts/";
const BAD = "out/bad/";
const INPUTS = "inputs/";
const ROWS_MAX = 160;

export const FORMS = ["changes", "end", "process"] as const;
export type Form = (typeof FORMS)[number];

export const isBad = (n: number): boolean => n % 11 === 4;

export function keyed(random: SimRandom): Scenario {
  const input = drawInput(random, ROWS_MAX);
  const fromStore = random.chance(0.5);
  const restart = drawRestart(random.fork("restart"));
  const readers = restart.instances(() => 1 + random.below(3));
  const counters = restart.instances(() => 1 + random.below(3));
  const form = random.pick(FORMS);
  const { stepMs, checkpointIntervalMs, isRestless, bounds, describe } = drawPace(random.fork("pace"));

  const build = (process: SimProcess, turn: Turn) =>
    topology(
      "sim-keyed",
      (job) => {
        const rows = job
          .read(fromStore ? objectSource(INPUTS, input.rowsPerBatch) : memorySource(input), { id: "numbers" })
          .parallelism(readers(turn))
          .keyBy("key");
        counted(rows, form, process, stepMs).parallelism(counters(turn)).to(jsonl(OUT), { id: "counts" });
      },
      { deadLetters: BAD, checkpointIntervalMs },
    ).build({});

  const rows = rowsOfInput(input);
  return {
    name: "keyed",
    describe: `${rows.length} rows in ${input.splits.size} splits from ${fromStore ? "objects" : "memory"}, ${readers(0)} readers, ${counters(0)} counters (${form}), ${describe}${restart.describe}`,
    build,
    savepointMs: restart.savepointMs,
    inputs: fromStore ? objectsOf(INPUTS, input) : new Map(),
    expected: new Map([
      [OUT, countedLines(form, rows)],
      [BAD, rows.filter(({ n }) => isBad(n)).map(({ n }) => `count ${n}`)],
    ]),
    linesOf: (folder, row) => (folder === BAD ? [badLine(row)] : linesOfCount(form, row)),
    lanesOf: (folder, row) => (folder === BAD ? [] : lanesOfCount(form, row)),
    rowsPerBatch: input.rowsPerBatch,
    workers: 2,
    calmMs: 600_000 + 2 * stepMs * rows.length,
    isRestless,
    // State changes while it is written down.
    ...(isRestless ? { turnMsMax: 4 * stepMs } : {}),
    bounds: { ...bounds, keyedEncodeKeys: 1 },
  };
}

/** Counts rows by key. `process` says of each row which one of its key it was. */
export function counted(
  rows: KeyedStream<typeof inputColumns, "key">,
  form: Form,
  process: SimProcess,
  stepMs: number,
) {
  const { clock } = process.ports;
  const step = async (n: number) => {
    if (stepMs > 0) await clock.sleep(stepMs);
    if (isBad(n)) throw new MillraceError("MILL_RECORD_INVALID", `the row ${n} is bad.`);
  };
  if (form === "process") {
    return rows.process(
      { id: "count", to: { ...inputColumns, place: t.int32 }, state: { rows: t.int32 } },
      async (row, state) => {
        const place = (state.get()?.rows ?? 0) + 1;
        state.set({ rows: place });
        await step(row.n);
        return [{ ...row, place }];
      },
    );
  }
  return rows.reduce(
    { id: "count", to: { rows: t.int32, sum: t.int64 }, initial: { rows: 0, sum: 0n }, emit: form },
    async ({ rows: before, sum }, { n }) => {
      await step(n);
      return { rows: before + 1, sum: sum + BigInt(n) };
    },
  );
}

/** Which row of a key came when depends on which split was read first; how many there are, and the sum at the end, do not. */
export function countedLines(form: Form, rows: readonly InputRow[]): Line[] {
  const byKey = new Map<string, number[]>();
  for (const { key, n } of rows) if (!isBad(n)) byKey.set(key, [...(byKey.get(key) ?? []), n]);
  return [...byKey].flatMap(([key, own]) => {
    if (form === "end") return [`${key} ${own.length} ${own.reduce((sum, n) => sum + n, 0)}`];
    const places = own.map((_, i) => `${key} ${i + 1}`);
    return form === "changes" ? places : [...places, ...own.map((n) => `row ${n} of ${key}`)];
  });
}

export function linesOfCount(form: Form, row: Record<string, unknown>): Line[] {
  if (form === "end") return [`${row.key} ${row.rows} ${row.sum}`];
  if (form === "changes") return [`${row.key} ${row.rows}`];
  return [`${row.key} ${row.place}`, `row ${row.n} of ${row.key}`];
}

export function lanesOfCount(form: Form, row: Record<string, unknown>): Lane[] {
  if (form === "end") return [];
  if (form === "changes") return [{ lane: String(row.key), position: Number(row.rows) }];
  return [
    { lane: String(row.key), position: Number(row.place) },
    { lane: `${row.key} of ${row.split}`, position: Number(row.position) },
  ];
}

export function badLine(row: Record<string, unknown>): Line {
  return `${row.operator} ${(JSON.parse(String(row.record)) as InputRow).n}`;
}
