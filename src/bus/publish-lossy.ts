/** Publishing what will be asked for or said again if it is lost: commands, acknowledgements, reports. */
import type { Log } from "../base/ports.js";
import type { Bus } from "./bus.js";

/** Never rejects. */
export async function publishLossy(bus: Bus, log: Log, subject: string, frame: Uint8Array): Promise<void> {
  try {
    await bus.publish(subject, frame);
  } catch (error) {
    log.debug("a message was not sent", { subject, error });
  }
}
