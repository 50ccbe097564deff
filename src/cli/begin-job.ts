/** The last steps of every submission to a cluster. */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace } from "../base/ids.js";
import type { Bus } from "../bus/bus.js";
import { clusterSubjects } from "../bus/subjects.js";
import type { ObjectStore } from "../storage/object-store.js";
import { acknowledgementFrame, submitJobFrame } from "../wire/control.js";

/** Tells the coordinator that leads of a job whose spec is in the store. @returns false: no coordinator answers */
export async function beginJob(bus: Bus, namespace: Namespace, job: JobId): Promise<boolean> {
  const subject = clusterSubjects(namespace).coordinatorCommand;
  const answer = await bus.request(subject, submitJobFrame.encode({ job })).catch((cause: unknown) => {
    if (MillraceError.is(cause) && cause.code === "MILL_BUS_NO_RESPONDER") return undefined;
    throw cause;
  });
  if (answer === undefined) return false;
  const { code, message } = acknowledgementFrame.decode(answer.payload).header;
  if (code !== "") throw new MillraceError("MILL_JOB_FAILED", message);
  return true;
}

export async function putOnce(
  store: ObjectStore,
  key: string,
  body: () => Parameters<ObjectStore["put"]>[1],
): Promise<void> {
  if ((await store.head(key)) === undefined) await store.put(key, body());
}
