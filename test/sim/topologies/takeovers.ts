/**
 * One region with little to do, many checkpoints of which few are kept, and coordinators that follow each other within seconds, while listings
 * are as old as the job is: who begins to lead finds the end of a log whose beginning was deleted before it could be listed.
 */
import { jsonl } from "../../../src/connectors/jsonl.js";
import { topology } from "../../../src/topology/topology.js";
import type { SimProcess } from "../sim-process.js";
import type { SimRandom } from "../sim-random.js";
import type { Scenario } from "./scenario.js";
import { drawInput, inputColumns, memorySource, rowsOfInput } from "./sources.js";

const OUT = "out/rows/";
const ROWS_MAX = 60;

export function takeovers(random: SimRandom): Scenario {
  const input = drawInput(random, ROWS_MAX);
  const checkpointIntervalMs = Math.round(random.logBetween(30, 300));
  const readers = 1 + random.below(4);
  const stepMs = random.logBetween(100, 2_000);

  const build = (process: SimProcess) => {
    const { clock } = process.ports;
    return topology(
      "sim-takeovers",
      (job) => {
        job
          .read(memorySource(input), { id: "numbers" })
          .parallelism(readers)
          .mapRows({ id: "step", to: inputColumns }, async (row) => {
            await clock.sleep(stepMs);
            return row;
          })
          .to(jsonl(OUT), { id: "rows" });
      },
      { deadLetters: "out/none/", checkpointIntervalMs },
    ).build({});
  };

  const rows = rowsOfInput(input);
  return {
    name: "takeovers",
    describe: `${rows.length} rows in ${input.splits.size} splits, ${readers} readers, ${Math.round(stepMs)} ms a row, a checkpoint every ${checkpointIntervalMs} ms, coordinators that follow each other soon`,
    build,
    inputs: new Map(),
    expected: new Map([
      [OUT, rows.map(lineOf)],
      ["out/none/", []],
    ]),
    linesOf: (_folder, row) => [lineOf(row)],
    lanesOf: (_folder, row) => [{ lane: String(row.split), position: Number(row.position) }],
    isContested: true,
    bounds: { checkpointsKept: 1 },
    rowsPerBatch: input.rowsPerBatch,
    workers: 1,
    calmMs: 600_000 + 2 * stepMs * rows.length,
  };
}

function lineOf(row: Record<string, unknown>): string {
  return `${row.n} ${row.split} ${row.position} ${row.key}`;
}
