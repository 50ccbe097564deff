/**
 * What people may change of a job that runs: whether it goes on, how many instances its services have, and which of them are to go or to
 * get no requests. A change is acknowledged when the next leader would know of it, too.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace, ServiceId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { jobSubjects } from "../bus/subjects.js";
import { type JobWishes, serviceOrdersFrame } from "../wire/control.js";
import type { Events } from "./events.js";
import { hasEnded } from "./job.js";
import type { JobBook } from "./job-book.js";
import type { Wishes } from "./wishes.js";

export interface JobControlOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly events: Events;
  term(): bigint;
  /** @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  book(job: string): JobBook;
  /** Writes down what the next leader has to know. */
  note(book: JobBook): Promise<void>;
  look(book: JobBook): void;
}

export interface AskedCheckpoint {
  readonly region: string;
  readonly after: number;
}

/** Above what anyone has of one service; a slip of the hand should not start more processes than a cluster can bear. */
export const INSTANCES_MAX = 1_000;

export class JobControl {
  #orders = 0n;

  constructor(private readonly options: JobControlOptions) {}

  /** @throws {MillraceError} `MILL_JOB_UNKNOWN` */
  wishes(job: string): JobWishes {
    return this.options.book(job).wishes;
  }

  /** Its regions rest, each behind a checkpoint that holds and has published what it had. */
  pause(job: string, revision?: bigint): Promise<JobWishes> {
    return this.#change(job, revision, "paused", (wishes) => wishes.pause(true));
  }

  resume(job: string, revision?: bigint): Promise<JobWishes> {
    const { stopping } = this.#open(job).wishes;
    if (stopping) throw conflict(`job ${job} is being stopped, and does not go on.`);
    return this.#change(job, revision, "goes on", (wishes) => wishes.pause(false));
  }

  /** As a pause, and then it is cancelled. */
  stop(job: string, revision?: bigint): Promise<JobWishes> {
    return this.#change(job, revision, "stops behind its next checkpoints", (wishes) => wishes.stop());
  }

  /**
   * Each region that is not over takes a checkpoint, due or not. Nothing is noted: a leader that dies forgets it.
   * @returns where the log of each stands: its checkpoint comes behind it
   */
  checkpoint(job: string): AskedCheckpoint[] {
    const book = this.#open(job);
    if (book.wishes.paused) throw conflict(`job ${job} is paused: its regions take no checkpoints. Resume it first.`);
    const regions = [...book.regions.values()].filter(({ over }) => !over);
    if (regions.some(({ held }) => held)) {
      throw conflict(`a savepoint of job ${job} is being taken: its regions take no others meanwhile. Wait for it.`);
    }
    // What a savepoint has asked for is not asked for anew: it takes the first that comes.
    for (const region of regions) if (!region.wanted) region.wantCheckpoint();
    this.options.look(book);
    return regions.map(({ region, newest }) => ({ region, after: Number(newest) }));
  }

  /** @param instances 0 to `INSTANCES_MAX` */
  scale(job: string, service: string, instances: number, revision?: bigint): Promise<JobWishes> {
    this.#demandService(job, service);
    const what = `service ${service} is to have ${instances} instances`;
    return this.#change(job, revision, what, (wishes) => wishes.scale(service, instances));
  }

  /** It finishes or hands over what it has, and ends; another takes its place where one is missing. */
  drain(job: string, service: string, instance: string): Promise<JobWishes> {
    this.#demandInstance(job, service, instance);
    return this.#change(job, undefined, `instance ${instance} drains`, (wishes) => wishes.retire(instance));
  }

  /** It gets no requests, and is kept as it is. */
  quarantine(job: string, service: string, instance: string, on: boolean): Promise<JobWishes> {
    this.#demandInstance(job, service, instance);
    const what = `instance ${instance} ${on ? "gets no requests" : "gets requests again"}`;
    return this.#change(job, undefined, what, (wishes) => wishes.quarantine(instance, on));
  }

  /** On every heartbeat: a lost order is made good by the next. */
  repeatOrders(books: Iterable<JobBook>): void {
    for (const book of books) {
      book.forgetWishes();
      if (book.wishes.quarantined.length > 0 && !hasEnded(book.state)) this.#order(book);
    }
  }

  async #change(
    job: string,
    revision: bigint | undefined,
    what: string,
    change: (wishes: Wishes) => void,
  ): Promise<JobWishes> {
    const book = this.#open(job);
    const before = book.wishes.revision;
    book.wish((wishes) => {
      wishes.demand(revision);
      change(wishes);
    });
    await this.options.note(book);
    if (book.wishes.revision !== before) {
      this.options.events.tell({ kind: "job.changed", job, message: what });
      this.#order(book);
      this.options.look(book);
    }
    return book.wishes;
  }

  #order(book: JobBook): void {
    const { bus, ports, namespace } = this.options;
    for (const service of book.services) {
      const quarantined = book.wishes.quarantined.filter((instance) => book.serviceOf(instance) === service);
      const term = this.options.term();
      const frame = serviceOrdersFrame.encode({ term, sequence: ++this.#orders, service, quarantined });
      const subject = jobSubjects(namespace, book.job as JobId).orders(service as ServiceId);
      void publishLossy(bus, ports.log, subject, frame);
    }
  }

  #open(job: string): JobBook {
    const book = this.options.book(job);
    if (!hasEnded(book.state) && book.state !== "FAILING" && book.state !== "COMMITTING") return book;
    throw conflict(`job ${job} is ${book.state}: nothing of it can be changed any more.`);
  }

  #demandService(job: string, service: string): void {
    const { services } = this.#open(job);
    if (services.includes(service)) return;
    const message = `job ${job} has no service "${service}". Its services: ${services.join(", ") || "none"}.`;
    throw new MillraceError("MILL_REQUEST_NOT_FOUND", message);
  }

  #demandInstance(job: string, service: string, instance: string): void {
    this.#demandService(job, service);
    if (this.#open(job).serviceOf(instance) === service) return;
    const message = `service "${service}" of job ${job} has no instance "${instance}" that is there.`;
    throw new MillraceError("MILL_REQUEST_NOT_FOUND", message);
  }
}

function conflict(message: string): MillraceError {
  return new MillraceError("MILL_REQUEST_CONFLICT", message);
}
