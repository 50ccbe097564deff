/** Making a job of what a client has sent. The code is planned in a process of its own, which the command line knows how to start. */
import type { JobId } from "../base/ids.js";
import type { AskedOnce } from "./idempotency.js";

/** A file that a service's handler declares, and that was uploaded. */
export interface SentAsset {
  readonly service: string;
  readonly name: string;
  /** As the handler declares it. */
  readonly source: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface JobRequest {
  /** SHA-256 of an uploaded bundle, 64 lower-case hex digits; not given: `topology` is. */
  readonly bundle?: string;
  /** TypeScript source of a topology file that imports nothing but installed packages. */
  readonly topology?: string;
  readonly params: Readonly<Record<string, string>>;
  /** 0: the topology's own. */
  readonly parallelism: number;
  /** Pattern to read instead of the topology's own, by id of a source. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly assets: readonly SentAsset[];
  /** `<job>/<name>`: begin with its state. */
  readonly savepoint?: string;
  readonly allowUnmatched: boolean;
  readonly overwrite: boolean;
}

export interface Submissions {
  /**
   * Writes what the job needs to the store, and begins it.
   * @param once the same again makes the same job; not given: each makes its own
   * @throws {MillraceError} what is wrong with the bundle, topology, parameters, savepoint or outputs
   */
  submit(request: JobRequest, once: AskedOnce | undefined): Promise<JobId>;
  /** The plan, as text and as `millrace plan --json` has it. Nothing is written. */
  plan(request: JobRequest): Promise<{ readonly plan: object; readonly text: string }>;
}
