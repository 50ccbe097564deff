/**
 * Instances that were lost with their worker, or were given up: nobody but the coordinator can tell their clients, who would wait for
 * an answer for ever.
 * One message may be lost, so they are told more than once.
 */
import type { JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { type GoneInstance, goneReport } from "../services/gone-report.js";

export interface LostInstancesOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
}

export class LostInstances {
  #lost: { readonly subject: string; readonly frame: Uint8Array; readonly sinceMs: number }[] = [];

  constructor(private readonly options: LostInstancesOptions) {}

  tell(job: JobId, gone: GoneInstance): void {
    const { subject, frame } = goneReport(this.options.namespace, job, gone);
    this.#lost.push({ subject, frame, sinceMs: this.options.ports.clock.monotonicMs() });
    this.#publish(subject, frame);
  }

  tellAgain(nowMs: number): void {
    this.#lost = this.#lost.filter(({ sinceMs }) => nowMs - sinceMs <= limits.heartbeatTimeoutMs);
    for (const { subject, frame } of this.#lost) this.#publish(subject, frame);
  }

  #publish(subject: string, frame: Uint8Array): void {
    const { bus, ports } = this.options;
    void publishLossy(bus, ports.log, subject, frame);
  }
}
