/**
 * What a client knows of the instances of its service, and the requests that each of them has of it.
 *
 * Invariants:
 *   S3  Only instances that reported READY, and that nobody has put into quarantine, are chosen (guarantee 5).
 *   S4  Outstanding rows of an instance go down on every way a request can leave it.
 *   S6  An instance that has ended stays gone, whatever of it still arrives. One that was lost with its worker, or was given up because it
 *       was silent, may live: a coordinator that finds it again, after the one that gave it up, takes it for its own. So it is gone until
 *       it is heard itself, a heartbeat's time-out after it was last said to be.
 *   S8  One that fails more often than its peers is put aside, with the evidence in the log, and comes back on probation (`health.ts`).
 */
import type { InstanceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Service } from "../topology/service.js";
import type { ServiceOrders, Standing } from "../wire/control.js";
import type { LoadReport } from "../wire/frames.js";
import { chooseInstance, type InstanceView, outstandingMax, type Wish } from "./balance.js";
import { afterOutcome, HEALTHY, type Health, standing } from "./health.js";

/** What the table needs to know of a request. */
export interface Outstanding {
  readonly id: string;
  readonly rows: number;
  /** It was on board of an instance that crashed, and may be why: it travels alone. */
  readonly suspect: boolean;
}

export interface KnownInstance<Request extends Outstanding> {
  readonly id: InstanceId;
  report: LoadReport;
  heardMs: number;
  schemaSent: boolean;
  /** It has refused a request and not said since then that it has room. */
  full: boolean;
  readonly pending: Map<string, Request>;
  outstandingRows: number;
  /** Rows sent there since its newest report was heard: that does not count them. */
  sentSinceRows: number;
  /** Since then its running call runs, as far as its reports tell. */
  runningSinceMs: number;
  lastSent: number;
  health: Health;
}

export class InstanceTable<Request extends Outstanding> {
  #known = new Map<string, KnownInstance<Request>>();
  /** Until when nothing that they say counts (S6). */
  #gone = new Map<string, number>();
  /** Those that people want to get no requests, as the coordinator said last. */
  #orders: Pick<ServiceOrders, "term" | "sequence"> = { term: 0n, sequence: 0n };
  #quarantined: ReadonlySet<string> = new Set();
  #sends = 0;

  constructor(
    private readonly service: Service,
    private readonly ports: Ports,
  ) {}

  [Symbol.iterator](): Iterator<KnownInstance<Request>> {
    return this.#known.values();
  }

  /** Instances that take requests, as far as has been heard. */
  readyCount(): number {
    return [...this.#known.values()].filter((one) => this.#takes(one)).length;
  }

  /** Whether any takes requests and has, of all clients, less than the calls that it makes at once and as much again. */
  wantsMore(): boolean {
    const now = this.ports.clock.monotonicMs();
    const enough = 2 * this.service.batch.rowsMax * this.service.concurrency;
    for (const one of this.#known.values()) {
      if (!this.#takes(one) || !isOpen(one, { suspect: false }, standing(one.health, now))) continue;
      if (Math.max(one.outstandingRows, this.#reportedRows(one, now)) < enough) return true;
    }
    return false;
  }

  get(id: string): KnownInstance<Request> | undefined {
    return this.#known.get(id);
  }

  /** @returns the instance, if that report was the last there will be of it */
  onReport(report: LoadReport): KnownInstance<Request> | undefined {
    const { instance: id } = report;
    const known = this.#known.get(id);
    if (known !== undefined && report.sequence <= known.report.sequence) return undefined;
    const heardMs = this.ports.clock.monotonicMs();
    const goneUntilMs = this.#gone.get(id) ?? Number.NEGATIVE_INFINITY;
    if (report.state === "STOPPED" || report.state === "FAILED") {
      this.#gone.set(id, Math.max(goneUntilMs, goneUntil(report, heardMs)));
      this.#known.delete(id);
      return known;
    }
    if (heardMs < goneUntilMs) return undefined;
    if (this.#gone.delete(id))
      this.ports.log.info("an instance that was thought to be lost is heard again", { instance: id });
    if (known !== undefined) {
      if (hasBegunCall(known.report, report)) known.runningSinceMs = heardMs;
      known.report = report;
      known.heardMs = heardMs;
      known.sentSinceRows = 0;
    } else {
      const counts = { outstandingRows: 0, sentSinceRows: 0, lastSent: 0, runningSinceMs: heardMs };
      const fresh = { schemaSent: false, full: false, health: HEALTHY, ...counts };
      this.#known.set(id, { id: id as InstanceId, report, heardMs, ...fresh, pending: new Map() });
    }
    return undefined;
  }

  /** @param avoid where it has just failed: only if there is no other */
  choose(request: Outstanding, wish: Wish, avoid: string): KnownInstance<Request> | undefined {
    const now = this.ports.clock.monotonicMs();
    const ready: KnownInstance<Request>[] = [];
    for (const instance of this.#known.values()) if (this.#takes(instance)) ready.push(instance);
    // Where all are put aside none is worse than the others: they have nobody to be compared with any more.
    const comparable = ready.some(({ health }) => standing(health, now) !== "aside");
    const open = ready.filter((one) => isOpen(one, request, comparable ? standing(one.health, now) : "good"));
    const others = avoid === "" ? open : open.filter(({ id }) => id !== avoid);
    const views = (others.length > 0 ? others : open).map((instance) => this.#viewOf(instance, request, now));
    const chosen = chooseInstance(views, wish, () => this.ports.random.next());
    return chosen && this.#known.get(chosen.instance);
  }

  /** S3. @returns whether another instance may be chosen now */
  onOrders({ term, sequence, quarantined }: ServiceOrders): boolean {
    const last = this.#orders;
    if (term < last.term || (term === last.term && sequence <= last.sequence)) return false;
    const freed = [...this.#quarantined].some((id) => !quarantined.includes(id));
    this.#orders = { term, sequence };
    this.#quarantined = new Set(quarantined);
    return freed;
  }

  #takes({ id, report }: KnownInstance<Request>): boolean {
    return report.state === "READY" && !this.#quarantined.has(id);
  }

  add(instance: KnownInstance<Request>, request: Request): void {
    instance.pending.set(request.id, request);
    instance.outstandingRows += request.rows;
    instance.sentSinceRows += request.rows;
    instance.lastSent = ++this.#sends;
  }

  /** S4. The request leaves the instance. @returns whether it was there */
  take(instance: KnownInstance<Request>, id: string): Request | undefined {
    const request = instance.pending.get(id);
    if (request === undefined) return undefined;
    instance.pending.delete(id);
    instance.outstandingRows -= request.rows;
    return request;
  }

  /** S8 */
  onOutcome(instance: KnownInstance<Request>, failed: boolean): void {
    const before = instance.health;
    const now = this.ports.clock.monotonicMs();
    const peersHealth = failed ? this.#peersOf(instance) : []; // a success is judged by itself
    instance.health = afterOutcome(before, failed, peersHealth, now);
    if (instance.health.asideTimes === before.asideTimes) return;
    const facts = { service: this.service.id, instance: instance.id };
    if (instance.health.asideTimes === 0) {
      this.ports.log.info("an instance is as good as the others again", facts);
      return;
    }
    this.ports.log.warn("an instance fails more often than the others and is put aside", {
      ...facts,
      failing: instance.health.failing,
      others: peersHealth.map(({ failing }) => failing),
      ms: instance.health.asideUntilMs - now,
    });
  }

  /** Those that are put aside, or on probation. */
  standings(): Standing[] {
    const now = this.ports.clock.monotonicMs();
    const bad: Standing[] = [];
    for (const { id, health } of this.#known.values()) {
      const stands = standing(health, now);
      if (stands !== "good") bad.push({ service: this.service.id, instance: id, probation: stands === "probation" });
    }
    return bad;
  }

  #peersOf(instance: KnownInstance<Request>): Health[] {
    const peers = [...this.#known.values()].filter((other) => other !== instance && this.#takes(other));
    return peers.map(({ health }) => health);
  }

  /** Rows there as last reported, unless that is too old to count, and what was sent since. */
  #reportedRows({ report, heardMs, sentSinceRows }: KnownInstance<Request>, nowMs: number): number {
    return (nowMs - heardMs > limits.loadStaleMs ? 0 : depthOf(report)) + sentSinceRows;
  }

  #viewOf(instance: KnownInstance<Request>, request: Outstanding, nowMs: number): InstanceView {
    const { batch, concurrency } = this.service;
    const { id, report, outstandingRows, sentSinceRows, lastSent, runningSinceMs } = instance;
    const { state, rowMs } = report;
    const reportedRows = this.#reportedRows(instance, nowMs);
    const depth = reportedRows - sentSinceRows;
    return {
      instance: id,
      state,
      rowMs,
      outstandingRows,
      lastSent,
      reportedRows,
      doneMs: Math.min(nowMs - runningSinceMs, (Math.min(depth, batch.rowsMax) * rowMs) / concurrency),
      outstandingRowsMax: request.suspect ? 1 : outstandingMax(batch.rowsMax, concurrency, rowMs),
    };
  }
}

/** S6 */
function goneUntil({ code }: LoadReport, heardMs: number): number {
  return code === "MILL_WORKER_LOST" ? heardMs + limits.heartbeatTimeoutMs : Number.POSITIVE_INFINITY;
}

function depthOf({ queuedRows, runningRows }: LoadReport): number {
  return queuedRows + runningRows;
}

/** Between two reports one has ended, or there was none. */
function hasBegunCall(before: LoadReport, now: LoadReport): boolean {
  return depthOf(before) === 0 || depthOf(now) < depthOf(before);
}

function holdsSuspect(instance: KnownInstance<Outstanding>): boolean {
  for (const request of instance.pending.values()) if (request.suspect) return true;
  return false;
}

function isOpen(
  instance: KnownInstance<Outstanding>,
  { suspect }: Pick<Outstanding, "suspect">,
  stands: ReturnType<typeof standing>,
): boolean {
  if (instance.full || holdsSuspect(instance)) return false;
  const alone = suspect || stands === "probation";
  return stands !== "aside" && !(alone && instance.pending.size > 0);
}
