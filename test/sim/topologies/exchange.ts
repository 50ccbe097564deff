/** A hash exchange between two hosts, one region: rows of one key meet in one actor, in the order of their split. */
import { jsonl } from "../../../src/connectors/jsonl.js";
import { topology } from "../../../src/topology/topology.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import type { SimProcess } from "../sim-process.js";
import type { SimRandom } from "../sim-random.js";
import type { Scenario, Turn } from "./scenario.js";
import {
  drawInput,
  drawPace,
  drawRestart,
  inputColumns,
  memorySource,
  objectSource,
  objectsOf,
  rowsOfInput,
} from "./sources.js";

const OUT = "out/keyed/";
const INPUTS = "inputs/";
const ROWS_MAX = 300;

export function exchange(random: SimRandom): Scenario {
  // Many small batches: what is of interest is what happens to frames.
  const input = { ...drawInput(random, ROWS_MAX), rowsPerBatch: 1 + random.below(3) };
  const fromStore = random.chance(0.5);
  // Two or more of one side, so that both hosts have some, and frames go between them.
  const restart = drawRestart(random.fork("restart"));
  const readers = restart.instances(() => (random.chance(0.1) ? 1 : 2 + random.below(2)));
  const receivers = restart.instances(() => (random.chance(0.1) ? 1 : 2 + random.below(2)));
  const { stepMs, checkpointIntervalMs, isRestless, bounds, describe } = drawPace(random.fork("pace"));
  const isByBatch = random.fork("by batch").chance(0.5);
  const tagged = { ...inputColumns, subtask: t.int32 };

  const build = (process: SimProcess, turn: Turn) => {
    const { clock } = process.ports;
    return topology(
      "sim-exchange",
      (job) => {
        const keyed = job
          .read(fromStore ? objectSource(INPUTS, input.rowsPerBatch) : memorySource(input), { id: "numbers" })
          .parallelism(readers(turn))
          .keyBy("key");
        const step = isByBatch
          ? keyed.map({ id: "tag", to: tagged }, async (batch, { subtask }) => {
              const rows = rowsOf(inputColumns, batch).map((row) => ({ ...row, subtask }));
              if (stepMs > 0) await clock.sleep(stepMs * rows.length);
              return batchFromRows(tagged, rows);
            })
          : keyed.mapRows({ id: "tag", to: tagged }, async (row, { subtask }) => {
              if (stepMs > 0) await clock.sleep(stepMs);
              return { ...row, subtask };
            });
        step.parallelism(receivers(turn)).to(jsonl(OUT), { id: "keyed" });
      },
      { deadLetters: "out/none/", checkpointIntervalMs },
    ).build({});
  };

  const rows = rowsOfInput(input);
  return {
    name: "exchange",
    describe: `${rows.length} rows in ${input.splits.size} splits from ${fromStore ? "objects" : "memory"}, ${readers(0)} readers, ${receivers(0)} receivers that work by ${isByBatch ? "batch" : "row"}, ${describe}${restart.describe}`,
    build,
    savepointMs: restart.savepointMs,
    inputs: fromStore ? objectsOf(INPUTS, input) : new Map(),
    expected: new Map([
      [OUT, rows.map((row) => lineOf(row))],
      ["out/none/", []],
    ]),
    linesOf: (_folder, row) => [lineOf(row)],
    lanesOf: (_folder, row) => [{ lane: `${row.key} of ${row.split}`, position: Number(row.position) }],
    rowsPerBatch: input.rowsPerBatch,
    workers: 2,
    calmMs: 600_000 + 2 * stepMs * rows.length,
    isRestless,
    bounds,
  };
}

function lineOf(row: Record<string, unknown>): string {
  return `${row.n} ${row.split} ${row.position} ${row.key}`;
}
