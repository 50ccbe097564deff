/** Commands of clients that come over the bus, answered by the coordinator's own methods. */
import { MillraceError } from "../base/errors.js";
import { id, type JobId } from "../base/ids.js";
import {
  acknowledgementFrame,
  type CollectContent,
  type ContentReport,
  type CreateSavepoint,
  contentReportFrame,
  type SavepointReport,
  savepointReportFrame,
} from "../wire/control.js";
import { decodeFrame } from "../wire/frames.js";

/** What clients may ask for; each is done, or safe with the next leader, when it resolves. */
export interface ClientDesk {
  /** Begins a job whose spec is in the store, once. */
  submit(job: JobId): Promise<void>;
  /** A frame of kind `job-report`. @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  report(job: string): Promise<Uint8Array>;
  cancel(job: string): Promise<void>;
  /** Asked again until the answer is not OPEN. */
  savepoint(asked: CreateSavepoint): Promise<SavepointReport>;
  /** Also of a job that has ended. */
  collect(asked: CollectContent): Promise<ContentReport>;
}

const DONE = acknowledgementFrame.encode({ code: "", message: "" });

/** @returns the frame that answers @throws what the desk throws, and `MILL_COMMAND_REFUSED` */
export async function answerClient(payload: Uint8Array, desk: ClientDesk): Promise<Uint8Array> {
  const { kind, header } = decodeFrame(payload);
  const { job } = header as { readonly job: string };
  switch (kind) {
    case "submit-job":
      await desk.submit(id<JobId>("job", job));
      return DONE;
    case "describe-job":
      return desk.report(job);
    case "cancel-job":
      await desk.cancel(job);
      return DONE;
    case "create-savepoint":
      return savepointReportFrame.encode(await desk.savepoint(header as CreateSavepoint));
    case "collect-content":
      return contentReportFrame.encode(await desk.collect(header as CollectContent));
    default:
      throw new MillraceError("MILL_COMMAND_REFUSED", `the coordinator does not know the command "${kind}".`);
  }
}
