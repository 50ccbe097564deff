/**
 * The last load report of an instance, told on its behalf: a process that was killed, or whose machine is lost, cannot
 * say itself that it is gone, and its clients would wait for its answers for ever.
 */
import type { JobId, Namespace, ServiceId } from "../base/ids.js";
import { jobSubjects } from "../bus/subjects.js";
import { loadReportFrame } from "../wire/frames.js";

export interface GoneInstance {
  readonly service: string;
  readonly instance: string;
  /** STOPPED: it was told to end. FAILED: it was not, and what it had on board may be the reason. */
  readonly state: "STOPPED" | "FAILED";
  /** `MILL_WORKER_LOST`: nobody knows whether it has ended. */
  readonly code: string;
  readonly reason: string;
}

/** Above every report that the instance itself can have sent. */
const LAST_SEQUENCE = 2n ** 62n;

export function goneReport(
  namespace: Namespace,
  job: JobId,
  gone: GoneInstance,
): { subject: string; frame: Uint8Array } {
  const load = { sequence: LAST_SEQUENCE, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs: 0n };
  const subject = jobSubjects(namespace, job).load(gone.service as ServiceId);
  return { subject, frame: loadReportFrame.encode({ ...load, ...gone }) };
}
