/**
 * `millrace logs`: the events of a job, as the coordinator that leads has them: its states, restarts of regions, states of instances,
 * savepoints. Not the lines that processes write: each has those on its own standard error.
 */
import { MillraceError } from "../../base/errors.js";
import { realClock } from "../../base/real/ports.js";
import { type ApiClient, clientOf, part } from "../api/client.js";
import { plain } from "../api/tables.js";
import { type Paint, paintFor } from "../colours.js";
import type { ListFlags } from "./jobs.js";

export interface LogsFlags extends ListFlags {
  readonly follow?: boolean;
}

interface Event {
  readonly event: string;
  readonly atMs: number;
  readonly kind: string;
  readonly severity: "info" | "warning" | "error";
  readonly job: string;
  readonly about: string;
  readonly code: string;
  readonly message: string;
}

/** Before every event there is. */
const BEGINNING = "0-0";
/** Pause before a stream that broke is asked for again: the coordinator may be replaced meanwhile. */
const AGAIN_MS = 1_000;
const AGAIN_MAX = 60;

/** @param job undefined: of the whole cluster */
export async function logsCommand(job: string | undefined, flags: LogsFlags): Promise<void> {
  const client = clientOf(flags);
  const paint = paintFor(process.stdout);
  const print = (event: Event) =>
    void process.stdout.write(flags.json ? `${JSON.stringify(event)}\n` : eventText(event, job === undefined, paint));
  // A list of a job that there is not would be empty, and a stream of it silent for ever; and a first look that fails is not tried again.
  await client.get(job === undefined ? "/v1/cluster" : `/v1/jobs/${part(job)}`);
  if (flags.follow) return await follow(client, job, print);
  for (const event of await client.list<Event>("/v1/events", { job })) print(event);
}

async function follow(client: ApiClient, job: string | undefined, print: (event: Event) => void): Promise<void> {
  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ending.abort());
  let last = BEGINNING;
  for (let failures = 0; !ending.signal.aborted; ) {
    try {
      for await (const { id, data } of client.events("/v1/events/stream", { job }, last, ending.signal)) {
        failures = 0;
        last = id;
        print(JSON.parse(data) as Event);
      }
    } catch (error) {
      if (ending.signal.aborted) return;
      const away = MillraceError.from(error).retry === "backoff";
      if (!away || ++failures > AGAIN_MAX) throw error;
    }
    await realClock.sleep(AGAIN_MS, ending.signal).catch(() => {});
  }
}

const COLOURS = { info: undefined, warning: "yellow", error: "red" } as const;

export function eventText(event: Event, ofCluster: boolean, paint: Paint): string {
  const { atMs, kind, severity, job, about, code, message } = event;
  const what = [kind, ofCluster ? job : "", about, code].filter((text) => text !== "").join(" ");
  const line = `${plain(what)}: ${plain(message)}`;
  const colour = COLOURS[severity];
  return `${paint("dim", new Date(atMs).toISOString())} ${colour === undefined ? line : paint(colour, line)}\n`;
}
