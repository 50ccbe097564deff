/**
 * Durable exchanges between regions, with logs that are small: readers, a log, a step or counts by key, sometimes another log, files.
 * Regions fail and come back apart from each other, writers wait for room, and what readers have committed is purged.
 */
import { limits } from "../../../src/base/limits.js";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { topology } from "../../../src/topology/topology.js";
import type { Knobs } from "../knobs.js";
import type { SimProcess } from "../sim-process.js";
import type { SimRandom } from "../sim-random.js";
import { badLine, counted, countedLines, FORMS, isBad, lanesOfCount, linesOfCount } from "./keyed.js";
import type { Scenario, Turn } from "./scenario.js";
import {
  drawInput,
  drawRestart,
  type InputRow,
  inputColumns,
  memorySource,
  objectSource,
  objectsOf,
  rowsOfInput,
} from "./sources.js";

const OUT = "out/handed/";
const BAD = "out/bad/";
const INPUTS = "inputs/";
const ROWS_MAX = 120;
const SAVEPOINTS = 0.4;
/** While logs still fill. */
const SAVEPOINT_MS_MAX = 15_000;
/** Room for some entries: their schemas and writers are in them, too. */
const LOG_BYTES: readonly [number, number] = [6_000, 200_000];
/** Seeds in which a row is larger than an entry, and lies beside a log with room for a few, which several writers fill. */
const TIGHT = 0.5;
const TIGHT_LOG_BYTES: readonly [number, number] = [2_500, 8_000];
const TIGHT_ENTRY_BYTES: readonly [number, number] = [200, 500];
/**
 * Seeds with a savepoint in which readers have handed on whatever was published, and cut late, because the store still takes its time with
 * their last snapshots: what a writer publishes after its savepoint is in its readers' at once, if it may.
 */
const PACED = 0.8;
/** Their savepoint comes that much later, when regions are at work, and writers have rows for that long from then on. */
const PACED_LATER_MS = 8_000;
const PACED_LEFT_MS = 20_000;
const SNAPSHOT_OF_WRITER = /-numbers-\d+$/;
/** Short: while a reader's snapshot is on its way, writers commit and publish. */
const PACED_INTERVAL_MS: readonly [number, number] = [100, 500];

export function durable(random: SimRandom): Scenario {
  const drawnInput = drawInput(random, ROWS_MAX);
  const drawnIntervalMs = random.logBetween(100, 5_000);
  const fromStore = random.chance(0.5);
  const restart = drawRestart(random.fork("restart"), SAVEPOINTS, SAVEPOINT_MS_MAX);
  const tight = random.fork("tight");
  const isTight = tight.chance(TIGHT);
  const writers = restart.instances(() => Math.max(isTight ? 2 : 1, 1 + random.below(3)));
  // As many readers as writers: without keys, each reads what one has written.
  const isEven = random.chance(0.5);
  const readers = restart.instances(() => 1 + random.below(3));
  const partitions = isEven ? writers : readers;
  const form = random.chance(0.3) ? undefined : random.pick(FORMS);
  const isKeyed = form !== undefined || random.chance(0.5);
  const twice = random.chance(0.3);
  // Slow readers, where there is a savepoint: it is to find something between the regions. And where logs are to be full.
  const paced = random.fork("paced");
  const isPaced = restart.savepointMs !== undefined && !isTight && paced.chance(PACED);
  const input = isPaced ? { ...drawnInput, rowsPerBatch: 1 } : drawnInput;
  const rows = rowsOfInput(input);
  const savepointMs =
    restart.savepointMs === undefined ? undefined : restart.savepointMs + (isPaced ? PACED_LATER_MS : 0);
  const paceMs = isPaced ? ((savepointMs! + PACED_LEFT_MS) * writers(0)) / rows.length : 0;
  const checkpointIntervalMs = Math.round(isPaced ? paced.logBetween(...PACED_INTERVAL_MS) : drawnIntervalMs);
  const isLate = restart.savepointMs !== undefined || isTight;
  const isSlow = isLate || random.chance(0.5);
  const drawnMs = isSlow ? random.logBetween(isLate ? 30 : 1, 1_000) : 0;
  const stepMs = isPaced ? 0 : drawnMs;
  const [smallest, largest] = LOG_BYTES;
  // Full ones, where there is a savepoint: writers hold back what they have prepared.
  const drawnBytes = random.logBetween(smallest, restart.savepointMs === undefined ? largest : 3 * smallest);
  const logBytes = Math.round(isTight ? tight.logBetween(...TIGHT_LOG_BYTES) : isPaced ? largest : drawnBytes);
  const exchangeEntryBytesMax = Math.round(tight.logBetween(...TIGHT_ENTRY_BYTES));
  // What lies beside a log is content of the job: it is collected all the while, see `content.ts`.
  const collection = { contentTouchMs: 3_000, contentAgeMsMin: 10_000, contentCollectionMs: 6_000 };
  const bounds: Knobs = isTight
    ? { exchangeEntryBytesMax, ...collection }
    : isPaced
      ? { snapshotInlineBytesMax: 1 }
      : {};

  const build = (process: SimProcess, turn: Turn) => {
    const { clock } = process.ports;
    const bytesMax = Math.max(logBytes, 2 * limits.exchangeEntryBytesMax);
    const handOver = { id: "hand-over", partitions: partitions(turn), bytesMax };
    return topology(
      "sim-durable",
      (job) => {
        const read = job
          .read(fromStore ? objectSource(INPUTS, input.rowsPerBatch) : memorySource(input), { id: "numbers" })
          .parallelism(writers(turn));
        const pace = async (row: InputRow) => {
          await clock.sleep(paceMs);
          return row;
        };
        const taken = isPaced ? read.mapRows({ id: "pace", to: inputColumns }, pace) : read;
        const keyedRows = () => taken.keyBy("key").durable(handOver);
        if (form !== undefined) {
          const counts = counted(keyedRows(), form, process, stepMs);
          const out = twice ? counts.durable({ id: "hand-on", bytesMax }) : counts;
          return void out.to(jsonl(OUT), { id: "handed" });
        }
        const stepped = (isKeyed ? keyedRows() : taken.durable(handOver)).mapRows(
          { id: "step", to: inputColumns },
          async (row) => {
            if (stepMs > 0) await clock.sleep(stepMs);
            return row;
          },
        );
        const out = twice ? stepped.durable({ id: "hand-on", bytesMax }) : stepped;
        out.to(jsonl(OUT), { id: "handed" });
      },
      { deadLetters: BAD, checkpointIntervalMs },
    ).build({});
  };

  const turns = [0, 1] as const;
  const isOneToOne = turns.every((turn) => writers(turn) === partitions(turn));
  const isMoved = restart.savepointMs !== undefined && (writers(0) !== writers(1) || partitions(0) !== partitions(1));
  const how = form ?? (isKeyed ? "by key" : isOneToOne ? "one to one" : "in turn");
  return {
    name: "durable",
    describe: `${rows.length} rows in ${input.splits.size} splits from ${fromStore ? "objects" : "memory"}, ${writers(0)} writers, ${partitions(0)} readers, ${how}, ${twice ? "two logs" : "one log"} of ${logBytes} bytes${isTight ? ` and entries of ${exchangeEntryBytesMax}` : ""}, ${Math.round(isPaced ? paceMs : stepMs)} ms a row${isPaced ? " at the writers, and slow snapshots of readers" : ""}, a checkpoint every ${checkpointIntervalMs} ms${restart.describe}`,
    build,
    bounds,
    ...(isPaced && { isSlowlyStored: (key) => key.includes("/snapshots/") && !SNAPSHOT_OF_WRITER.test(key) }),
    savepointMs,
    inputs: fromStore ? objectsOf(INPUTS, input) : new Map(),
    expected: new Map([
      [OUT, form === undefined ? rows.map(rowLine) : countedLines(form, rows)],
      [BAD, form === undefined ? [] : rows.filter(({ n }) => isBad(n)).map(({ n }) => `count ${n}`)],
    ]),
    linesOf: (folder, row) => {
      if (folder === BAD) return [badLine(row)];
      return form === undefined ? [rowLine(row)] : linesOfCount(form, row);
    },
    lanesOf: (folder, row) => {
      // What lay between the regions goes to the successor of its partition, what comes later to the owner of its key or reader.
      if (folder === BAD || (isMoved && (twice || !isKeyed))) return [];
      if (form !== undefined) return lanesOfCount(form, row);
      const position = Number(row.position);
      if (isKeyed) return [{ lane: `${row.key} of ${row.split}`, position }];
      return isOneToOne ? [{ lane: String(row.split), position }] : [];
    },
    rowsPerBatch: input.rowsPerBatch,
    workers: 1 + random.below(2),
    calmMs: 900_000 + 2 * (stepMs + paceMs) * rows.length + 20 * checkpointIntervalMs * rows.length,
  };
}

function rowLine(row: Record<string, unknown>): string {
  return `${row.n} ${row.split} ${row.position} ${row.key}`;
}
