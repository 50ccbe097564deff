/** What the processes of `topologies/paid-calls.ts` have noted, and which calls were made twice. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface Note {
  readonly what: "begin" | "end";
  readonly row: number;
  readonly ms: number;
  /** Of the instance's process. */
  readonly pid: number;
}

export interface Kill {
  readonly kind: "instance" | "host";
  readonly pid: number;
  readonly ms: number;
}

/** What was worked on again after one kill, and before the next. */
export interface Repeats {
  /** Rows that had been begun and not ended when the process died; of a host: on all instances. */
  readonly onBoard: number;
  readonly repeated: number;
  /** Those of them that had been ended before they were begun again. */
  readonly finishedRepeated: number;
  /** Those of them that were not on board either. */
  readonly others: number;
}

export async function readNotes(folder: string): Promise<Note[]> {
  const files = (await readdir(folder)).filter((file) => file.startsWith("callee-"));
  const notes = await Promise.all(
    files.map(async (file) => {
      const lines = (await readFile(join(folder, file), "utf8")).split("\n").slice(0, -1);
      return lines.map((line) => {
        const [what, row, ms] = line.split(" ");
        return { what: what as Note["what"], row: Number(row), ms: Number(ms), pid: pidOf(file) };
      });
    }),
  );
  return notes.flat().sort((a, b) => a.ms - b.ms);
}

export async function pidsOf(folder: string, prefix: "callee-" | "host-"): Promise<number[]> {
  return (await readdir(folder)).filter((file) => file.startsWith(prefix)).map(pidOf);
}

/** Rows that the process has begun and not ended. */
export function onBoardOf(notes: readonly Note[], pid: number): Map<number, number> {
  const rows = new Map<number, number>();
  for (const note of notes) {
    if (note.pid !== pid) continue;
    if (note.what === "begin") rows.set(note.row, note.ms);
    else rows.delete(note.row);
  }
  return rows;
}

/** @param untilMs the next kill, or the end */
export function repeatsAfter(notes: readonly Note[], kill: Kill, untilMs: number): Repeats {
  const before = notes.filter(({ ms }) => ms <= kill.ms);
  const pids = new Set(kill.kind === "instance" ? [kill.pid] : notes.map(({ pid }) => pid));
  const endedBefore = new Set(before.filter(({ what }) => what === "end").map(({ row }) => row));
  const unended = [...pids].flatMap((pid) => [...onBoardOf(before, pid).keys()]);
  const onBoard = new Set(unended.filter((row) => !endedBefore.has(row)));
  const [begun, ended, repeated, finished, others] = Array.from({ length: 5 }, () => new Set<number>()) as [
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
  ];
  for (const { what, row, ms } of notes) {
    if (ms > untilMs) break;
    if (what === "begin" && ms > kill.ms && begun.has(row)) {
      repeated.add(row);
      if (ended.has(row)) finished.add(row);
      else if (!onBoard.has(row)) others.add(row);
    }
    (what === "begin" ? begun : ended).add(row);
  }
  return {
    onBoard: onBoard.size,
    repeated: repeated.size,
    finishedRepeated: finished.size,
    others: others.size,
  };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function pidOf(file: string): number {
  return Number(file.split(".").at(-1));
}
