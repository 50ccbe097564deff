/**
 * The coordinator: knows workers, hosts and instances by what they report, decides with `job.ts`, and sends commands.
 * It is not on the data path.
 *
 * Invariants:
 *   K1  Facts come from reports; a command changes a fact only by what its receiver then reports, or by its
 *       acknowledgement. A report that is missing for `limits.heartbeatTimeoutMs` counts as the loss of its sender.
 *   K2  One look at a job at a time; a command that is under way is not sent again, and one that failed only with the
 *       next heartbeat.
 *   K3  Time in which this process itself stood still does not count as silence of others.
 */
import { MillraceError } from "../base/errors.js";
import {
  type HostId,
  type InstanceId,
  id,
  type JobId,
  type Namespace,
  type ServiceId,
  type WorkerId,
} from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import { type ClusterSubjects, clusterSubjects, jobSubjects } from "../bus/subjects.js";
import { goneReport } from "../services/gone-report.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import {
  acknowledgementFrame,
  commitFrame,
  deployFrame,
  type HostReport,
  type JobReport,
  jobReportFrame,
  jobSpecFrame,
  startFrame,
  startHostFrame,
  startInstanceFrame,
  stopHostFrame,
  stopInstanceFrame,
  type WorkerReport,
} from "../wire/control.js";
import { decodeFrame, loadReportFrame } from "../wire/frames.js";
import { decideJob, type JobAction } from "./job.js";
import { JobBook } from "./job-book.js";

export interface CoordinatorOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
}

/** One coordinator leads; who takes over, and with which term, is decided elsewhere. */
const TERM = 1n;

/** What an acknowledgement changes; a refusal fails the job if nothing else is said. */
interface Then {
  readonly done?: () => void;
  readonly refused?: (code: string, message: string) => void;
}

interface KnownWorker {
  readonly report: WorkerReport;
  heardMs: number;
}

export class Coordinator {
  #workers = new Map<string, KnownWorker>();
  #jobs = new Map<string, JobBook>();
  #subscriptions: Subscription[] = [];
  #tick: Timer | undefined;
  #soon: Timer | undefined;
  #underWay = new Set<string>();
  #subjects: ClusterSubjects;
  #closed = false;
  #beatMs = 0;

  constructor(private readonly options: CoordinatorOptions) {
    this.#subjects = clusterSubjects(options.namespace);
  }

  async open(): Promise<void> {
    const { bus } = this.options;
    this.#subscriptions = [
      await bus.subscribe(this.#subjects.coordinatorReport, (message) => this.#onReport(message)),
      await bus.subscribe(this.#subjects.coordinatorCommand, (message) => void this.#obey(message)),
    ];
    this.#beat();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#tick?.cancel();
    this.#soon?.cancel();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    for (const book of this.#jobs.values()) book.close();
  }

  // Commands of clients

  async #obey(message: BusMessage): Promise<void> {
    let reply: Uint8Array;
    try {
      const { kind, header } = decodeFrame(message.payload);
      const job = (header as { job: string }).job;
      if (kind === "submit-job") {
        await this.#submit(id<JobId>("job", job));
        reply = acknowledgementFrame.encode({ code: "", message: "" });
      } else if (kind === "describe-job") reply = jobReportFrame.encode(this.#book(job).describe());
      else if (kind === "cancel-job") {
        this.#book(job).cancel();
        this.#look();
        reply = acknowledgementFrame.encode({ code: "", message: "" });
      } else throw new MillraceError("MILL_COMMAND_REFUSED", `the coordinator does not know the command "${kind}".`);
    } catch (cause) {
      const error = MillraceError.from(cause);
      reply = acknowledgementFrame.encode({ code: error.code, message: error.message });
    }
    if (message.replyTo !== undefined) await this.#publish(message.replyTo, reply);
  }

  /** What is lost here is asked for or said again. */
  async #publish(subject: string, frame: Uint8Array): Promise<void> {
    try {
      await this.options.bus.publish(subject, frame);
    } catch (error) {
      this.options.ports.log.debug("a message was not sent", { subject, error });
    }
  }

  async #submit(job: JobId): Promise<void> {
    if (this.#jobs.has(job)) return;
    const { bus, store, namespace, ports } = this.options;
    const spec = jobSpecFrame.decode(await store.get(jobKeys(job).spec)).header;
    const book = new JobBook(spec, ports.clock);
    for (const { service } of spec.services) {
      book.keep(
        await bus.subscribe(jobSubjects(namespace, job).load(service as ServiceId), (message) => {
          if (book.onLoad(loadReportFrame.decode(message.payload).header)) this.#look();
        }),
      );
    }
    if (this.#jobs.has(job)) return book.close(); // asked twice at once
    this.#jobs.set(job, book);
    ports.log.info("job submitted", { job, topology: spec.topology, actors: spec.actors.length });
    this.#look();
  }

  #book(job: string): JobBook {
    const book = this.#jobs.get(job);
    if (book === undefined) {
      throw new MillraceError("MILL_JOB_UNKNOWN", `there is no job "${job}". Submit it, or check the namespace.`, {
        job,
      });
    }
    return book;
  }

  describe(job: string): JobReport {
    return this.#book(job).describe();
  }

  // Facts

  #onReport(message: BusMessage): void {
    const { kind, header } = decodeFrame(message.payload);
    if (kind === "worker-report") this.#onWorker(header as WorkerReport);
    else if (kind === "host-report") {
      const report = header as HostReport;
      if (this.#jobs.get(report.job)?.onHost(report)) this.#look();
    }
  }

  #onWorker(report: WorkerReport): void {
    const known = this.#workers.get(report.worker);
    if (known !== undefined && report.sequence <= known.report.sequence) return;
    if (known === undefined) this.options.ports.log.info("worker joined", { worker: report.worker, cpus: report.cpus });
    if (report.stopped) {
      this.#loseWorker(report.worker, "its worker was stopped");
    } else {
      this.#workers.set(report.worker, { report, heardMs: this.options.ports.clock.monotonicMs() });
      for (const book of this.#jobs.values()) book.onWorker(report);
      this.#stopLeftOvers(report);
    }
    this.#look();
  }

  /** A worker that was taken for lost and is not still holds what its jobs have given up. */
  #stopLeftOvers(report: WorkerReport): void {
    const worker = this.#subjects.workerCommand(report.worker as WorkerId);
    for (const { job, host, state } of report.hosts) {
      const book = this.#jobs.get(job);
      if (state === "EXITED" || book?.gaveUp("host", host) !== true) continue;
      this.#send(book, worker, stopHostFrame.encode({ term: TERM, job, host }));
    }
    for (const { job, service, instance, state } of report.instances) {
      const book = this.#jobs.get(job);
      if (state === "STOPPED" || state === "FAILED" || book?.gaveUp("instance", instance) !== true) continue;
      this.#send(book, worker, stopInstanceFrame.encode({ term: TERM, job, service, instance }));
    }
  }

  #loseWorker(worker: string, reason: string): void {
    this.#workers.delete(worker);
    for (const book of this.#jobs.values()) {
      for (const gone of book.onWorkerGone(worker, reason)) {
        const { subject, frame } = goneReport(this.options.namespace, book.job, gone);
        void this.#publish(subject, frame);
      }
    }
  }

  #beat(): void {
    this.#beatMs = this.options.ports.clock.monotonicMs();
    this.#tick = this.options.ports.clock.after(limits.heartbeatIntervalMs, () => {
      const now = this.options.ports.clock.monotonicMs();
      const deafMs = Math.max(now - this.#beatMs - 2 * limits.heartbeatIntervalMs, 0); // K3
      for (const [worker, known] of this.#workers) {
        known.heardMs += deafMs;
        if (now - known.heardMs <= limits.heartbeatTimeoutMs) continue;
        this.options.ports.log.warn("worker lost", { worker, silentMs: Math.round(now - known.heardMs) });
        this.#loseWorker(worker, "its worker fell silent");
      }
      for (const book of this.#jobs.values()) book.expire(limits.heartbeatTimeoutMs, deafMs);
      this.#decide();
      this.#beat();
    });
  }

  // Decisions

  /** Facts that come together are looked at together. */
  #look(): void {
    this.#soon ??= this.options.ports.clock.after(0, () => {
      this.#soon = undefined;
      this.#decide();
    });
  }

  #decide(): void {
    if (this.#closed) return;
    const workers = [...this.#workers.values()].map(({ report }) => report);
    for (const book of this.#jobs.values()) {
      for (const action of decideJob(book.facts(workers))) this.#carryOut(book, action);
    }
  }

  #carryOut(book: JobBook, action: JobAction): void {
    const { namespace } = this.options;
    const job = book.job;
    const base = { term: TERM, job };
    const attempt = book.attempt;
    const host = (hostId: string) => jobSubjects(namespace, job).hostCommand(hostId as HostId);
    const worker = (workerId: string) => this.#subjects.workerCommand(workerId as WorkerId);
    switch (action.kind) {
      case "enter":
        book.enter(action.state, action.error);
        this.options.ports.log.info("job state", { job, state: action.state, ...action.error });
        this.#look();
        return;
      case "wait":
        book.waitFor(action.message);
        return;
      case "start-host":
        book.expectHost(action.host);
        this.#send(book, worker(action.host.worker), startHostFrame.encode({ ...base, host: action.host.host }));
        return;
      case "stop-host":
        this.#send(book, worker(action.host.worker), stopHostFrame.encode({ ...base, host: action.host.host }));
        return;
      case "deploy": {
        const { actors, enumerators } = action.host;
        const frame = deployFrame.encode({ ...base, attempt, actors, enumerators });
        this.#send(book, host(action.host.host), frame, { done: () => book.onDeployed(action.host.host) });
        return;
      }
      case "start": {
        const frame = startFrame.encode({ ...base, attempt });
        this.#send(book, host(action.host.host), frame, { done: () => book.onStarted(action.host.host) });
        return;
      }
      case "commit": {
        const frame = commitFrame.encode({ ...base, attempt, region: action.region, checkpoint: 1n });
        this.#send(book, host(action.host.host), frame);
        return;
      }
      case "start-instance": {
        const { service, instance } = action;
        book.expectInstance({ service, instance: instance as InstanceId, worker: action.worker });
        const frame = startInstanceFrame.encode({ ...base, service, instance });
        this.#send(book, worker(action.worker), frame, {
          refused: (code, message) => book.onInstanceRefused(instance, code, message),
        });
        return;
      }
      case "stop-instance": {
        const { service, instance } = action.instance;
        this.#send(book, worker(action.instance.worker), stopInstanceFrame.encode({ ...base, service, instance }));
      }
    }
  }

  /** Asks, and looks again when answered. The same question is not asked twice at once (K2). */
  #send(book: JobBook, subject: string, frame: Uint8Array, then: Then = {}): void {
    const question = `${subject} ${Buffer.from(frame).toString("latin1")}`;
    if (this.#underWay.has(question)) return;
    this.#underWay.add(question);
    const ask = async () => {
      try {
        const answer = await this.options.bus.request(subject, frame, { timeoutMs: limits.deployTimeoutMs });
        const { code, message } = acknowledgementFrame.decode(answer.payload).header;
        if (code === "") then.done?.();
        else if (then.refused !== undefined) then.refused(code, message);
        else book.onRefused(code, message);
        if (code !== "" || then.done !== undefined) this.#look();
      } catch (error) {
        // The loss of a worker or host shows in its reports; asking again is the next look's business.
        this.options.ports.log.debug("a command was not answered", { subject, error });
      } finally {
        this.#underWay.delete(question);
      }
    };
    void ask();
  }
}
