/** Carries out what `job.ts` decides for a job: commands to workers and hosts, and what its book has to know of them. */
import type { HostId, InstanceId, Namespace, WorkerId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import { type ClusterSubjects, clusterSubjects, jobSubjects } from "../bus/subjects.js";
import {
  deployEnumeratorFrame,
  startHostFrame,
  startInstanceFrame,
  stopHostFrame,
  stopInstanceFrame,
} from "../wire/control.js";
import { isPassing } from "./commands.js";
import { type Events, jobState } from "./events.js";
import { hasEnded, type JobAction } from "./job.js";
import type { JobBook } from "./job-book.js";
import { NOTHING } from "./placement.js";
import type { Then } from "./region-runner.js";

export interface JobRunnerOptions {
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly events: Events;
  term(): bigint;
  send(book: JobBook, subject: string, frame: Uint8Array, then?: Then): void;
  look(book: JobBook): void;
  /** Writes down what the next leader has to know of the job; tried, and no more. */
  noteSoon(book: JobBook): void;
  /** Writes down how it ended, until that is done. */
  keepEnd(book: JobBook): void;
  /** A worker has refused to start something. @returns whether that says that it takes nothing now */
  takesNothing(worker: string, code: string): boolean;
}

export class JobRunner {
  #subjects: ClusterSubjects;

  constructor(private readonly options: JobRunnerOptions) {
    this.#subjects = clusterSubjects(options.namespace);
  }

  carryOut(book: JobBook, action: JobAction): void {
    const { namespace, ports, events, send, look, noteSoon, keepEnd, takesNothing } = this.options;
    const { job } = book;
    const base = { term: this.options.term(), job };
    const toWorker = (worker: string) => this.#subjects.workerCommand(worker as WorkerId);
    switch (action.kind) {
      case "enter":
        book.enter(action.state, action.error);
        if (hasEnded(action.state)) keepEnd(book);
        else noteSoon(book);
        ports.log.info("job state", { job, state: action.state, ...action.error });
        events.tell(jobState(job, action.state, action.error));
        look(book);
        return;
      case "wait":
        book.waitFor(action.message);
        return;
      case "start-host": {
        const { host, worker, group, gpus } = action;
        book.expectHost(host, worker, group, gpus);
        send(book, toWorker(worker), startHostFrame.encode({ ...base, host, group, gpus }), {
          refused: (code, message) => {
            if (takesNothing(worker, code)) book.onHostRefused(host, message);
            else if (!isPassing(code)) book.onRefused(code, message);
          },
        });
        return;
      }
      case "stop-host":
        send(book, toWorker(action.host.worker), stopHostFrame.encode({ ...base, host: action.host.host }));
        return;
      case "deploy-enumerator": {
        const { source, host, attempt } = action;
        book.expectEnumerator(source, host, attempt);
        const subject = jobSubjects(namespace, job).hostCommand(host as HostId);
        const done = () => book.onEnumerator(source, attempt);
        send(book, subject, deployEnumeratorFrame.encode({ ...base, source, attempt }), { done });
        return;
      }
      case "start-instance": {
        const { service, instance, worker, granted } = action;
        book.expectInstance({ service, instance: instance as InstanceId, worker, granted });
        noteSoon(book);
        send(book, toWorker(worker), startInstanceFrame.encode({ ...base, service, instance, granted }), {
          refused: (code, message) => {
            // That its worker takes nothing says nothing about the service (J5).
            book.onInstanceRefused(instance, takesNothing(worker, code) ? "MILL_WORKER_LOST" : code, message);
          },
        });
        return;
      }
      case "await-room": {
        const { service, instance, reason } = action;
        book.expectInstance({ service, instance, worker: "", granted: NOTHING }, reason);
        return;
      }
      case "retire":
        book.wish((wishes) => wishes.retire(action.instance));
        noteSoon(book);
        return;
      case "stop-instance": {
        const { service, instance, worker } = action.instance;
        if (worker === "") book.forgetUnplaced(instance);
        else send(book, toWorker(worker), stopInstanceFrame.encode({ ...base, service, instance }));
      }
    }
  }
}
