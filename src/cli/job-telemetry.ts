/** The ports of what works for one job: all that it tells has the job's id. */
import { type Ports, telemetryOf } from "../base/ports.js";

export function portsOfJob(ports: Ports, job: string): Ports {
  return { ...ports, telemetry: telemetryOf(ports).with({ "millrace.job": job }) };
}
