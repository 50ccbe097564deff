/** `millrace run`: a topology in this process. */
import { hostname } from "node:os";
import type { Command } from "commander";
import type { Ports } from "../../base/ports.js";
import { realPorts } from "../../base/real/ports.js";
import { openStore } from "../../storage/open-store.js";
import { runEmbedded } from "../embedded.js";
import { type HttpFlags, httpSettings } from "../http-api.js";
import { type LogLevel, openLog } from "../logging.js";
import { outputsOf, withOutputs } from "../outputs.js";
import { type Beginning, beginFrom } from "../savepoints.js";
import { cacheFolder, clusterSettings, s3Settings } from "../settings.js";
import { readSubmission, type Submission } from "../submission.js";
import { withTelemetry } from "../telemetry.js";
import { watchJob } from "../watch-job.js";

export interface RunFlags extends HttpFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly overwrite?: boolean;
  readonly savepoint?: string;
  readonly allowUnmatched?: boolean;
  /** That holds the savepoint. */
  readonly store?: string;
}

export async function runCommand(file: string, flags: RunFlags, command: Command): Promise<void> {
  const logLevel = command.optsWithGlobals().logLevel as LogLevel;
  const log = openLog(logLevel);
  const id = `${hostname()}-${process.pid}`;
  const telemetry = await withTelemetry(realPorts(log), process.env, { role: "embedded", id });
  try {
    await run(file, flags, telemetry.ports, logLevel);
  } finally {
    await telemetry.close();
  }
}

async function run(file: string, flags: RunFlags, ports: Ports, logLevel: LogLevel): Promise<void> {
  const options = { params: flags.param, parallelism: flags.parallelism, cache: cacheFolder(process.env) };
  const submission = await readSubmission(file, options);
  const { topology } = submission;
  const s3 = s3Settings(process.env);
  const outputRoot = process.cwd();
  // Where a coordinator of this machine listens is nothing to a run on it.
  const http = httpSettings(flags, { ...process.env, MILLRACE_HTTP: "" }, "off");
  const beginning = await beginningOf(submission, flags, ports);
  await withOutputs(outputsOf(topology, outputRoot), { overwrite: flags.overwrite ?? false, s3, ports }, async () => {
    const job = await runEmbedded(submission, {
      outputRoot,
      s3,
      ports,
      logLevel,
      ...(beginning === undefined ? {} : { beginning }),
      ...(http === undefined ? {} : { http }),
    });
    await watchJob(job, topology, outputRoot);
  });
}

async function beginningOf(submission: Submission, flags: RunFlags, ports: Ports): Promise<Beginning | undefined> {
  if (flags.savepoint === undefined) return undefined;
  const { store: url, s3 } = clusterSettings(flags, process.env);
  const store = openStore(url, { s3 }, ports);
  try {
    return await beginFrom(flags.savepoint, submission, store, flags.allowUnmatched ?? false);
  } finally {
    await store.close();
  }
}
