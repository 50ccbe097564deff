/** Parallel chains, each its own region: source, a step that refuses some rows, a call of a service that refuses others, files. */
import { MillraceError } from "../../../src/base/errors.js";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { service } from "../../../src/topology/service.js";
import { topology } from "../../../src/topology/topology.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import type { SimProcess } from "../sim-process.js";
import { hashText, type SimRandom } from "../sim-random.js";
import type { Line, Scenario, ServiceCall, Turn } from "./scenario.js";
import {
  drawInput,
  drawInterval,
  drawRestart,
  inputColumns,
  memorySource,
  objectSource,
  objectsOf,
  rowsOfInput,
} from "./sources.js";

const OUT = "out/rows/";
const BAD = "out/bad/";
const INPUTS = "inputs/";
const ROWS_MAX = 80;
const PARALLELISM_MAX = 3;

const labelledColumns = { ...inputColumns, label: t.utf8 };

const isBad = (n: number) => n % 13 === 5;
const isRejected = (n: number) => n % 17 === 3;
const labelOf = (n: number) => `label-${(n * 7919) % 1009}`;

export function chains(random: SimRandom): Scenario {
  const input = drawInput(random, ROWS_MAX);
  // Actors fail while much is under way at instances, of which their newest commit holds a part.
  const isRestless = random.chance(0.3);
  const checkpointIntervalMs = isRestless ? Math.round(random.logBetween(200, 2_000)) : drawInterval(random);
  const fromStore = random.chance(0.5);
  const restart = drawRestart(random.fork("restart"));
  const parallelism = restart.instances(() => 1 + random.below(PARALLELISM_MAX));
  const instances = 1 + random.below(3);
  const rowsMax = 1 + random.below(4);
  // Several at a time, as where the model is a server elsewhere: then much is under way when a client fails.
  const concurrency = isRestless ? 2 + random.below(7) : random.chance(0.7) ? 1 : 2 + random.below(7);
  const delayMsMax = random.chance(0.5) ? 0 : random.below(500);
  const loadMs = random.logBetween(10, isRestless ? 1_000 : 10_000);
  // Answers come faster than what is behind them can take, so that they wait on their way there.
  const isJammed = !isRestless && random.chance(0.3);
  const callMs = isRestless ? random.logBetween(300, 5_000) : random.logBetween(5, isJammed ? 100 : 20_000);
  const longMs = !isJammed && random.chance(0.15) ? 240_000 : 10 * callMs;
  // A second actor behind the call, which may be slower: then batches wait for room in the channel between them.
  const isolated = isJammed || random.chance(0.5);
  const tailMs = isJammed ? random.logBetween(300, 3_000) : random.chance(0.5) ? 0 : random.logBetween(1, 2_000);
  // Calls of the actor behind, at a time: then several of its batches are under way when it fails.
  const tailCalls = random.fork("tail").pick([1, 1, 2, 5]);
  // Functions of whole batches right before the call and right behind it, in its actor: batches are under way in all three when it fails.
  const beside = random.fork("beside");
  const drawBeside = () => (beside.chance(0.7) ? 0 : beside.logBetween(10, 3_000));
  const [beforeMs, behindMs] = [drawBeside(), drawBeside()];
  const seed = random.id(8);
  const isClear = isRestless && random.chance(0.5);
  const watchers: ((call: ServiceCall) => void)[] = [];
  // Most calls are short, a few take minutes.
  const timeOf = (n: number) => {
    const draw = hashText(`${seed}/${n}`) / 2 ** 32;
    return draw < 0.03 ? longMs : callMs * (0.5 + draw);
  };

  const build = (process: SimProcess, turn: Turn) => {
    const { clock } = process.ports;
    const label = service("label", {
      input: { n: t.int32 },
      output: { label: t.utf8 },
      instances,
      concurrency,
      batch: { rowsMax, delayMsMax },
      handler: {
        kind: "sim",
        assets: {},
        async load({ signal }) {
          await clock.sleep(loadMs, signal);
          return {
            async infer(batch, { reject, rowId }) {
              const rows = rowsOf({ n: t.int32 }, batch);
              const ids = rows.map((_, row) => `${turn} ${rowId(row)}`);
              for (const tell of watchers) tell({ what: "begun", process, ids });
              await clock.sleep(Math.max(...rows.map(({ n }) => timeOf(n))));
              for (const [i, { n }] of rows.entries()) {
                if (isRejected(n)) reject(i, new MillraceError("MILL_RECORD_INVALID", `the model refuses ${n}.`));
              }
              for (const tell of watchers) tell({ what: "ended", process, ids });
              return batchFromRows(
                { label: t.utf8 },
                rows.map(({ n }) => ({ label: labelOf(n) })),
              );
            },
          };
        },
      },
    });
    return topology(
      "sim-chains",
      (job) => {
        /** Rows as they are, a batch at a time. */
        const slowly =
          (msOfRow: number) =>
          async <B extends { readonly numRows: number }>(batch: B): Promise<B> => {
            await clock.sleep(msOfRow * batch.numRows);
            return batch;
          };
        const clean = job
          .read(fromStore ? objectSource(INPUTS, input.rowsPerBatch) : memorySource(input), { id: "numbers" })
          .mapRows({ id: "clean", to: inputColumns }, (row) => {
            if (isBad(row.n)) throw new MillraceError("MILL_RECORD_INVALID", `the row ${row.n} is bad.`);
            return row;
          });
        const ready = beforeMs === 0 ? clean : clean.map({ id: "before", to: inputColumns }, slowly(beforeMs));
        const called = ready.infer(label, { id: "label" });
        const labelled = behindMs === 0 ? called : called.map({ id: "behind", to: labelledColumns }, slowly(behindMs));
        if (!isolated) return void labelled.to(jsonl(OUT), { id: "rows" });
        labelled
          .mapRows({ id: "tail", to: labelledColumns, concurrency: tailCalls }, async (row) => {
            if (tailMs > 0)
              await clock.sleep(tailCalls === 1 ? tailMs : tailMs * (hashText(`tail/${row.n}`) / 2 ** 31));
            return row;
          })
          .isolate()
          .to(jsonl(OUT), { id: "rows" });
      },
      { parallelism: parallelism(turn), deadLetters: BAD, checkpointIntervalMs },
    ).build({});
  };

  const rows = rowsOfInput(input);
  const good = rows.filter(({ n }) => !isBad(n) && !isRejected(n));
  const total = rows.reduce((sum, { n }) => sum + timeOf(n) + tailMs + beforeMs + behindMs, 0);
  return {
    name: "chains",
    describe: `${rows.length} rows in ${input.splits.size} splits from ${fromStore ? "objects" : "memory"}, ${parallelism(0)} chains, ${instances} instances of ${concurrency} calls at a time, calls of ${Math.round(callMs)} to ${Math.round(longMs)} ms, ${besideText(beforeMs, "before")}${besideText(behindMs, "behind")}${isolated ? `an actor behind them that takes ${Math.round(tailMs)} ms a row, ${tailCalls} at a time, ` : ""}a checkpoint every ${checkpointIntervalMs} ms${isRestless ? ", actors that fail over and over" : ""}${isClear ? " in clear sight" : ""}${restart.describe}`,
    build,
    savepointMs: restart.savepointMs,
    // Neighbours come together, as evenly as they can (redistribute M3).
    mergesMax: restart.savepointMs === undefined ? 1 : Math.max(1, Math.ceil(parallelism(0) / parallelism(1))),
    isRestless,
    isClear,
    watchers,
    inputs: fromStore ? objectsOf(INPUTS, input) : new Map(),
    expected: new Map([
      [OUT, good.map((row) => rowLine({ ...row, label: labelOf(row.n) }))],
      [BAD, rows.flatMap(({ n }) => (isBad(n) ? [`clean ${n}`] : isRejected(n) ? [`label ${n}`] : []))],
    ]),
    linesOf: (folder, row) => [folder === OUT ? rowLine(row) : badLine(row)],
    // A split is read by one chain, and `infer` keeps its order.
    lanesOf: (folder, row) => (folder === OUT ? [{ lane: String(row.split), position: Number(row.position) }] : []),
    rowsPerBatch: input.rowsPerBatch,
    workers: 1 + random.below(2),
    calmMs: 600_000 + 2 * total,
  };
}

function rowLine(row: Record<string, unknown>): Line {
  return `${row.n} ${row.split} ${row.position} ${row.key} ${row.label}`;
}

function badLine(row: Record<string, unknown>): Line {
  const record = JSON.parse(String(row.record)) as { n: number };
  return `${row.operator} ${record.n}`;
}

function besideText(ms: number, where: string): string {
  return ms === 0 ? "" : `${Math.round(ms)} ms a row in a function ${where} them, `;
}
