/**
 * Submits over the HTTP API of a coordinator, where its address is known: neither NATS nor the object store has to be reached. What the store
 * has already is not sent again. The request carries a key, so that it can be sent again when its answer was lost.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { errorOfProblem } from "../api/problem.js";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { JobSummary } from "../coordinator/describe.js";
import { ApiClient, type ApiSettings, errorOf, part } from "./api/client.js";
import { countOf } from "./outputs.js";
import type { Submission } from "./submission.js";

export interface HttpSubmission {
  readonly savepoint?: string;
  readonly allowUnmatched: boolean;
  readonly overwrite: boolean;
}

/** Planning may take its time, and the store, too. */
const SUBMIT_MS_MAX = limits.planTimeoutMs + 60_000;
const TRIES_MAX = 5;
const PAUSE_MS = 2_000;
const LOOK_MS = 1_000;
/** Another try may help: nobody leads at the moment, or too much is being planned. */
const PASSING: ReadonlySet<string> = new Set([
  "MILL_NO_LEADER",
  "MILL_REQUEST_TOO_MANY",
  "MILL_COORDINATOR_UNREACHABLE",
]);
const ENDED: ReadonlySet<string> = new Set(["FINISHED", "FAILED", "CANCELLED"]);

/** @returns the job's id @throws {MillraceError} what the coordinator says; `MILL_COORDINATOR_UNREACHABLE` */
export async function submitOverHttp(
  submission: Submission,
  { savepoint, allowUnmatched, overwrite }: HttpSubmission,
  settings: ApiSettings,
  ports: Ports,
): Promise<string> {
  const { bundle, assets, options } = submission;
  const upload = { settings, ports };
  await uploadOnce(upload, `/v1/bundles/${bundle.sha256}`, "application/javascript", () => Buffer.from(bundle.code));
  for (const { sha256, path } of assets)
    await uploadOnce(upload, `/v1/assets/${sha256}`, "application/octet-stream", () => createReadStream(path));
  const body = {
    ...{ bundle: bundle.sha256, params: options.params, parallelism: options.parallelism, allowUnmatched, overwrite },
    assets: assets.map(({ service, name, source, sha256, sizeBytes }) => {
      return { service, name, source, sha256, sizeBytes: Number(sizeBytes) };
    }),
    ...(savepoint === undefined ? {} : { savepoint }),
  };
  const headers = { "content-type": "application/json", "idempotency-key": ports.random.id(32) };
  const signal = () => AbortSignal.timeout(SUBMIT_MS_MAX);
  const answer = await again(ports, () =>
    ask(settings, "/v1/jobs", { method: "POST", headers, body: JSON.stringify(body), signal: signal() }),
  );
  return ((await answer.json()) as { readonly job: string }).job;
}

/** Follows it to its end. @throws {MillraceError} the job's error */
export async function waitOverHttp(job: string, settings: ApiSettings, ports: Ports): Promise<void> {
  const client = new ApiClient(settings);
  for (;;) {
    const { state, code, message, rowsWritten, deadLetters } = await again(ports, () =>
      client.get<JobSummary>(`/v1/jobs/${part(job)}`),
    );
    if (state === "FAILED") throw errorOfProblem({ code, detail: message });
    if (state === "CANCELLED")
      throw new MillraceError("MILL_JOB_FAILED", `job ${job} was cancelled; nothing of its open work was published.`);
    if (ENDED.has(state)) {
      const bad = deadLetters > 0 ? `, ${countOf(deadLetters, "bad record")}` : "";
      process.stdout.write(`job ${job} finished: ${countOf(rowsWritten, "row")} written${bad}\n`);
      return;
    }
    await ports.clock.sleep(LOOK_MS);
  }
}

interface UploadOptions {
  readonly settings: ApiSettings;
  readonly ports: Ports;
}

async function uploadOnce(
  { settings, ports }: UploadOptions,
  path: string,
  media: string,
  open: () => Buffer | Readable,
): Promise<void> {
  if (await isThere(settings, path)) return;
  await again(ports, async () => {
    const bytes = open();
    const body = bytes instanceof Readable ? Readable.toWeb(bytes) : bytes;
    await ask(settings, path, { method: "PUT", headers: { "content-type": media }, body, duplex: "half" });
  });
}

async function isThere(settings: ApiSettings, path: string): Promise<boolean> {
  try {
    await ask(settings, path, { method: "GET" });
    return true;
  } catch (error) {
    if (MillraceError.is(error) && error.code === "MILL_REQUEST_NOT_FOUND") return false;
    throw error;
  }
}

async function again<T>(ports: Ports, act: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await act();
    } catch (error) {
      if (!MillraceError.is(error) || !PASSING.has(error.code) || tries === TRIES_MAX) throw error;
      await ports.clock.sleep(PAUSE_MS);
    }
  }
}

interface Asked {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: NonNullable<RequestInit["body"]> | ReturnType<typeof Readable.toWeb>;
  readonly signal?: AbortSignal;
  readonly duplex?: "half";
}

async function ask({ url, token }: ApiSettings, path: string, asked: Asked): Promise<Response> {
  const headers = { ...asked.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  let answer: Response;
  try {
    answer = await fetch(`${url}${path}`, { ...asked, headers, redirect: "error" } as RequestInit);
  } catch (cause) {
    const why = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
    const message = `no coordinator answers at ${url} (${why}). Start one with \`millrace coordinator\`, or name it with --url or MILLRACE_URL.`;
    throw new MillraceError("MILL_COORDINATOR_UNREACHABLE", message, { url }, { cause });
  }
  if (answer.ok) return answer;
  throw errorOf((await answer.json().catch(() => ({}))) as Parameters<typeof errorOf>[0], { url, token });
}
