/**
 * What is run in a simulation: a topology, its input, and what must come of it. The expected output is computed by plain
 * functions of the input, apart from the system.
 */

import type { Topology } from "../../../src/topology/nodes.js";
import type { Knobs } from "../knobs.js";
import type { SimProcess } from "../sim-process.js";

/** What a row of output says, as one comparable text; a row may say several things. */
export type Line = string;

/** Rows of one lane come in rising position, and from one subtask. */
export interface Lane {
  readonly lane: string;
  readonly position: number;
}

/** Rows of one call of a service's handler. */
export interface ServiceCall {
  readonly what: "begun" | "ended";
  /** The instance. */
  readonly process: SimProcess;
  /** Which job's, and as the handler is told them. */
  readonly ids: readonly string[];
}

/** 0: the job that is submitted first; 1: the one that starts from its savepoint. */
export type Turn = 0 | 1;

export interface Scenario {
  readonly name: string;
  /** Sizes and times that the seed has chosen, for the report. */
  readonly describe: string;
  /** Built anew in every process, which lends it its clock. The turns differ in parallelism at most. */
  build(process: SimProcess, turn: Turn): Topology;
  /** When its job is stopped at a savepoint, from which another goes on; undefined: never. */
  readonly savepointMs?: number | undefined;
  /** Instances at most whose state one instance of the second job takes over. */
  readonly mergesMax?: number;
  /** Objects that are there before the job starts. */
  readonly inputs: ReadonlyMap<string, Uint8Array>;
  /** Published lines by output folder, in no order. */
  readonly expected: ReadonlyMap<string, readonly Line[]>;
  /** From a published row to its lines; what may differ from run to run is left out. */
  linesOf(folder: string, row: Record<string, unknown>): readonly Line[];
  /** Where order is promised. */
  lanesOf(folder: string, row: Record<string, unknown>): readonly Lane[];
  /** Actors are to fail again and again, soon after their commits, whatever else strikes. */
  readonly isRestless?: boolean;
  /** What a turn of an event loop takes at most, in milliseconds, whatever the seed says. */
  readonly turnMsMax?: number;
  /** Coordinators are to be replaced right after they have cleaned up, again and again, and listings to be old, whatever else strikes. */
  readonly isContested?: boolean;
  /** Whether the store takes seconds with what is put there, until the calm phase, whatever else strikes. */
  readonly isSlowlyStored?: (key: string) => boolean;
  /** None of `BLINDING` strikes, nor the store. */
  readonly isClear?: boolean;
  /** Told of every call of a service. */
  readonly watchers?: ((call: ServiceCall) => void)[];
  /** Of one batch; a bound smaller than one batch lets a single batch through. */
  readonly rowsPerBatch: number;
  /** Workers to place it on. */
  readonly workers: number;
  /** Time a run without faults takes at most. */
  readonly calmMs: number;
  /** Bounds that it needs, whatever the seed turns. */
  readonly bounds?: Knobs;
  /** Time after the end in which nothing may go wrong any more, where the usual one is too short. */
  readonly aftermathMs?: number;
}
