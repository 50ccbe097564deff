/** The HTTP API, as the page uses it. Types are the coordinator's own; what is a 64-bit number there is a plain one in JSON. */
import type * as told from "../src/coordinator/describe.js";
import type { ClusterEvent, JobWishes as Wishes } from "../src/wire/control.js";

type Json<T> = T extends bigint
  ? number
  : T extends readonly (infer U)[]
    ? Json<U>[]
    : T extends object
      ? { [K in keyof T]: Json<T[K]> }
      : T;

export type JobSummary = Json<told.JobSummary>;
export type Job = Omit<Json<told.JobDetail>, "actors">;
export type Operator = Json<told.OperatorDetail>;
export type Edge = Json<told.EdgeDetail>;
export type Actor = Json<told.ActorDetail>;
export type Region = Json<told.RegionDetail>;
export type Checkpoint = Json<told.CheckpointDetail>;
export type Service = Json<told.ServiceDetail>;
export type Instance = Json<told.InstanceDetail>;
export type Worker = Json<told.WorkerDetail>;
export type Sample = Json<told.JobSample>;
export type Event = Json<ClusterEvent>;
export type JobWishes = Json<Wishes>;

export interface Savepoint {
  readonly job: string;
  readonly name: string;
  readonly topology: string;
  readonly createdMs: number;
  readonly actors: number;
  readonly bytes: number;
}

export interface Page<T> {
  readonly items: T[];
  readonly next?: string;
}

/** Why a request was refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const TOKEN = "millrace-token";
/** Kept for this tab alone. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value: string) => (value === "" ? sessionStorage.removeItem(TOKEN) : sessionStorage.setItem(TOKEN, value)),
};

const TIMEOUT_MS = 15_000;
/** A topology is bundled and planned before its job has a name. */
const CHANGE_TIMEOUT_MS = 60_000;

function headers(): Record<string, string> {
  return token.get() === "" ? {} : { authorization: `Bearer ${token.get()}` };
}

export async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(method === "GET" ? TIMEOUT_MS : CHANGE_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { ...headers(), ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Refused(0, "UNREACHABLE", "The coordinator does not answer. This page tries again by itself.");
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
  throw new Refused(response.status, problem.code ?? "", problem.detail ?? `HTTP ${response.status}`);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request("GET", path, undefined, signal)).json() as Promise<T>;
}

/** Every page of a list. */
export async function all<T>(path: string, signal?: AbortSignal): Promise<T[]> {
  const items: T[] = [];
  for (let after = ""; ; ) {
    const page = await get<Page<T>>(`${path}${path.includes("?") ? "&" : "?"}limit=1000${after}`, signal);
    items.push(...page.items);
    if (page.next === undefined) return items;
    after = `&after=${encodeURIComponent(page.next)}`;
  }
}

export const post = (path: string, body?: unknown) => request("POST", path, body);
export const patch = (path: string, body: unknown) => request("PATCH", path, body);

export const jobPath = (job: string) => `/v1/jobs/${encodeURIComponent(job)}`;

/**
 * Server-sent events through `fetch`: the browser's own `EventSource` sends no access token.
 * Comes again after a break with the last id that was seen; ends with `signal`.
 */
export async function follow(path: string, onEvent: (event: Event) => void, signal: AbortSignal): Promise<void> {
  let last = "";
  while (!signal.aborted) {
    try {
      const response = await fetch(path, {
        headers: { ...headers(), ...(last === "" ? {} : { "last-event-id": last }) },
        signal,
      });
      if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
      let rest = "";
      for await (const text of texts(response.body)) {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (data === undefined) continue;
          const event = JSON.parse(data) as Event;
          last = event.event;
          onEvent(event);
        }
      }
    } catch {
      // below
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)
    .getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
