/**
 * Plans the job that replays dead letters: the same code and plan as the job that refused them, whose sources have ended, and which
 * begins with the records on their way into the operators that refused them. Pure; `replays.ts` carries it out.
 *
 * Beginning so is coming back from a checkpoint, so all that holds of a restored job holds of it: the records are in its first commit and go on
 * from there exactly once, whatever fails (decision 0013).
 *
 * Invariants:
 *   Y1  Its checkpoints are numbered from a number that no other job at its outputs uses: what its sinks publish replaces nothing.
 *   Y2  No record goes into or towards state by key: the job that refused it has that state, and this one would begin with none.
 */
import { MillraceError } from "../base/errors.js";
import type { DeadLetter } from "../storage/dead-letters.js";
import type { JobSpec } from "../wire/control.js";
import { actorSnapshotFrame, type RegionRecord, sourceStateFrame } from "../wire/stored.js";

export interface ReplayedRow {
  readonly operator: string;
  /** Of the actor that refused it. */
  readonly subtask: number;
  /** A record batch message. */
  readonly batch: Uint8Array;
}

export interface BegunRegion {
  readonly record: Omit<RegionRecord, "actors">;
  readonly actors: readonly { readonly actor: string; readonly snapshot: Uint8Array }[];
}

export interface ReplayJob {
  readonly spec: JobSpec;
  readonly regions: readonly BegunRegion[];
}

const KEEPS_STATE: ReadonlySet<string> = new Set(["reduce", "process"]);

/** @throws {MillraceError} `MILL_REPLAY_IMPOSSIBLE`: why this record cannot be replayed in a job like `spec` (Y2) */
export function checkReplayable(spec: JobSpec, { id, operator, row }: DeadLetter): void {
  const refuse = (why: string) => new MillraceError("MILL_REPLAY_IMPOSSIBLE", `dead letter ${id}: ${why}`, { id });
  const known = spec.graph.some((one) => one.operator === operator);
  if (!known) throw refuse(`job ${spec.job} has no operator "${operator}", or was submitted by an earlier version.`);
  if (row === undefined) throw refuse("it does not hold the whole record. Give the source the record again.");
  const keyed = reachedFrom(spec, operator).find((one) => KEEPS_STATE.has(kindOf(spec, one)));
  if (keyed === undefined) return;
  throw refuse(
    `from operator "${operator}" it would come to "${keyed}", which keeps state by key, and a replay has none of it. Give the source the record again.`,
  );
}

/** @param number its checkpoints begin with (Y1) */
export function planReplay(
  of: JobSpec,
  job: string,
  rows: readonly ReplayedRow[],
  number: bigint,
  nowMs: number,
): ReplayJob {
  const parked = new Map<string, ReplayedRow[]>();
  for (const row of rows) {
    const actor = actorOf(of, row);
    parked.set(actor, [...(parked.get(actor) ?? []), row]);
  }
  const regions = [...new Set(of.actors.map(({ region }) => region))];
  return {
    spec: {
      ...of,
      job,
      sources: [], // nobody lists them: their readers have ended
      submittedMs: BigInt(nowMs),
      seeds: regions.map((region) => ({ region, number })),
    },
    regions: regions.map((region) => ({
      record: { kind: "COMMIT", job, region, number, term: 0n, attempt: 0, createdMs: 0n },
      actors: of.actors
        .filter((actor) => actor.region === region)
        .map(({ actor }) => ({ actor, snapshot: snapshotOf(of, actor, parked.get(actor) ?? []) })),
    })),
  };
}

function actorOf(spec: JobSpec, { operator, subtask }: ReplayedRow): string {
  const { chain } = spec.graph.find((one) => one.operator === operator)!;
  const { parallelism } = spec.operators.find((one) => one.operator === operator)!;
  return `${chain}-${subtask % parallelism}`;
}

function snapshotOf(spec: JobSpec, actor: string, rows: readonly ReplayedRow[]): Uint8Array {
  const ended = { taken: 0n, ended: true, split: null, batches: 0n, position: null, started: [] };
  const sources = spec.graph.filter(
    ({ operator, chain }) => actor.replace(/-\d+$/, "") === chain && kindOf(spec, operator) === "source",
  );
  const header = {
    operators: sources.map(({ operator }) => ({ operator, state: sourceStateFrame.encode(ended) })),
    parked: rows.map(({ operator }, blob) => ({ place: operator, blob })),
    ...{ rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n },
    blobs: rows.map(({ batch }) => BigInt(batch.length)),
    contents: -1, // what they refer to belongs to the job that refused them
  };
  return actorSnapshotFrame.encode(
    header,
    rows.map(({ batch }) => batch),
  );
}

const kindOf = (spec: JobSpec, operator: string): string =>
  spec.operators.find((one) => one.operator === operator)?.kind ?? "";

/** The operator and all that its records come to. */
function reachedFrom({ graph }: JobSpec, operator: string): string[] {
  const reached = [operator];
  for (const from of reached)
    for (const { operator: reader, inputs } of graph)
      if (!reached.includes(reader) && inputs.some((input) => input.operator === from)) reached.push(reader);
  return reached;
}
