/** `millrace dev`: `run`, again whenever the topology or what it imports has changed. */
import { statSync } from "node:fs";
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.js";
import { realPorts } from "../../base/real/ports.js";
import { paintFor } from "../colours.js";
import { errorText, Rounds } from "../dev/rounds.js";
import { watchInputs } from "../dev/watch-inputs.js";
import { type LogLevel, openLog } from "../logging.js";
import { countOf } from "../outputs.js";
import { cacheFolder, s3Settings } from "../settings.js";
import { readSubmission } from "../submission.js";

export interface DevFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly overwrite?: boolean;
  readonly keepState?: boolean;
}

export async function devCommand(file: string, flags: DevFlags, command: Command): Promise<void> {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    throw new MillraceError("MILL_TOPOLOGY_LOAD", `there is no file ${file}. Give the path of a topology file.`, {
      file,
    });
  const logLevel = command.optsWithGlobals().logLevel as LogLevel;
  const ports = realPorts(openLog(logLevel));
  const paint = paintFor(process.stderr);
  const say = (text: string) => {
    const at = new Date(ports.clock.nowMs()).toTimeString().slice(0, 8);
    process.stderr.write(`${paint("dim", at)} ${text}\n`);
  };
  const rounds = new Rounds({
    ports,
    logLevel,
    s3: s3Settings(process.env),
    outputRoot: process.cwd(),
    overwrite: flags.overwrite ?? false,
    keepState: flags.keepState ?? false,
    say,
  });
  // Code of the topology runs in this process, and may throw where nobody waits for it.
  process.on("uncaughtException", (error) => say(`${paint("red", "an error that nothing caught")}: ${error.stack}`));

  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      ending.abort();
      process.once(signal, () => process.exit(1));
    });
  }
  const options = { params: flags.param, parallelism: flags.parallelism, cache: cacheFolder(process.env) };
  let running = "";
  for await (const { files, changed } of watchInputs(file, ports.clock, ending.signal)) {
    if (changed.length > 0) say(`changed: ${changed.join(", ")}`);
    try {
      const submission = await readSubmission(file, options);
      const { sha256 } = submission.bundle;
      if (sha256 === running && rounds.isRunning) {
        say("what runs is the same; the job goes on");
        continue;
      }
      running = sha256;
      await rounds.next(submission);
      say(`${submission.topology.name} runs; watching ${countOf(files.length, "file")}, Ctrl-C ends it`);
    } catch (error) {
      say(
        `${paint("red", errorText(error))}\n${rounds.isRunning ? "the job goes on as it was" : "waiting for a change"}`,
      );
    }
  }
  say("stopping");
  await rounds.stop();
}
