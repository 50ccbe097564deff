/** What a person at a terminal sees of a running job: a bar with the rate, the queue and the time left. */
import cliProgress from "cli-progress";
import type { JobReport } from "../wire/control.js";
import { countOf } from "./outputs.js";

export interface Progress {
  update(report: JobReport): void;
  stop(): void;
}

/** Without a terminal: a line now and then, so that a log shows life without being filled. */
const LINE_EVERY_MS = 5_000;

/** @param done rows of the report that are through; `report.rowsTotal` is what they count towards */
export function showProgress(unit: string, sinks: number, terminal: boolean): Progress {
  let startedMs = 0;
  const view = (report: JobReport) => {
    const done = Number(report.rowsWritten) / Math.max(sinks, 1) + Number(report.deadLetters);
    if (startedMs === 0 && done + Number(report.rowsRead) > 0) startedMs = performance.now();
    const seconds = startedMs === 0 ? 0 : (performance.now() - startedMs) / 1000;
    const queued = report.instances.reduce((sum, instance) => sum + instance.queuedRows, 0);
    const ready = report.instances.filter((instance) => instance.state === "READY").length;
    return {
      // Rows written are not rows read where operators make more or fewer of them.
      done: Math.min(Math.floor(done), Number(report.rowsRead)),
      total: Number(report.rowsTotal),
      rate: seconds >= 1 ? (done / seconds).toFixed(1) : "-",
      queued,
      phase: phaseOf(report, ready),
    };
  };
  return withWaiting(terminal ? bar(unit, view) : lines(unit, view));
}

/** An instance is without a place for a moment whenever the one before it has not quite gone: that is not worth a word. */
const WAITING_AFTER_MS = 2_000;

/** Says of each service, once, that an instance of it has no place, and why. */
function withWaiting(progress: Progress): Progress {
  const since = new Map<string, number>();
  const said = new Set<string>();
  return {
    update(report) {
      const waiting = report.instances.filter(({ state, worker }) => state === "REQUESTED" && worker === "");
      const services = new Map(waiting.map(({ service, message }) => [service, message]));
      for (const service of since.keys()) if (!services.has(service)) since.delete(service);
      for (const [service, message] of services) {
        const from = since.get(service) ?? performance.now();
        since.set(service, from);
        if (said.has(service) || performance.now() - from < WAITING_AFTER_MS) continue;
        said.add(service);
        const count = waiting.filter((instance) => instance.service === service).length;
        const wait = count === 1 ? "waits" : "wait";
        process.stderr.write(`  service ${service}: ${countOf(count, "instance")} ${wait}: ${message}\n`);
      }
      progress.update(report);
    },
    stop: () => progress.stop(),
  };
}

type View = (report: JobReport) => { done: number; total: number; rate: string; queued: number; phase: string };

function phaseOf(report: JobReport, ready: number): string {
  if (report.state === "SUBMITTED") return report.message === "" ? "placing" : report.message;
  if (report.state === "DEPLOYING") return report.message === "" ? "deploying" : report.message;
  if (report.instances.length > 0 && ready === 0 && report.state === "RUNNING")
    return report.instances.every(({ worker }) => worker === "") ? "waiting for room" : "loading models";
  if (report.state === "RUNNING")
    return report.instances.length > 0 ? `${countOf(ready, "instance")} ready` : "running";
  return report.state.toLowerCase();
}

function bar(unit: string, view: View): Progress {
  const one = new cliProgress.SingleBar({
    format: `  {bar} {value}/{of} ${unit}  {rate} ${unit}/s  queue {queued}  {phase}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 28,
    hideCursor: true,
    stream: process.stderr,
    etaBuffer: 20,
  });
  one.start(1, 0, { of: "?", rate: "-", queued: 0, phase: "starting" });
  return {
    update(report) {
      const { done, total, ...rest } = view(report);
      one.setTotal(Math.max(total, 1));
      one.update(done, { ...rest, of: shown(total) });
    },
    stop: () => one.stop(),
  };
}

/** Until the source has been listed nobody knows. */
function shown(total: number): string {
  return total === 0 ? "?" : String(total);
}

function lines(unit: string, view: View): Progress {
  let lastMs = 0;
  return {
    update(report) {
      const nowMs = performance.now();
      if (nowMs - lastMs < LINE_EVERY_MS) return;
      lastMs = nowMs;
      const { done, total, rate, queued, phase } = view(report);
      process.stderr.write(`  ${done}/${shown(total)} ${unit}  ${rate} ${unit}/s  queue ${queued}  ${phase}\n`);
    },
    stop() {},
  };
}
