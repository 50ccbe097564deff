/**
 * Every object key, built in this one place.
 *
 *     bundles/<sha256>.mjs              a topology's code
 *     assets/<sha256>                   a model or another file that a handler needs
 *     jobs/<job>/spec.avro              what was submitted (`schemas/control/job-spec.avsc`)
 *     jobs/<job>/inputs/<source>/<name> local files that were uploaded for a source to read
 */
import type { JobId } from "../base/ids.js";

export const bundleKey = (sha256: string): string => `bundles/${sha256}.mjs`;
export const assetKey = (sha256: string): string => `assets/${sha256}`;

export interface JobKeys {
  readonly spec: string;
  inputs(source: string): string;
}

export function jobKeys(job: JobId): JobKeys {
  return { spec: `jobs/${job}/spec.avro`, inputs: (source) => `jobs/${job}/inputs/${source}` };
}
