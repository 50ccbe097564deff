/** Work that has to be done in the end, by whoever leads: it is tried until it is done, or until it is the next leader's. */
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";

export interface Leading {
  readonly ports: Ports;
  leads(): Promise<boolean>;
  /** The rest is the next leader's. */
  isClosed(): boolean;
}

/**
 * @param failed what the log says where a try fails
 * @returns false: it is another's
 */
export async function untilDone(leading: Leading, failed: string, job: string, work: () => Promise<void>) {
  const { ports, leads, isClosed } = leading;
  for (; !isClosed(); await ports.clock.sleep(limits.storeBackoffMsMax)) {
    try {
      if (!(await leads())) return false;
      await work();
      return true;
    } catch (error) {
      if (!isClosed()) ports.log.warn(failed, { job, error });
    }
  }
  return false;
}
