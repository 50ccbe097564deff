/**
 * The coordinator: knows workers, hosts and instances by what they report, decides with `job.ts` and `checkpoint/region.ts`,
 * and sends commands. It is not on the data path.
 *
 * Invariants:
 *   K1  Facts come from reports; a command changes a fact only by what its receiver then reports, or by its
 *       acknowledgement. A report that is missing for `limits.heartbeatTimeoutMs` counts as the loss of its sender.
 *       What need not report while it works, or starts, is given longer (V1 of `instance-book.ts`, J11 of `job.ts`).
 *   K2  One look at a job at a time; a command is not sent again before the next heartbeat.
 *   K3  Time in which this process itself stood still does not count as silence of others.
 *   K4  It leads with a term that no other has, and does nothing once it does not hold the lease of that term (E5); one that meets
 *       a higher term stops for good.
 *   K5  A job that is not over is taken up by the next coordinator: its spec, its regions' logs and what reports say are all it needs.
 *   K6  One that has taken over promises memory and devices only when every worker has had time to say what it holds.
 */
import { isDeepStrictEqual } from "node:util";
import { MillraceError } from "../base/errors.js";
import { type HostId, id, type JobId, type Namespace, type ServiceId, type WorkerId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { type ClusterSubjects, clusterSubjects, jobSubjects } from "../bus/subjects.js";
import type { GoneInstance } from "../services/gone-report.js";
import { jobKeys, openJobs } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import {
  acknowledgementFrame,
  type CollectContent,
  type ContentReport,
  type CreateSavepoint,
  drainWorkerFrame,
  type HostReport,
  type InstanceHistory,
  type JobSpec,
  jobReportFrame,
  jobSpecFrame,
  type SavepointReport,
  type Snapshot,
  stopHostFrame,
  stopInstanceFrame,
  type WorkerReport,
} from "../wire/control.js";
import { decodeFrame, loadReportFrame } from "../wire/frames.js";
import { answerClient, type ClientDesk } from "./client-commands.js";
import { Commands, isPassing } from "./commands.js";
import type { ActorPlace, JobDetail, JobSummary, WorkerDetail } from "./describe.js";
import { workerDetails } from "./describe-workers.js";
import { EndedJobs } from "./ended-jobs.js";
import { Events, instanceState } from "./events.js";
import { holdingsOf } from "./holdings.js";
import { decideJob, hasEnded, isRunning } from "./job.js";
import { JobBook } from "./job-book.js";
import { JobContents } from "./job-contents.js";
import { JobControl } from "./job-control.js";
import { JobNotes } from "./job-notes.js";
import { JobRunner } from "./job-runner.js";
import type { HeldLease } from "./leadership.js";
import { Looks } from "./looks.js";
import { LostInstances } from "./lost-instances.js";
import type { Holding } from "./placement.js";
import { ReadLogs } from "./read-logs.js";
import { RegionRunner, type Then } from "./region-runner.js";
import { Savepoints } from "./savepoints.js";
import { claimTerm, LeaseBucket } from "./term.js";
import { type Leading, untilDone } from "./until-done.js";

export interface CoordinatorOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** Where content that belongs to jobs is. Default: `store`. */
  readonly contents?: ObjectStore;
  /** Where sinks publish, as far as that can be looked at from here. Default: nowhere; then all that was published keeps its content. */
  outputAt?(url: string): Pick<ObjectStore, "list" | "head"> | undefined;
  /** What it leads with. Default: the next term, taken at once, and for as long as no other takes one. */
  readonly lease?: HeldLease;
  /** Told once, when another leads, and its term where that is known: this one does nothing any more. */
  onDeposed?(by?: bigint): void;
}

interface KnownWorker {
  readonly report: WorkerReport;
  heardMs: number;
}

export class Coordinator implements ClientDesk {
  readonly events: Events;
  /** Changes jobs that run. */
  readonly control: JobControl;
  readonly savepoints: Savepoints;
  readonly ended: EndedJobs;
  #workers = new Map<string, KnownWorker>();
  #jobs = new Map<string, JobBook>();
  #subscriptions: Subscription[] = [];
  #tick: Timer | undefined;
  #commands: Commands;
  #subjects: ClusterSubjects;
  #closed = false;
  #beatMs = 0;
  #looks: Looks;
  #lost: LostInstances;
  #lease: HeldLease = { term: 0n, holds: () => false };
  #leaseBucket: LeaseBucket;
  /** K6. By the monotonic clock. */
  #settledMs = 0;
  /** It knows every job that has not ended, but those that it could not read. */
  #tookUp = false;
  #unreadable = new Set<string>();
  #leading: Leading;
  #notes: JobNotes;
  #regions: RegionRunner | undefined;
  #runner: JobRunner;
  #contents: JobContents;
  #readLogs: ReadLogs;

  constructor(private readonly options: CoordinatorOptions) {
    const look = (book: JobBook) => this.#looks.soon(book);
    const leads = () => this.#leads();
    this.#leading = { ports: options.ports, leads, isClosed: () => this.#closed };
    this.#notes = new JobNotes({ ...options, ...this.#leading, keep: (book) => this.ended.keep(book) });
    const note = (book: JobBook) => this.#notes.note(book);
    this.#looks = new Looks({
      clock: options.ports.clock,
      jobs: () => this.#jobs.values(),
      leads: () => !this.#closed && this.#lease.holds(),
      lookAt: (book, untilMs) => this.#lookAt(book, untilMs),
    });
    this.#contents = new JobContents({
      ...options,
      contents: options.contents ?? options.store,
      outputAt: (url) => options.outputAt?.(url),
      leads: async () => !this.#closed && (await this.#stillLeads()),
      taken: (book) => this.savepoints.taken(book),
    });
    this.savepoints = new Savepoints({
      ...options,
      leads,
      note,
      look,
      tell: (happening) => this.events.tell(happening),
    });
    this.#readLogs = new ReadLogs({ ...options, leads });
    this.#lost = new LostInstances(options);
    this.ended = new EndedJobs({
      ...options,
      jobs: this.#jobs,
      contents: this.#contents,
      leads,
      recorded: (job) => this.#notes.recorded(job),
    });
    this.#subjects = clusterSubjects(options.namespace);
    this.#commands = new Commands({
      ...options,
      look: (book) => (book === undefined ? this.#looks.allSoon() : look(book)),
      deposed: (by) => this.#depose(by),
    });
    this.#leaseBucket = new LeaseBucket(options.bus, options.namespace);
    this.events = new Events(options, () => this.term);
    this.#runner = new JobRunner({
      ...options,
      events: this.events,
      term: () => this.term,
      send: (book, subject, frame, then) => this.#send(book, subject, frame, then),
      look,
      noteSoon: (book) => this.#notes.noteSoon(book),
      keepEnd: (book) => void this.#keepEnd(book),
      takesNothing: (worker, code) => this.#takesNothing(worker, code),
    });
    this.control = new JobControl({
      ...options,
      events: this.events,
      term: () => this.term,
      book: (job) => this.book(job),
      note,
      look,
    });
  }

  get term(): bigint {
    return this.#lease.term;
  }

  async open(): Promise<void> {
    const { bus, namespace } = this.options;
    this.#lease = this.options.lease ?? { term: await claimTerm(bus, namespace), holds: () => true };
    if (this.term > 1n) this.#settledMs = this.options.ports.clock.monotonicMs() + limits.adoptionMs;
    this.#regions = new RegionRunner({
      ...this.options,
      term: this.term,
      events: this.events,
      send: (book, host, frame, then) =>
        this.#send(book, jobSubjects(namespace, book.job).hostCommand(host as HostId), frame, then),
      look: (book) => this.#looks.soon(book),
      workers: () => this.#reports(),
      holdings: () => this.#holdings(),
      deposed: (by) => this.#depose(by),
      leads: () => this.#leads(),
    });
    const reports = await bus.subscribe(this.#subjects.coordinatorReport, (message) => this.#onReport(message));
    this.#subscriptions.push(reports);
    await this.#takeUp();
    this.#tookUp = true;
    this.events.tell({ kind: "leader.began", message: `term ${this.term}, with ${this.#jobs.size} jobs` });
    // Who asks of a job before it was taken up must not be told that there is none.
    const commands = await bus.subscribe(this.#subjects.coordinatorCommand, (message) => void this.#obey(message));
    this.#subscriptions.push(commands);
    if (this.#closed)
      await this.close(); // while it opened
    else this.#beat();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#tick?.cancel();
    this.#looks.close();
    this.#contents.close();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    for (const book of this.#jobs.values()) book.close();
  }

  /** K4. Asked before anything is written that no region's log guards. */
  async #leads(): Promise<boolean> {
    if (!this.#lease.holds()) return false;
    const newest = (await this.#leaseBucket.read())?.lease.term ?? 0n;
    if (newest > this.term) this.#depose(newest);
    return newest <= this.term && this.#lease.holds();
  }

  /** As far as can be told: who cannot be sure had better be silent, and is asked again. */
  async #stillLeads(): Promise<boolean> {
    try {
      return await this.#leads();
    } catch (error) {
      this.options.ports.log.debug("the term cannot be read", { error });
      return false;
    }
  }

  /** K4 */
  #depose(by: bigint | string): void {
    if (this.#closed) return;
    this.options.ports.log.error("another coordinator leads now", { term: this.term, by });
    void this.close();
    this.options.onDeposed?.(typeof by === "bigint" ? by : undefined);
  }

  // Commands of clients

  async #obey(message: BusMessage): Promise<void> {
    let reply: Uint8Array;
    try {
      reply = await answerClient(message.payload, this);
    } catch (cause) {
      const error = MillraceError.from(cause);
      // A job that this one does not know may be the next leader's.
      if (error.code === "MILL_JOB_UNKNOWN" && !(await this.#stillLeads())) return;
      reply = acknowledgementFrame.encode({ code: error.code, message: error.message });
    }
    // One that has stopped leading meanwhile has not recorded what it would acknowledge.
    if (message.replyTo !== undefined && !this.#closed && this.#lease.holds())
      await this.#publish(message.replyTo, reply);
  }

  async savepoint(asked: CreateSavepoint): Promise<SavepointReport> {
    return this.savepoints.ask(this.book(asked.job), asked);
  }

  async collect(asked: CollectContent): Promise<ContentReport> {
    const book = this.#jobs.get(asked.job);
    if (book === undefined && !(await this.ended.has(id<JobId>("job", asked.job)))) this.book(asked.job); // there is none
    return this.#contents.collect(asked, book);
  }

  #publish(subject: string, frame: Uint8Array): Promise<void> {
    const { bus, ports } = this.options;
    return publishLossy(bus, ports.log, subject, frame);
  }

  async submit(job: JobId): Promise<void> {
    if (this.#jobs.has(job) || (await this.ended.has(job))) return;
    const book = await this.#read(job);
    await this.#notes.note(book);
    if (!this.#open(book)) return;
    this.options.ports.log.info("job submitted", { job, actors: book.regions.size });
    this.events.tell({ kind: "job.submitted", job, message: `of topology ${book.topology}` });
    this.#looks.soon(book);
  }

  /** Also where this leader dies right after it has said so. */
  async cancel(job: string): Promise<void> {
    const book = this.book(job);
    book.cancel();
    this.#looks.soon(book);
    await this.#notes.note(book);
  }

  /** Jobs that an earlier leader has left. One that cannot be read must not keep it from the others. */
  async #takeUp(): Promise<void> {
    const { store, ports } = this.options;
    for await (const { key } of store.list(openJobs)) {
      const job = key.slice(openJobs.length);
      try {
        await this.#takeUpJob(id<JobId>("job", job));
      } catch (cause) {
        const error = MillraceError.from(cause);
        if (isPassing(error.code)) throw error;
        ports.log.error("a job cannot be taken up", { job, error });
        this.#unreadable.add(job);
      }
    }
  }

  async #takeUpJob(job: JobId): Promise<void> {
    const { store, ports } = this.options;
    const { open } = jobKeys(job);
    if (await this.ended.takeUp(job)) return void this.#tidyUp(await this.#specOf(job));
    const left = await store.get(open);
    const book = await this.#read(job);
    book.takeUp(left.length === 0 ? undefined : jobReportFrame.decode(left).header);
    this.#open(book);
    ports.log.info("job taken up", { job, term: this.term });
  }

  async #specOf(job: JobId): Promise<JobSpec> {
    return jobSpecFrame.decode(await this.options.store.get(jobKeys(job).spec)).header;
  }

  async #read(job: JobId): Promise<JobBook> {
    const { bus, namespace, ports } = this.options;
    const spec = await this.#specOf(job);
    const book = new JobBook(spec, ports.clock);
    for (const { service } of spec.services) {
      book.keep(
        await bus.subscribe(jobSubjects(namespace, job).load(service as ServiceId), (message) => {
          const report = loadReportFrame.decode(message.payload).header;
          if (!book.onLoad(report)) return;
          this.events.tell(instanceState(job, report));
          this.#looks.soon(book);
        }),
      );
    }
    return book;
  }

  #open(book: JobBook): boolean {
    if (this.#jobs.has(book.job)) {
      book.close(); // asked twice at once
      return false;
    }
    this.#jobs.set(book.job, book);
    return true;
  }

  /** How a job ended outlives this process. */
  async #keepEnd(book: JobBook): Promise<void> {
    if (await this.#notes.keepEnd(book)) await this.#tidyUp(book);
  }

  /** What a job that has ended has left between its regions goes (J4), and content that nothing refers to. Then it is open no more. */
  async #tidyUp({ job, exchanges }: Pick<JobSpec, "job" | "exchanges">): Promise<void> {
    const work = () => this.#readLogs.delete(job as JobId, exchanges);
    if (await untilDone(this.#leading, "logs of a job that has ended could not be deleted", job, work))
      void this.#contents.forget(job as JobId);
  }

  async report(job: string): Promise<Uint8Array> {
    const ended = this.#jobs.has(job) ? undefined : await this.ended.report(job);
    return ended ?? jobReportFrame.encode(this.book(job).describe());
  }

  // What pages show (`describe.ts`)

  jobs(): JobSummary[] {
    return [...this.#jobs.values()].map((book) => book.summary());
  }

  /** Also of a job that has ended. @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  async describeJob(job: string): Promise<JobDetail> {
    const ended = this.#jobs.has(job) ? undefined : await this.ended.detail(job);
    return ended ?? this.book(job).detail();
  }

  /** As many as one asks for in detail. Of a job that has ended nothing is known. @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  async actorsOf(job: string): Promise<readonly ActorPlace[]> {
    const book = this.#jobs.get(job);
    if (book === undefined) await this.describeJob(job);
    return book?.actorPlaces() ?? [];
  }

  /** Asks a worker to take nothing new and to leave; its report says that it does. */
  drainWorker(worker: string): void {
    const frame = drainWorkerFrame.encode({ term: this.term, worker });
    this.#send(undefined, this.#subjects.workerCommand(worker as WorkerId), frame);
  }

  workers(): WorkerDetail[] {
    return workerDetails(this.#workers.values(), this.options.ports.clock);
  }

  /** @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  book(job: string): JobBook {
    const book = this.#jobs.get(job);
    if (book === undefined) {
      throw new MillraceError("MILL_JOB_UNKNOWN", `there is no job "${job}". Submit it, or check the namespace.`, {
        job,
      });
    }
    return book;
  }

  // Facts

  #onReport(message: BusMessage): void {
    const { kind, header } = decodeFrame(message.payload);
    if (kind === "worker-report") this.#onWorker(header as WorkerReport);
    else if (kind === "host-report") {
      const report = header as HostReport;
      const book = this.#jobs.get(report.job);
      if (book?.onHost(report)) this.#looks.soon(book);
    } else if (kind === "snapshot") {
      const snapshot = header as Snapshot;
      const book = this.#jobs.get(snapshot.job);
      if (book?.regions.get(snapshot.region)?.onSnapshot(snapshot)) this.#looks.soon(book);
    } else if (kind === "instance-history") {
      const history = header as InstanceHistory;
      this.#jobs.get(history.job)?.onHistory(history);
    }
  }

  #onWorker(report: WorkerReport): void {
    let known = this.#workers.get(report.worker);
    if (known !== undefined && report.sequence === 1n) {
      // The first report of another process: it knows nothing of what the one before had started.
      this.#loseWorker(report.worker, "its worker was started anew");
      known = undefined;
    }
    if (known !== undefined && report.sequence <= known.report.sequence) return;
    if (known === undefined) {
      this.options.ports.log.info("worker joined", { worker: report.worker, cpus: report.cpus });
      this.events.tell({ kind: "worker.joined", about: report.worker, message: `with ${report.cpus} processors` });
    }
    const told = known !== undefined && saysTheSame(known.report, report);
    if (report.stopped) {
      this.#loseWorker(report.worker, "its worker was stopped");
    } else {
      this.#workers.set(report.worker, { report, heardMs: this.options.ports.clock.monotonicMs() });
      // There may be a hundred of both: a job is told of workers that hold something of it, or did when they reported last.
      const holds = jobsOn(report, known?.report);
      for (const book of this.#jobs.values()) {
        if (book.adopting || report.draining || holds.has(book.job)) book.onWorker(report);
      }
      this.#stopLeftOvers(report);
    }
    if (!told) this.#looks.allSoon();
  }

  /** A worker that was taken for lost and is not still holds what its jobs have given up, or what jobs have left that are over. */
  #stopLeftOvers(report: WorkerReport): void {
    const worker = this.#subjects.workerCommand(report.worker as WorkerId);
    for (const { job, host, state } of report.hosts) {
      if (state === "EXITED" || !this.#gaveUp(job, "host", host)) continue;
      this.#send(this.#jobs.get(job), worker, stopHostFrame.encode({ term: this.term, job, host }));
    }
    for (const { job, service, instance, state } of report.instances) {
      if (state === "STOPPED" || state === "FAILED" || !this.#gaveUp(job, "instance", instance)) continue;
      this.#send(this.#jobs.get(job), worker, stopInstanceFrame.encode({ term: this.term, job, service, instance }));
    }
  }

  #gaveUp(job: string, what: "host" | "instance", name: string): boolean {
    const book = this.#jobs.get(job);
    return book === undefined ? this.#tookUp && !this.#unreadable.has(job) : book.gaveUp(what, name);
  }

  #loseWorker(worker: string, reason: string): void {
    this.#workers.delete(worker);
    this.events.tell({ kind: "worker.left", severity: "warning", about: worker, message: reason });
    for (const book of this.#jobs.values()) {
      for (const gone of book.onWorkerGone(worker, reason)) this.#lost.tell(book.job, gone);
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
      if (deafMs > 0) this.#settledMs += deafMs + 2 * limits.heartbeatIntervalMs;
      for (const book of this.#jobs.values()) {
        for (const gone of book.expire(limits.heartbeatTimeoutMs, deafMs)) this.#giveUp(book.job, gone);
        if (!hasEnded(book.state)) book.sample();
      }
      this.#lost.tellAgain(now);
      this.control.repeatOrders(this.#jobs.values());
      this.#looks.beat();
      this.#beat();
    });
  }

  /** It cannot say so itself. */
  #giveUp(job: JobId, gone: GoneInstance): void {
    const { service, instance, reason: message } = gone;
    this.options.ports.log.warn("an instance is given up", { job, service, instance, message });
    this.events.tell({ kind: "instance.state", severity: "error", job, about: instance, message });
    this.#lost.tell(job, gone);
  }

  // Decisions

  /** As `Looks` wants it. */
  #lookAt(book: JobBook, untilMs: number): number {
    const never = Number.POSITIVE_INFINITY;
    const settled = this.options.ports.clock.monotonicMs() >= this.#settledMs;
    if (!settled && !book.adopting && book.countsRoom) return never;
    if (!book.adopting && !hasEnded(book.state)) {
      for (const gone of book.adopted()) this.#lost.tell(book.job, gone);
      for (const action of decideJob(book.facts(this.#reports(), this.term, () => this.#holdings())))
        this.#runner.carryOut(book, action);
    }
    this.savepoints.look(book);
    this.#contents.look(book);
    if (!isRunning(book.state)) return never;
    this.#readLogs.look(book);
    return this.#regions?.look(book, untilMs) ?? never;
  }

  #reports(): WorkerReport[] {
    return [...this.#workers.values()].map(({ report }) => report);
  }

  /** Anew for each decision: the one before may have promised something. */
  #holdings(): readonly Holding[] {
    return holdingsOf(
      this.#reports(),
      [...this.#jobs.values()].flatMap((book) => book.promised()),
    );
  }

  /** A worker that refuses to start something is draining, follows another leader, or holds what its report did not show yet (W6). */
  #takesNothing(worker: string, code: string): boolean {
    if (code !== "MILL_COMMAND_REFUSED") return false;
    const known = this.#workers.get(worker);
    if (known !== undefined) this.#workers.set(worker, { ...known, report: { ...known.report, draining: true } });
    return true;
  }

  #send(book: JobBook | undefined, subject: string, frame: Uint8Array, then: Then = {}): void {
    if (this.#lease.holds()) this.#commands.send(book, subject, frame, then);
  }
}

function jobsOn(...reports: readonly (WorkerReport | undefined)[]): Set<string> {
  return new Set(
    reports.flatMap((report) => [...(report?.hosts ?? []), ...(report?.instances ?? [])].map(({ job }) => job)),
  );
}

/** Nothing that decisions rest on has changed. */
function saysTheSame(before: WorkerReport, now: WorkerReport): boolean {
  const [sequence, usage] = [0n, null];
  return isDeepStrictEqual({ ...before, sequence, usage }, { ...now, sequence, usage });
}
