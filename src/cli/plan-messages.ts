/** What a coordinator and the process that plans for it say to each other. */

import type { JobSpec } from "../wire/control.js";
import type { OutputPlace } from "./outputs.js";

/** The first message to the process that plans. */
export interface PlanTask {
  /** Where the parent has placed it. */
  readonly bundleFile: string;
  readonly sha256: string;
  /** Packages that are not in the bundle, where it was made of source. */
  readonly external: readonly string[];
  readonly params: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly inputs: Readonly<Record<string, string>>;
  readonly savepoint: string | undefined;
  readonly allowUnmatched: boolean;
  /** The child's own. */
  readonly folder: string;
  /** Where outputs go that name no place. */
  readonly store: string;
}

export interface DeclaredAsset {
  readonly service: string;
  readonly name: string;
  readonly source: string;
}

/** What a topology comes to. Told by a process in which its code ran, so it is believed no further than it is checked. */
export interface Planned {
  readonly kind: "planned";
  /** Job, code and assets are the coordinator's to say. */
  readonly spec: JobSpec;
  readonly outputs: readonly OutputPlace[];
  readonly assets: readonly DeclaredAsset[];
  /** Patterns of sources that go on with what was uploaded for the job of the savepoint. */
  readonly inputs: Readonly<Record<string, string>>;
  /** As `millrace plan --json` has it. */
  readonly plan: string;
  readonly text: string;
}

/** A call of the store, for what a job reads and writes that begins with a savepoint. */
export interface StoreCall {
  readonly kind: "call";
  readonly call: number;
  readonly method: "head" | "get" | "put" | "create";
  readonly key: string;
  readonly bytes?: Uint8Array;
}

/** Said by a process that has run nothing of what was sent. */
export interface Bundled {
  readonly kind: "bundled";
  readonly code: Uint8Array;
  readonly external: readonly string[];
}

export type FromPlanner =
  | Planned
  | Bundled
  | StoreCall
  | { readonly kind: "begun"; readonly seeds: JobSpec["seeds"] }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

export type ToPlanner =
  /** @param packages folder from which packages are looked for, upward */
  | { readonly kind: "bundle"; readonly source: string; readonly packages: string }
  | { readonly kind: "plan"; readonly task: PlanTask }
  | { readonly kind: "begin"; readonly job: string }
  | { readonly kind: "answer"; readonly call: number; readonly value: unknown }
  | { readonly kind: "refused"; readonly call: number; readonly code: string; readonly message: string };
