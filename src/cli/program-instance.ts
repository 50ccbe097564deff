/**
 * An instance of a service whose handler is a program in another language: starts it, tells it who it is, and ends when it
 * ends. The program speaks with clients itself; nothing of a request passes through here.
 *
 * The program's standard input stays open and empty as long as this process lives: its end tells the program to end too.
 */
import { spawn } from "node:child_process";
import { MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { jobSubjects } from "../bus/subjects.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { encodeSchema } from "../wire/arrow.js";
import { packageSchemas } from "../wire/schema-registry.js";
import type { NatsSettings } from "./settings.js";

/** The variable that holds all that the program is told, as JSON. It may hold a password: it is on no command line. */
const VARIABLE = "MILLRACE_INSTANCE";

export interface ProgramOptions {
  readonly command: readonly string[];
  readonly nats: NatsSettings | undefined;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly instance: InstanceId;
  readonly service: Service;
  /** Default: `limits.drainProgramMs`. */
  readonly drainMs?: number;
}

/**
 * @param fail told when the program ends by itself, whatever its status
 * @returns how to stop it: as asked, then, after `drainMs`, by force
 */
export function startProgram(options: ProgramOptions, fail: (cause: unknown) => void): () => Promise<void> {
  const { service, instance, nats } = options;
  if (nats === undefined) {
    throw new MillraceError(
      "MILL_CONFIG",
      `service "${service.id}": its handler is a program that speaks over NATS, and this job runs without. Run it on a cluster, with millrace submit.`,
      { service: service.id },
    );
  }
  const [program = "", ...args] = options.command;
  const child = spawn(program, args, {
    // Its last words go where ours go: to the worker, and from there into the reason that the coordinator shows.
    stdio: ["pipe", "inherit", "inherit"],
    env: { ...process.env, [VARIABLE]: JSON.stringify(settingsOf(options, nats)) },
  });
  let stopping = false;
  const ended = new Promise<void>((resolve) => {
    const end = (what: string, cause?: unknown) => {
      resolve();
      if (stopping) return;
      const text = `instance ${instance}: its program (${program}) ${what}`;
      fail(new MillraceError("MILL_SERVICE_FAILED", text, { service: service.id }, { cause }));
    };
    child.once("error", (cause) => end(`cannot be run: ${cause.message}`, cause));
    child.once("exit", (status, signal) => end(`ended with ${signal ?? `status ${status}`}`));
  });
  return async () => {
    stopping = true;
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), options.drainMs ?? limits.drainProgramMs);
    await ended;
    clearTimeout(force);
  };
}

function settingsOf({ service, instance, namespace, job }: ProgramOptions, nats: NatsSettings) {
  const subjects = jobSubjects(namespace, job);
  const message = (columns: Service["input"]) => Buffer.from(encodeSchema(arrowSchema(columns))).toString("base64");
  return {
    nats: {
      servers: nats.servers,
      ...nats.credentials,
      ...nats.tls,
      ...(nats.inbox !== undefined && { inbox: nats.inbox }),
    },
    service: service.id,
    instance,
    subjects: {
      request: subjects.instanceRequest(service.id, instance),
      load: subjects.load(service.id),
      ask: subjects.ask(service.id),
      /** The client's id goes behind it. */
      answer: subjects.answer(""),
    },
    /** Arrow IPC schema messages, base64. */
    input: message(service.input),
    output: message(service.output),
    schemas: packageSchemas(),
    heartbeatMs: limits.heartbeatIntervalMs,
    queueRowsMax: service.queue.rowsMax,
  };
}
