/**
 * Faults planted one at a time in compiled files, to see that the simulator would find them. Each breaks a rule that a
 * module header or DESIGN states; `find` must be in the file exactly once, so that a change of the source that moves
 * the rule shows here.
 */
import type { ProfileName } from "../faults.js";

export interface Mutant {
  /** The rule that is broken, as what the system now does. */
  readonly name: string;
  /** Below `dist`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly profile: ProfileName;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "a file sink publishes when it prepares (file-writer F1)",
    file: "src/connectors/file-writer.js",
    find: "await output.put(prepared.from, encoder.finish());",
    replace: "await output.put(prepared.to, encoder.finish());",
    profile: "one-attempt",
  },
  {
    name: "sinks publish a checkpoint when it is triggered, before its manifest exists (actor A3)",
    file: "src/actors/host.js",
    find: "actor.trigger(command.checkpoint);",
    replace: "actor.trigger(command.checkpoint), void actor.complete(command.checkpoint);",
    profile: "one-attempt",
  },
  {
    name: "an attempt is deployed without its fence (region C4)",
    file: "src/checkpoint/region.js",
    find: 'return region.writing ? [] : [{ kind: "fence", number: region.newest + 1n }];',
    replace: 'return [{ kind: "enter", phase: "PLACING" }];',
    profile: "one-attempt",
  },
  {
    name: "a coordinator that stood still takes others for silent (coordinator K3)",
    file: "src/coordinator/coordinator.js",
    find: "known.heardMs += deafMs;",
    replace: "",
    profile: "one-attempt",
  },
  {
    name: "rows that a service refused are dropped without a dead letter (infer I3)",
    file: "src/actors/infer-operator.js",
    find: "await this.#refuse(entry.batch, row, reason);",
    replace: "",
    profile: "one-attempt",
  },
];
