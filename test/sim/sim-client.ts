/** Whoever submitted the job: submits until that is acknowledged, then asks how it goes until it has ended. */
import { MillraceError } from "../../src/base/errors.js";
import { clusterSubjects } from "../../src/bus/subjects.js";
import { describeJobFrame, type JobReport, submitJobFrame } from "../../src/wire/control.js";
import { decodeFrame } from "../../src/wire/frames.js";
import { JOB, NAMESPACE, type Node } from "./sim-cluster.js";

const LOOK_INTERVAL_MS = 1_000;
const ENDED: ReadonlySet<string> = new Set(["FINISHED", "FAILED", "CANCELLED"]);

export class SimClient {
  /** The newest report. */
  report: JobReport | undefined;
  #submitted = false;

  constructor(private readonly node: Node) {}

  get hasEnded(): boolean {
    return this.report !== undefined && ENDED.has(this.report.state);
  }

  start(): void {
    this.node.process.later(0, "submits", () => void this.#follow());
  }

  async #follow(): Promise<void> {
    const { clock } = this.node.process.ports;
    for (;;) {
      try {
        if (!this.#submitted) await this.#submit();
        await this.#look();
      } catch {
        // Nobody leads just now, or the answer was lost: asked again.
      }
      await clock.sleep(LOOK_INTERVAL_MS);
    }
  }

  async #submit(): Promise<void> {
    await this.#ask(submitJobFrame.encode({ job: JOB }));
    this.#submitted = true;
  }

  async #look(): Promise<void> {
    const answer = await this.#ask(describeJobFrame.encode({ job: JOB }));
    if (answer.kind === "job-report") this.report = answer.header as JobReport;
  }

  async #ask(frame: Uint8Array): Promise<{ readonly kind: string; readonly header: unknown }> {
    const answer = await this.node.bus.request(clusterSubjects(NAMESPACE).coordinatorCommand, frame);
    const decoded = decodeFrame(answer.payload);
    if (decoded.kind === "acknowledgement") {
      const { code, message } = decoded.header as { code: string; message: string };
      if (code === "MILL_JOB_UNKNOWN") this.#submitted = false; // a coordinator that came later does not know it yet
      if (code !== "") throw new MillraceError("MILL_JOB_FAILED", `${code}: ${message}`);
    }
    return decoded;
  }
}
