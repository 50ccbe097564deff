/**
 * Whoever submitted the job: submits until that is acknowledged, then asks how it goes until it has ended. Where the scenario says
 * so, it stops the job at a savepoint and submits another that goes on from there, as `millrace savepoint create --stop` and
 * `submit --savepoint` do. Told that it is stopped, it relies on that; a job that finishes before that needs no other.
 */
import { isErrorCode, MillraceError } from "../../src/base/errors.js";
import type { JobId } from "../../src/base/ids.js";
import { clusterSubjects } from "../../src/bus/subjects.js";
import { jobKeys } from "../../src/storage/keys.js";
import {
  createSavepointFrame,
  describeJobFrame,
  type JobReport,
  type SavepointReport,
  submitJobFrame,
} from "../../src/wire/control.js";
import { decodeFrame } from "../../src/wire/frames.js";
import { JOB, NAMESPACE, type Node, type SimCluster } from "./sim-cluster.js";

const LOOK_INTERVAL_MS = 1_000;
/** A job that is cancelled was stopped at a savepoint: another goes on. */
const ENDED: ReadonlySet<string> = new Set(["FINISHED", "FAILED"]);

export class SimClient {
  /** The newest report of the newest job. */
  report: JobReport | undefined;
  /** The job that goes on from the savepoint; undefined: there is none. */
  restarted: JobId | undefined;
  #job: JobId = JOB;
  #submitted = false;
  #savepoints = 1;
  /** The first job is to be stopped, and nobody has said that it is. */
  #stopping = false;
  /** It was told so. */
  #stopped = false;

  constructor(
    private readonly cluster: SimCluster,
    private readonly node: Node,
  ) {}

  get hasEnded(): boolean {
    return this.report !== undefined && ENDED.has(this.report.state) && !this.#mustRestart;
  }

  get #mustRestart(): boolean {
    if (this.#job !== JOB || this.report === undefined) return false;
    return this.report.state === "CANCELLED" || (this.#stopped && ENDED.has(this.report.state));
  }

  start(): void {
    const { process } = this.node;
    process.later(0, "submits", () => void this.#follow());
    const { savepointMs } = this.cluster.scenario;
    if (savepointMs === undefined) return;
    process.later(savepointMs, "wants a savepoint", () => {
      this.#stopping = true;
    });
  }

  async #follow(): Promise<void> {
    const { clock } = this.node.process.ports;
    for (;;) {
      try {
        if (!this.#submitted) await this.#submit();
        if (this.#stopping && this.report?.state !== "CANCELLED") await this.#stop();
        await this.#look();
        if (this.#mustRestart) await this.#restart();
      } catch {
        // Nobody leads just now, the answer was lost, or the store cannot be reached: tried again.
      }
      await clock.sleep(LOOK_INTERVAL_MS);
    }
  }

  async #submit(): Promise<void> {
    await this.#ask(submitJobFrame.encode({ job: this.#job }));
    this.#submitted = true;
  }

  async #look(): Promise<void> {
    const answer = await this.#ask(describeJobFrame.encode({ job: this.#job }));
    if (answer.kind === "job-report") this.report = answer.header as JobReport;
  }

  async #stop(): Promise<void> {
    try {
      const answer = await this.#ask(createSavepointFrame.encode({ job: JOB, name: this.#savepoint, stop: true }));
      if (answer.kind !== "savepoint-report") return;
      const { state, code, message } = answer.header as SavepointReport;
      if (state === "FAILED") throw new MillraceError("MILL_JOB_FAILED", `${code}: ${message}`);
      if (state !== "DONE") return;
      this.#stopping = false;
      this.#stopped = true;
    } catch (error) {
      // Of a job that has ended, only how it ended is known to a coordinator that came later.
      if (MillraceError.is(error) && error.code === "MILL_JOB_UNKNOWN") return;
      // It was refused, or given up: the next one needs another name.
      if (MillraceError.is(error) && error.code === "MILL_JOB_FAILED") this.#savepoints += 1;
      throw error;
    }
  }

  async #restart(): Promise<void> {
    // Who was not told that it is there, because the coordinator died, finds the newest one by looking.
    const keys = jobKeys(JOB);
    while (this.#savepoints > 1 && (await this.node.store.head(keys.savepoint(this.#savepoint))) === undefined) {
      this.#savepoints -= 1;
    }
    this.#job = await this.cluster.prepareFrom(`${JOB}/${this.#savepoint}`, this.node);
    this.#stopping = false;
    this.restarted = this.#job;
    this.report = undefined;
    await this.#submit();
  }

  get #savepoint(): string {
    return `half-way-${this.#savepoints}`;
  }

  async #ask(frame: Uint8Array): Promise<{ readonly kind: string; readonly header: unknown }> {
    const answer = await this.node.bus.request(clusterSubjects(NAMESPACE).coordinatorCommand, frame);
    const decoded = decodeFrame(answer.payload);
    if (decoded.kind === "acknowledgement") {
      const { code, message } = decoded.header as { code: string; message: string };
      if (code === "MILL_JOB_UNKNOWN") this.#submitted = false; // a coordinator that came later does not know it yet
      if (code !== "") throw new MillraceError(isErrorCode(code) ? code : "MILL_JOB_FAILED", message);
    }
    return decoded;
  }
}
