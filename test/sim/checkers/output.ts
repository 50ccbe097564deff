/**
 * What the sinks have published, judged as a reader of the folders sees it.
 *
 *   OUT1  A finished job has published exactly the rows of a run without failures, as a multiset.
 *   OUT2  A job that failed for good has published nothing (only where a job may fail at all).
 *   OUT3  A published file never changes and never disappears.
 *   OUT4  Nothing is published that a run without failures would not publish, at any moment.
 *   OUT5  Where order is promised, rows of one lane come from one subtask, in rising position. In the job that goes on from a savepoint,
 *         whose checkpoints all come after those of the first, it may be another one.
 */
import type { JobReport } from "../../../src/wire/control.js";
import { regionRecordFrame } from "../../../src/wire/stored.js";
import type { StoreChange } from "../shared-store.js";
import type { CheckedRun, Checker } from "./checker.js";
import { type PublishedName, publishedName } from "./published-name.js";
import { REGION_KEY } from "./region-log.js";

interface PublishedFile {
  readonly at: PublishedName;
  readonly rows: readonly Record<string, unknown>[];
}

export function outputChecker(run: CheckedRun): Checker {
  const { world, scenario, store } = run;
  const folders = [...scenario.expected.keys()];
  const folderOf = (key: string) => folders.find((folder) => key.startsWith(folder));
  const published = (folder: string): PublishedFile[] =>
    [...store.contents(folder)].flatMap(([key, bytes]) => {
      const at = publishedName(key.slice(folder.length));
      return at === undefined ? [] : [{ at, rows: parse(bytes) }];
    });
  const linesOf = (folder: string) =>
    published(folder).flatMap(({ rows }) => rows.flatMap((row) => scenario.linesOf(folder, row)));

  /** Number of the checkpoints that a job begins with which goes on from a savepoint. */
  let restartedAt: bigint | undefined;

  return {
    onStore({ key, bytes, before, by }: StoreChange) {
      if (REGION_KEY.test(key) && bytes !== undefined) {
        const { term, number } = regionRecordFrame.decode(bytes).header;
        if (term === 0n) restartedAt = number;
      }
      const folder = folderOf(key);
      if (folder === undefined || key.slice(folder.length).startsWith("_")) return;
      if (before !== undefined && (bytes === undefined || !Buffer.from(bytes).equals(before))) {
        const what = bytes === undefined ? "it was deleted" : "it was replaced by other content";
        world.found("published-files (OUT3)", `${key} as it was published`, `${what} by ${by}`);
      }
      const { extra } = compare(scenario.expected.get(folder) ?? [], linesOf(folder));
      if (extra.length > 0) world.found("output (OUT4)", "only rows of a run without failures", `also ${show(extra)}`);
    },
    atEnd(report: JobReport | undefined) {
      if (report?.state === "FAILED" && run.mayFail()) {
        const lines = folders.flatMap(linesOf);
        if (lines.length > 0) world.found("output (OUT2)", "nothing published by a failed job", show(lines));
        return;
      }
      if (report?.state !== "FINISHED") {
        world.found("outcome", "a finished job", `${report?.state ?? "no report"} ${report?.code}: ${report?.message}`);
        return;
      }
      for (const folder of folders) {
        const { missing, extra } = compare(scenario.expected.get(folder) ?? [], linesOf(folder));
        if (missing.length + extra.length > 0) {
          const expected = `the ${scenario.expected.get(folder)?.length} rows of a run without failures in ${folder}`;
          world.found("output (OUT1)", expected, `missing ${show(missing)}; extra ${show(extra)}`);
        }
        checkOrder(folder);
      }
    },
  };

  function checkOrder(folder: string): void {
    const last = new Map<string, { readonly position: number; readonly from: string }>();
    for (const { at, rows } of inOrder(published(folder))) {
      const from = `subtask ${at.subtask} of ${isRestarted(at) ? "the second" : "the first"} job`;
      for (const { lane, position } of rows.flatMap((row) => scenario.lanesOf(folder, row))) {
        const before = last.get(lane);
        const isMoved =
          before !== undefined && before.from !== from && !(before.from.endsWith("first job") && isRestarted(at));
        if (before !== undefined && (before.position >= position || isMoved)) {
          const seen = `${position} of ${from} after ${before.position} of ${before.from}`;
          world.found("order (OUT5)", `rows of ${lane} in order from one subtask`, seen);
          return;
        }
        last.set(lane, { position, from });
      }
    }
  }

  /** Whether it is of the job that goes on from the savepoint. */
  function isRestarted({ checkpoint }: PublishedName): boolean {
    return restartedAt !== undefined && BigInt(checkpoint) > restartedAt;
  }

  function inOrder(files: readonly PublishedFile[]): PublishedFile[] {
    return [...files].sort(
      ({ at: a }, { at: b }) =>
        Number(isRestarted(a)) - Number(isRestarted(b)) ||
        a.subtask - b.subtask ||
        a.checkpoint - b.checkpoint ||
        a.index - b.index,
    );
  }
}

function parse(bytes: Uint8Array): Record<string, unknown>[] {
  const lines = new TextDecoder().decode(bytes).split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>);
}

function compare(expected: readonly string[], seen: readonly string[]): { missing: string[]; extra: string[] } {
  const open = new Map<string, number>();
  for (const line of expected) open.set(line, (open.get(line) ?? 0) + 1);
  const extra: string[] = [];
  for (const line of seen) {
    const left = open.get(line) ?? 0;
    if (left === 0) extra.push(line);
    else open.set(line, left - 1);
  }
  return { missing: [...open].flatMap(([line, count]) => Array<string>(count).fill(line)), extra };
}

function show(lines: readonly string[]): string {
  if (lines.length === 0) return "none";
  const some = lines.slice(0, 5).map((line) => `"${line}"`);
  return `${lines.length} (${some.join(", ")}${lines.length > some.length ? ", ..." : ""})`;
}
