/** What a coordinator reads of a job's outputs: dead letters, and content that their records name. */
import type { ObjectStore } from "../storage/object-store.js";
import type { ObjectRef } from "../types/content-types.js";

export interface JobOutputs {
  /** The place that a topology names, such as `s3://bucket/prefix` or a folder below the output root; undefined: it cannot be read from here. */
  at(url: string): ObjectStore | undefined;
  /**
   * Content, in pieces; never from the web, and no file that no job could have been given here.
   * @throws {MillraceError} `MILL_REQUEST_FORBIDDEN`: it is at an address that is not read here; `MILL_STORE_*`, `MILL_CONTENT_*`
   */
  read(ref: ObjectRef, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}
