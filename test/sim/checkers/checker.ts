/**
 * A checker stands outside the system: it sees what reaches the message server and the object store, and what is there at
 * the end, and asks no part of the system what it believes.
 */
import type { JobReport } from "../../../src/wire/control.js";
import type { FaultKind } from "../faults.js";
import type { SharedStore, StoreChange } from "../shared-store.js";
import type { SimBus } from "../sim-bus.js";
import type { SimWorld } from "../sim-clock.js";
import type { SimMessage } from "../sim-network.js";
import type { Scenario } from "../topologies/scenario.js";

export interface CheckedRun {
  readonly world: SimWorld;
  readonly store: SharedStore;
  readonly scenario: Scenario;
  /** Kinds of faults that have struck so far, but for what channels repair by themselves. */
  felt(): readonly FaultKind[];
  /** When the newest fault struck or was undone; before the run: none was. */
  struckMs(): number;
  /** Whether a failed job is right, as long as nothing of it was published. */
  mayFail(): boolean;
}

export interface Checker {
  onStore?(change: StoreChange): void;
  onMessage?(message: SimMessage, from: SimBus): void;
  /** The job has ended, or its time is up. */
  atEnd?(report: JobReport | undefined): void;
  /** The run is over, however it ended. */
  release?(): void;
}
