/**
 * What is run in a simulation: a topology, its input, and what must come of it. The expected output is computed by plain
 * functions of the input, apart from the system.
 */

import type { Topology } from "../../../src/topology/nodes.js";
import type { SimProcess } from "../sim-process.js";

/** A line of output as one comparable text. */
export type Line = string;

export interface Scenario {
  readonly name: string;
  /** Sizes and times that the seed has chosen, for the report. */
  readonly describe: string;
  /** Built anew in every process, which lends it its clock. */
  build(process: SimProcess): Topology;
  /** Objects that are there before the job starts. */
  readonly inputs: ReadonlyMap<string, Uint8Array>;
  /** Published lines by output folder, in no order. */
  readonly expected: ReadonlyMap<string, readonly Line[]>;
  /** From a published row to its line; undefined fields that may differ are left out. */
  lineOf(folder: string, row: Record<string, unknown>): Line;
  /** Where order is promised: rows of one lane come in rising position, and from one subtask. */
  laneOf?(
    folder: string,
    row: Record<string, unknown>,
  ): { readonly lane: string; readonly position: number } | undefined;
  /** Of one batch; a bound smaller than one batch lets a single batch through. */
  readonly rowsPerBatch: number;
  /** Workers to place it on. */
  readonly workers: number;
  /** Time a run without faults takes at most. */
  readonly calmMs: number;
}
