/** Follows a job at the terminal to its end, says what came of it, and stops it on Ctrl-C. */
import { MillraceError } from "../base/errors.js";
import { countsText } from "../services/call-counts.js";
import type { Topology } from "../topology/nodes.js";
import type { JobReport } from "../wire/control.js";
import type { JobHandle } from "./job-handle.js";
import { countOf, outputsOf } from "./outputs.js";
import { showProgress } from "./progress.js";

/** @throws the job's error; the handle is closed in any case */
export async function watchJob(job: JobHandle, topology: Topology, outputRoot: string): Promise<JobReport> {
  const sinks = topology.operators.filter((node) => node.kind === "sink").length;
  const progress = showProgress(topology.unit, sinks, process.stderr.isTTY === true);
  const cancel = () => {
    process.stderr.write("\nstopping; nothing of the open work is published\n");
    // Whoever signals again ends this process, as ever; the job then goes on.
    job.cancel().catch((error: unknown) => {
      process.stderr.write(`the job was not stopped: ${MillraceError.from(error).message}\n`);
    });
  };
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    const report = await job.ended((now) => progress.update(now));
    progress.update(report);
    progress.stop();
    process.stdout.write(summary(job, report, topology, outputRoot));
    return report;
  } finally {
    progress.stop();
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
    await job.close();
  }
}

export function summary(job: JobHandle, report: JobReport, topology: Topology, outputRoot: string): string {
  const seconds = Number(report.finishedMs - report.startedMs) / 1000;
  const places = outputsOf(topology, outputRoot);
  const deadLetters = places.pop()!;
  const { rowsRead, rowsWritten } = report;
  const unit = rowsRead === 1n ? topology.unit.replace(/s$/, "") : topology.unit;
  const by = places.length > 1 ? ` by ${places.length} sinks` : "";
  // Both: one is not the other where operators make more or fewer of them, and bad records may be of either kind.
  const done = `${rowsRead} ${unit} read, ${countOf(rowsWritten, "row")} written${by}`;
  const lines = [
    `job ${job.job} finished: ${done} in ${seconds.toFixed(1)} s`,
    ...places.map(({ operator, url }) => `  ${operator.padEnd(12)} ${url}`),
  ];
  for (const counts of report.services) {
    const text = countsText(counts);
    if (text !== "") lines.push(`  service ${counts.service}: ${text}`);
  }
  if (report.deadLetters > 0n)
    lines.push(`  ${countOf(report.deadLetters, "bad record")}, each with its reason: ${deadLetters.url}`);
  return `${lines.join("\n")}\n`;
}
