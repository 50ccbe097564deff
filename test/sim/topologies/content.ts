/**
 * Rows with content that belongs to the job: made anew, and other bytes, in every process; held in state by key, or on their way through a
 * log; published, or refused; while what nothing refers to is collected again and again.
 */

import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { topology } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import type { Knobs } from "../knobs.js";
import type { SimProcess } from "../sim-process.js";
import type { SimRandom } from "../sim-random.js";
import { badLine, isBad } from "./keyed.js";
import type { Scenario, Turn } from "./scenario.js";
import { drawInput, drawRestart, inputColumns, memorySource, rowsOfInput } from "./sources.js";

const OUT = "out/pages/";
const BAD = "out/bad/";
const ROWS_MAX = 100;
/** What a page holds at least: above the limit of the topology. */
const PAGE_CHARS = 60;
/**
 * Seeds that commit less often than content lives that nothing names, in the trash, too, and have rows under way all that time: what open
 * attempts refer to is known from their commits' times alone. In one region: an entry of a log would hold a whole interval's rows.
 */
const SELDOM = 0.4;
const SELDOM_INTERVAL_MS: readonly [number, number] = [30_000, 80_000];
const SELDOM_STEP_MS: readonly [number, number] = [1_000, 3_000];
const pageColumns = { ...inputColumns, page: t.document };

export function content(random: SimRandom): Scenario {
  const input = drawInput(random, ROWS_MAX);
  const drawnIntervalMs = random.logBetween(200, 3_000);
  const restart = drawRestart(random.fork("restart"), 0.2, 30_000);
  const makers = restart.instances(() => 1 + random.below(2));
  const holders = restart.instances(() => 1 + random.below(3));
  const seldom = random.fork("seldom");
  const isSeldom = seldom.chance(SELDOM);
  const isDurable = random.chance(0.5) && !isSeldom;
  const isSlow = random.chance(0.7);
  const drawnMs = isSlow ? random.logBetween(20, 2_000) : 0;
  const stepMs = isSeldom ? seldom.logBetween(...SELDOM_STEP_MS) : drawnMs;
  // What is made faster than it is held lies in the log meanwhile.
  const makesFaster = random.chance(0.5) ? 1 : 20;
  const putsItself = random.chance(0.5);
  // Functions that go on after they have put, with others: longer than content lives that nothing names.
  const calls = random.fork("calls");
  const atOnce = calls.pick([1, 1, 4]);
  const lingerMs = putsItself && calls.chance(0.5) ? calls.logBetween(1_000, 60_000) : 0;
  const checkpointIntervalMs = Math.round(isSeldom ? seldom.logBetween(...SELDOM_INTERVAL_MS) : drawnIntervalMs);
  // A round is longer than a listing may be old, and than a move takes.
  const contentCollectionMs = Math.round(random.logBetween(6_000, 15_000));
  const bounds: Knobs = {
    ...{ contentTouchMs: 3_000, contentAgeMsMin: 10_000, contentCollectionMs },
  };

  const build = (process: SimProcess, turn: Turn) => {
    const { clock } = process.ports;
    const bytesMax = Math.max(100_000, 2 * limits.exchangeEntryBytesMax);
    return topology(
      "sim-content",
      (job) => {
        const keyed = job
          .read(memorySource(input), { id: "numbers" })
          .parallelism(makers(turn))
          .mapRows({ id: "make", to: pageColumns, concurrency: atOnce }, async (row, context) => {
            if (stepMs > 0) await clock.sleep(stepMs / makesFaster);
            const bytes = Buffer.from(`page ${row.n} made by ${process.name} `.padEnd(PAGE_CHARS, "."));
            if (!putsItself) return { ...row, page: inline(bytes, "text/plain") };
            for (;;) {
              try {
                const page = await context.content.put(bytes);
                if (row.n % 16 === 0) await clock.sleep(lingerMs);
                return { ...row, page };
              } catch {
                await clock.sleep(1_000); // else a store that is away makes a dead letter of the row
              }
            }
          })
          .keyBy("key");
        const rows = isDurable ? keyed.durable({ id: "hand-over", partitions: holders(turn), bytesMax }) : keyed;
        rows
          .process({ id: "hold", to: pageColumns, state: pageColumns }, async (row, state) => {
            if (stepMs > 0) await clock.sleep(stepMs);
            if (isBad(row.n)) throw new MillraceError("MILL_RECORD_INVALID", `the row ${row.n} is bad.`);
            // Every third row of a key goes into the state; the others come with its page, which may be old.
            const held = state.get() ?? row;
            state.set(row.n % 3 === 0 ? row : held);
            return [{ ...row, page: held.page }];
          })
          .parallelism(holders(turn))
          .to(jsonl(OUT), { id: "pages" });
      },
      { deadLetters: BAD, checkpointIntervalMs, inlineLimitBytes: PAGE_CHARS - 10 },
    ).build({});
  };

  const rows = rowsOfInput(input);
  return {
    name: "content",
    describe: `${rows.length} rows in ${input.splits.size} splits, ${makers(0)} makers, ${holders(0)} holders, ${isDurable ? "a log between them" : "one region"}, ${Math.round(stepMs)} ms a row, ${atOnce} made at a time, some for ${Math.round(lingerMs)} ms, a checkpoint every ${checkpointIntervalMs} ms, a collection every ${contentCollectionMs} ms${restart.describe}`,
    build,
    bounds,
    savepointMs: restart.savepointMs,
    inputs: new Map(),
    expected: new Map([
      [OUT, rows.filter(({ n }) => !isBad(n)).map(({ n, key }) => `${n} of ${key}`)],
      [BAD, rows.filter(({ n }) => isBad(n)).map(({ n }) => `hold ${n}`)],
    ]),
    linesOf: (folder, row) => [folder === BAD ? badLine(row) : `${row.n} of ${row.key}`],
    lanesOf: () => [],
    rowsPerBatch: input.rowsPerBatch,
    workers: 1 + random.below(2),
    calmMs: 900_000 + (4 * stepMs + lingerMs) * rows.length + 20 * checkpointIntervalMs * rows.length,
    aftermathMs: 4 * (contentCollectionMs + bounds.contentAgeMsMin!) + 60_000,
  };
}
