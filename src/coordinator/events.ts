/** What has happened, for people: numbered, published, and the last of it kept. Nothing is decided by it, and one may be lost. */
import type { Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { clusterSubjects } from "../bus/subjects.js";
import { type ClusterEvent, type EventSeverity, eventFrame, type JobState } from "../wire/control.js";
import type { LoadReport } from "../wire/frames.js";

/** Every kind there is, for filters and for docs/http-api.md. */
export const EVENT_KINDS = [
  "leader.began",
  "job.submitted",
  "job.state",
  "job.changed",
  "region.restarted",
  "savepoint.taken",
  "instance.state",
  "worker.joined",
  "worker.left",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export interface Happening {
  readonly kind: EventKind;
  readonly severity?: EventSeverity;
  readonly job?: string;
  readonly about?: string;
  readonly code?: string;
  readonly message: string;
}

export class Events {
  #kept: ClusterEvent[] = [];
  #number = 0;

  constructor(
    private readonly options: { readonly bus: Bus; readonly ports: Ports; readonly namespace: Namespace },
    /** In whose term: ids of events grow over all of them. */
    private readonly term: () => bigint,
  ) {}

  tell({ kind, severity = "info", job = "", about = "", code = "", message }: Happening): void {
    const { bus, ports, namespace } = this.options;
    const event = `${this.term()}-${++this.#number}`;
    const one = { event, atMs: BigInt(ports.clock.nowMs()), kind, severity, job, about, code, message };
    this.#kept.push(one);
    if (this.#kept.length > limits.eventsKept) this.#kept.shift();
    void publishLossy(bus, ports.log, clusterSubjects(namespace).events, eventFrame.encode(one));
  }

  /** Oldest first. */
  get kept(): readonly ClusterEvent[] {
    return this.#kept;
  }
}

export function jobState(
  job: string,
  state: JobState,
  error?: { readonly code: string; readonly message: string },
): Happening {
  const severity = state === "FAILED" || (state === "FAILING" && error?.code !== "") ? "error" : "info";
  const message = error === undefined ? state : `${state}: ${error.message}`;
  return { kind: "job.state", severity, job, code: error?.code ?? "", message };
}

export function instanceState(job: string, { service, instance, state, code, reason }: LoadReport): Happening {
  const severity = state === "FAILED" ? "error" : "info";
  const why = reason === "" ? "" : `: ${reason}`;
  return { kind: "instance.state", severity, job, about: instance, code, message: `${service} ${state}${why}` };
}

export function regionRestarted(
  job: string,
  region: string,
  attempt: number,
  { code, message }: { readonly code: string; readonly message: string },
): Happening {
  const text = `attempt ${attempt} begins: ${message}`;
  return { kind: "region.restarted", severity: "warning", job, about: region, code, message: text };
}
