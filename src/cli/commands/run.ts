/** `millrace run`: a topology in this process. */
import type { Command } from "commander";
import { realPorts } from "../../base/real/ports.js";
import { runEmbedded } from "../embedded.js";
import { type LogLevel, openLog } from "../logging.js";
import { outputsOf, withOutputs } from "../outputs.js";
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
  const { topology } = submission;
  const s3 = s3Settings(process.env);
  const outputRoot = process.cwd();
  await withOutputs(outputsOf(topology, outputRoot), { overwrite: flags.overwrite ?? false, s3, ports }, async () => {
    const job = await runEmbedded(submission, { outputRoot, s3, ports });
    await watchJob(job, topology, outputRoot);
  });
}
