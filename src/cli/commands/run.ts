/** `millrace run`: a topology in this process. */
import type { Command } from "commander";
import { realPorts } from "../../base/real/ports.js";
import { runEmbedded } from "../embedded.js";
import { type LogLevel, openLog } from "../logging.js";
import { cacheFolder, s3Settings } from "../settings.js";
import { readSubmission } from "../submission.js";
import { watchJob } from "../watch-job.js";

export interface RunFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly overwrite?: boolean;
}

export async function runCommand(file: string, flags: RunFlags, command: Command): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const options = { params: flags.param, parallelism: flags.parallelism, cache: cacheFolder(process.env) };
  const submission = await readSubmission(file, options);
  const job = await runEmbedded(submission, {
    overwrite: flags.overwrite ?? false,
    outputRoot: process.cwd(),
    s3: s3Settings(process.env),
    ports,
  });
  await watchJob(job, submission.topology, process.cwd());
}
