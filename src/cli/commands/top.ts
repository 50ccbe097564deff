/**
 * `millrace top`: jobs, and of one its operators and instances, again every second, on a screen of its own. The terminal is as it was when
 * this ends, however it ends.
 */
import { MillraceError } from "../../base/errors.js";
import { realClock } from "../../base/real/ports.js";
import type { JobSummary } from "../../coordinator/describe.js";
import { type ApiClient, type ApiFlags, clientOf, part } from "../api/client.js";
import { jobsToShow, type TopFacts, topView } from "../api/top-view.js";
import type { Job } from "../api/views.js";
import { paintFor } from "../colours.js";

const LOOK_INTERVAL_MS = 1_000;
/** Another screen, and no cursor on it; and back. */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K";
const REST_OF_SCREEN = "\u001b[J";
const CTRL_C = "\u0003";
const TAB = "\t";

export async function topCommand(wanted: string | undefined, flags: ApiFlags): Promise<void> {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY)
    throw new MillraceError("MILL_CONFIG", "top needs a terminal. For programs there is `millrace jobs --json`.");
  const client = clientOf(flags);
  const paint = paintFor(stdout);
  // A first look before the screen changes: what is wrong with the address or the job is said as ever.
  let facts = await look(client, wanted);
  const draw = () => {
    const lines = topView(facts, { columns: stdout.columns, rows: stdout.rows }, paint);
    stdout.write(`${HOME}${lines.map((line) => `${line}${REST_OF_LINE}`).join("\r\n")}${REST_OF_SCREEN}`);
  };
  const ending = new AbortController();
  let shown = wanted ?? facts.job?.job;
  const onKey = (key: string) => {
    if (key === "q" || key === CTRL_C) ending.abort();
    if (key !== TAB) return;
    const names = jobsToShow(facts.jobs, facts.nowMs).map(({ job }) => job);
    shown = names[(names.indexOf(shown ?? "") + 1) % Math.max(1, names.length)];
  };
  const leave = () => {
    stdin.setRawMode(false);
    stdout.write(LEAVE);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => ending.abort());
  process.once("exit", leave);
  stdin.setRawMode(true).setEncoding("utf8").on("data", onKey).resume();
  stdout.on("resize", draw).write(ENTER);
  try {
    while (!ending.signal.aborted) {
      draw();
      await realClock.sleep(LOOK_INTERVAL_MS, ending.signal).catch(() => {});
      if (ending.signal.aborted) break;
      try {
        facts = await look(client, shown);
      } catch (error) {
        // The coordinator may be replaced meanwhile; what is known stays on the screen.
        facts = { ...facts, nowMs: realClock.nowMs(), error: MillraceError.from(error).message };
      }
    }
  } finally {
    stdout.off("resize", draw);
    stdin.off("data", onKey).pause();
    process.off("exit", leave);
    leave();
  }
}

async function look(client: ApiClient, wanted: string | undefined): Promise<TopFacts> {
  const jobs = await client.list<JobSummary>("/v1/jobs");
  const nowMs = realClock.nowMs();
  const name = wanted ?? jobsToShow(jobs, nowMs)[0]?.job;
  const job = name === undefined ? undefined : await client.get<Job>(`/v1/jobs/${part(name)}`);
  return { url: client.url, nowMs, jobs, job, error: undefined };
}
