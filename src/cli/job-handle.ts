/** A job as whoever submitted it sees it: its reports, its end, and a way to stop it. */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { JobId, Namespace } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { clusterSubjects } from "../bus/subjects.js";
import {
  acknowledgementFrame,
  cancelJobFrame,
  createSavepointFrame,
  describeJobFrame,
  type JobReport,
  type SavepointReport,
} from "../wire/control.js";
import { decodeFrame } from "../wire/frames.js";

export interface JobHandleOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly unit: string;
  close(): Promise<void>;
}

/** Time between two looks at a running job. */
const LOOK_INTERVAL_MS = 200;
/** Time that the coordinator may be away: the job goes on meanwhile, and the next coordinator takes it up. */
const AWAY_MS_MAX = 60_000;
const AWAY: ReadonlySet<string> = new Set(["MILL_BUS_NO_RESPONDER", "MILL_BUS_TIMEOUT"]);
const ENDED: ReadonlySet<string> = new Set(["CANCELLED", "FAILED", "FINISHED"]);

export class JobHandle {
  #subject: string;

  constructor(private readonly options: JobHandleOptions) {
    this.#subject = clusterSubjects(options.namespace).coordinatorCommand;
  }

  get job(): JobId {
    return this.options.job;
  }
  get unit(): string {
    return this.options.unit;
  }

  async report(): Promise<JobReport> {
    const answer = await this.options.bus.request(this.#subject, describeJobFrame.encode({ job: this.job }));
    const { kind, header } = decodeFrame(answer.payload);
    if (kind === "job-report") return header as JobReport;
    throw asError(header as { code: string; message: string });
  }

  /** @returns the last report of a job that FINISHED @throws the job's own error, or `MILL_JOB_FAILED` when cancelled */
  async ended(onReport: (report: JobReport) => void = () => {}): Promise<JobReport> {
    for (;;) {
      const report = await this.#onceThere(() => this.report());
      onReport(report);
      if (report.state === "FINISHED") return report;
      if (report.state === "FAILED") throw asError(report);
      if (report.state === "CANCELLED")
        throw new MillraceError(
          "MILL_JOB_FAILED",
          `job ${this.job} was cancelled; nothing of its open work was published.`,
        );
      await this.options.ports.clock.sleep(LOOK_INTERVAL_MS);
    }
  }

  async #onceThere<T>(ask: () => Promise<T>): Promise<T> {
    const { clock } = this.options.ports;
    const untilMs = clock.monotonicMs() + AWAY_MS_MAX;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!MillraceError.is(error) || !AWAY.has(error.code) || clock.monotonicMs() > untilMs) throw error;
        await clock.sleep(LOOK_INTERVAL_MS);
      }
    }
  }

  async cancel(): Promise<void> {
    const ask = () => this.options.bus.request(this.#subject, cancelJobFrame.encode({ job: this.job }));
    const answer = await this.#onceThere(ask);
    const { code, message } = acknowledgementFrame.decode(answer.payload).header;
    if (code !== "") throw asError({ code, message });
  }

  /**
   * Asks until the savepoint is there; a coordinator that is replaced meanwhile begins anew.
   * @param stop nothing that comes after it is published, and the job has ended when this resolves
   */
  async savepoint(name: string, stop: boolean): Promise<void> {
    const { bus, ports, job } = this.options;
    const question = createSavepointFrame.encode({ job, name, stop });
    for (;;) {
      const answer = await this.#onceThere(() => bus.request(this.#subject, question));
      const { kind, header } = decodeFrame(answer.payload);
      const { code, message } = header as { readonly code: string; readonly message: string };
      if (code !== "") throw asError({ code, message });
      if (kind === "savepoint-report" && (header as SavepointReport).state === "DONE") break;
      await ports.clock.sleep(LOOK_INTERVAL_MS);
    }
    while (stop && !ENDED.has((await this.#onceThere(() => this.report())).state)) {
      await ports.clock.sleep(LOOK_INTERVAL_MS);
    }
  }

  close(): Promise<void> {
    return this.options.close();
  }
}

function asError({ code, message }: { readonly code: string; readonly message: string }): MillraceError {
  return new MillraceError(isErrorCode(code) ? code : "MILL_JOB_FAILED", message);
}
