/**
 * Which calls are made twice: a job of real processes over NATS and MinIO, a service with four instances, checkpoints each second. In turn
 * one instance, in the middle of a call, and the host, which is the client, are killed with SIGKILL.
 *
 * Instances note each row when they begin and end it, so what is counted is work of the handler, and not what the runtime says of
 * itself. After an instance was killed, rows that it had begun and not ended are worked on again, and no others. After the host was
 * killed none are: what was ended is answered from the journal, what runs is joined.
 *
 *   on_board           rows that killed instances had begun and not ended
 *   repeated           rows that were begun again, after kills of either kind
 *   finished_repeated  those of them that had been ended before: work that was paid for twice
 *   asked_again        rows that were in more than one request: what would be repeated if instances did not know them
 *
 * Not measured: a machine that is lost with both; rows that were released by a checkpoint, which nobody asks for again.
 */
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { InstanceId, JobId, ServiceId } from "../src/base/ids.js";
import type { Bus } from "../src/bus/bus.js";
import { jobSubjects } from "../src/bus/subjects.js";
import type { JobHandle } from "../src/cli/job-handle.js";
import { idsOf } from "../src/services/row-ids.js";
import { frameKind, requestFrame } from "../src/wire/frames.js";
import { NAMESPACE, withClusterJob } from "./cluster-job.js";
import {
  isAlive,
  type Kill,
  type Note,
  onBoardOf,
  pidsOf,
  type Repeats,
  readNotes,
  repeatsAfter,
} from "./duplicate-calls-marks.js";
import { round } from "./embedded-job.js";

const INSTANCES = 4;
const CALL_MS = 300;
const WORKERS = ["w1", "w2"];
const STEADY_MS = 2_500;
/** After a kill, until what it may have caused has been seen. */
const AFTER_MS = 4_000;
const BOUND_MS = 90_000;

type Log = (line: string) => void;

export async function run(options: { readonly runs: number; readonly log: Log }): Promise<Record<string, unknown>> {
  const params = { callMs: CALL_MS, paceMs: 200, instances: INSTANCES };
  return withClusterJob(WORKERS, "bench/topologies/paid-calls.ts", params, async ({ handle, bus, job, marks }) => {
    const asked = await countAsked(bus, job);
    const kills: Kill[] = [];
    for (let run = 1; run <= options.runs; run++) {
      for (const kind of ["instance", "host"] as const) {
        kills.push(kind === "instance" ? await killInstance(handle, marks) : await killHost(handle, marks));
        await pause(AFTER_MS);
        const counts = repeatsAfter(await readNotes(marks), kills.at(-1)!, Number.POSITIVE_INFINITY);
        options.log(`duplicate-calls run ${run}, ${kind} killed: ${textOf(counts)}`);
      }
    }
    return resultOf(kills, await readNotes(marks), asked.again.size);
  });
}

function resultOf(kills: readonly Kill[], notes: readonly Note[], askedAgain: number): Record<string, unknown> {
  const counts = kills.map((kill, i) => repeatsAfter(notes, kill, kills[i + 1]?.ms ?? Number.POSITIVE_INFINITY));

  const sum = (what: keyof Repeats, kind?: Kill["kind"]) =>
    counts.reduce((all, one, i) => all + (kind === undefined || kills[i]!.kind === kind ? one[what] : 0), 0);
  return {
    name: "duplicate-calls",
    finished_repeated: sum("finishedRepeated"),
    on_board: sum("onBoard", "instance"),
    repeated: sum("repeated"),
    others_repeated: sum("others"),
    asked_again: askedAgain,
    after_instance: { repeated: sum("repeated", "instance"), finished_repeated: sum("finishedRepeated", "instance") },
    after_host: {
      running: sum("onBoard", "host"),
      repeated: sum("repeated", "host"),
      finished_repeated: sum("finishedRepeated", "host"),
    },
    kills: kills.length,
    load: round(loadavg()[0]!),
  };
}

function textOf({ onBoard, repeated, finishedRepeated, others }: Repeats): string {
  return `${onBoard} rows on board, ${repeated} begun again, ${finishedRepeated} of them had been ended, ${others} were not on board`;
}

/** Rows that were in more than one request, by their ids. */
async function countAsked(bus: Bus, job: JobId): Promise<{ readonly again: Set<string> }> {
  const [once, again] = [new Set<string>(), new Set<string>()];
  await bus.subscribe(
    jobSubjects(NAMESPACE, job).instanceRequest("callee" as ServiceId, "*" as InstanceId),
    ({ payload }) => {
      if (frameKind(payload) !== "request") return;
      for (const id of idsOf(requestFrame.decode(payload).header.rowIds)) {
        if (once.has(id)) again.add(id);
        once.add(id);
      }
    },
  );
  return { again };
}

/** One that is in the middle of a call: what it has ended has been answered. */
async function killInstance(handle: JobHandle, marks: string): Promise<Kill> {
  await allAtWork(handle, marks);
  let pid = 0;
  await until("an instance in the middle of a call", 5, async () => {
    const notes = await readNotes(marks);
    const alive = (await pidsOf(marks, "callee-")).filter(isAlive);
    const inMiddle = (begunMs: number) => Date.now() - begunMs > CALL_MS / 3 && Date.now() - begunMs < CALL_MS / 2;
    pid = alive.find((one) => [...onBoardOf(notes, one).values()].some(inMiddle)) ?? 0;
    return pid !== 0;
  });
  process.kill(pid, "SIGKILL");
  return { kind: "instance", pid, ms: Date.now() };
}

async function killHost(handle: JobHandle, marks: string): Promise<Kill> {
  await allAtWork(handle, marks);
  const [pid] = (await pidsOf(marks, "host-")).filter(isAlive);
  if (pid === undefined) throw new Error("no host is alive");
  const before = (await handle.report()).regions[0]!;
  process.kill(pid, "SIGKILL");
  const kill: Kill = { kind: "host", pid, ms: Date.now() };
  await until("the region to be restored", 50, async () => {
    const now = (await handle.report()).regions[0]!;
    return now.attempt > before.attempt && now.phase === "RUNNING" && now.committed > before.committed + 1n;
  });
  return kill;
}

/** All instances and a host are there, checkpoints are made, and have been for a while. */
async function allAtWork(handle: JobHandle, marks: string): Promise<void> {
  await until(`a host and ${INSTANCES} instances at work`, 200, async () => {
    const { regions } = await handle.report();
    const notes = await readNotes(marks);
    const lately = new Set(notes.filter(({ ms }) => Date.now() - ms < 3 * CALL_MS).map(({ pid }) => pid));
    return (
      [...lately].filter(isAlive).length >= INSTANCES &&
      regions.every(({ phase, checkpointMs }) => phase === "RUNNING" && checkpointMs > 0)
    );
  });
  await pause(STEADY_MS);
}

async function until(what: string, everyMs: number, isSo: () => Promise<boolean>): Promise<void> {
  const fromMs = performance.now();
  while (!(await isSo())) {
    await pause(everyMs);
    if (performance.now() - fromMs > BOUND_MS) throw new Error(`waited ${BOUND_MS} ms for ${what}`);
  }
}
