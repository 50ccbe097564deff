/** Making a job of what a client has sent. The code is planned in a process of its own, which the command line knows how to start. */
import type { JobId } from "../base/ids.js";

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
  /** `<job>/<name>`: begin with its state. */
  readonly savepoint?: string;
  readonly allowUnmatched: boolean;
  readonly overwrite: boolean;
  /** The same request twice makes one job. Not given: each makes its own. */
  readonly key?: string;
}

export interface Submissions {
  /**
   * Writes what the job needs to the store; it is not begun.
   * @throws {MillraceError} what is wrong with the bundle, topology, parameters, savepoint or outputs
   */
  prepare(request: JobRequest): Promise<JobId>;
  /** The plan, as text and as `millrace plan --json` has it. Nothing is written. */
  plan(request: JobRequest): Promise<{ readonly json: string; readonly text: string }>;
}
