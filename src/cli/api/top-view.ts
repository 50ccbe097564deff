/** One screen of `millrace top`. Pure: what is known, and the size of the screen, to lines. */
import type * as told from "../../coordinator/describe.js";
import type { Paint } from "../colours.js";
import { countOf } from "../outputs.js";
import { duration, plain, rate, table, time } from "./tables.js";
import { INSTANCE_COLUMNS, isOver, type Job, jobsText, OPERATOR_COLUMNS } from "./views.js";

export interface TopFacts {
  readonly url: string;
  readonly nowMs: number;
  readonly jobs: readonly told.JobSummary[];
  /** The one that is shown closely. */
  readonly job: Job | undefined;
  /** Why the last look failed; what is shown is from before. */
  readonly error: string | undefined;
}

export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** Jobs that have ended are shown for so long. */
const OVER_MS_MAX = 600_000;
/** Lines of the list of jobs: below it, one of them is shown closely. */
const JOBS_MAX = 8;

/** Newest first, those that run before those that have ended. */
export function jobsToShow(jobs: readonly told.JobSummary[], nowMs: number): told.JobSummary[] {
  return jobs
    .filter((job) => !isOver(job) || nowMs - job.finishedMs < OVER_MS_MAX)
    .sort((a, b) => Number(isOver(a)) - Number(isOver(b)) || b.submittedMs - a.submittedMs);
}

/** As many lines as fit, each as wide as fits. */
export function topView(facts: TopFacts, screen: Screen, paint: Paint): string[] {
  const { url, nowMs, job, error } = facts;
  const jobs = jobsToShow(facts.jobs, nowMs);
  const head = `millrace top  ${url}  ${time(nowMs)}  ${countOf(jobs.length, "job")}   q: quit, tab: next job`;
  const lines: string[] = [styled(paint, "inverse", head.padEnd(screen.columns), screen)];
  if (error !== undefined) lines.push(styled(paint, "red", plain(error), screen));
  const [title = "", ...rows] = jobsText(jobs.slice(0, JOBS_MAX)).trimEnd().split("\n");
  lines.push(styled(paint, "bold", title, screen));
  for (const row of rows) {
    const shown = job !== undefined && row.split(" ")[0] === job.job;
    lines.push(shown ? styled(paint, "bold", row, screen) : cut(row, screen));
  }
  if (job !== undefined) lines.push(...jobLines(job, nowMs, screen, paint));
  return lines.slice(0, Math.max(1, screen.rows));
}

function jobLines(job: Job, nowMs: number, screen: Screen, paint: Paint): string[] {
  const { state, startedMs, finishedMs, unit } = job;
  const took = finishedMs === 0 ? ` for ${duration(nowMs - startedMs)}` : ` after ${duration(finishedMs - startedMs)}`;
  const rates = `${rate(job.rowsReadPerSecond)} ${unit}/s read, ${rate(job.rowsWrittenPerSecond)} rows/s written`;
  const block = (text: string): string[] => {
    const [title = "", ...rows] = text.trimEnd().split("\n");
    return ["", styled(paint, "bold", title, screen), ...rows.map((row) => cut(row, screen))];
  };
  const instances = job.services.flatMap((service) => service.instances);
  return [
    "",
    styled(
      paint,
      state === "FAILED" ? "red" : "green",
      plain(`${job.job}  ${state}${startedMs === 0 ? "" : took}  ${rates}`),
      screen,
    ),
    ...block(table(OPERATOR_COLUMNS, job.operators, "no operators")),
    ...(instances.length === 0 ? [] : block(table(INSTANCE_COLUMNS, instances, ""))),
  ];
}

/** Cut before it is painted: a colour has no width. */
function styled(paint: Paint, colour: Parameters<Paint>[0], text: string, screen: Screen): string {
  return paint(colour, cut(text, screen));
}

function cut(text: string, { columns }: Screen): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}
