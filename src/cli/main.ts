#!/usr/bin/env node
/** The `millrace` command. */
import { Command, Option } from "commander";
import { ERROR_CODES, MillraceError } from "../base/errors.js";
import { coordinatorCommand } from "./commands/coordinator.js";
import { planCommand } from "./commands/plan.js";
import { runCommand } from "./commands/run.js";
import { submitCommand } from "./commands/submit.js";
import { workerCommand } from "./commands/worker.js";
import { LOG_LEVELS } from "./logging.js";

// The SDK's version is locked and supports this Node; its notice would greet every user of S3 at every start.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const program = new Command("millrace")
  .description("Runs topologies of CPU operators and model inference, in one process or on a cluster.")
  .addOption(new Option("--log-level <level>", "what goes to standard error").choices([...LOG_LEVELS]).default("warn"))
  .showHelpAfterError("(see millrace --help)")
  .configureHelp({ showGlobalOptions: true });

const collect = (pair: string, all: Record<string, string>): Record<string, string> => {
  const at = pair.indexOf("=");
  if (at < 1) throw new MillraceError("MILL_CONFIG", `--param ${pair}: give it as name=value.`);
  return { ...all, [pair.slice(0, at)]: pair.slice(at + 1) };
};
const param = () =>
  new Option("-p, --param <name=value>", "parameter of the topology; may be repeated").argParser(collect).default({});
const parallelism = () =>
  new Option("--parallelism <n>", "parallel instances of operators that state none")
    .argParser(Number)
    .default(0, "the topology's own");
const overwrite = () => new Option("--overwrite", "replace what an earlier run wrote");
const cluster = (command: Command) =>
  command
    .option("--nats <url>", "NATS server (MILLRACE_NATS; default nats://127.0.0.1:4222)")
    .option("--store <url>", "object store, s3://bucket/prefix (MILLRACE_STORE)")
    .option("--namespace <name>", "keeps clusters on one NATS apart (MILLRACE_NAMESPACE; default default)");

program
  .command("plan <topology>")
  .description("print actors, channels, regions and services of a topology file")
  .addOption(param())
  .addOption(parallelism())
  .option("--json", "as JSON")
  .action(planCommand);

program
  .command("run <topology>")
  .description("run a topology in this process, with its service instances as children; no server is needed")
  .addOption(param())
  .addOption(parallelism())
  .addOption(overwrite())
  .action(runCommand);

cluster(program.command("coordinator").description("run the coordinator of a cluster")).action(coordinatorCommand);

cluster(program.command("worker").description("offer this machine to a cluster"))
  .option("--name <worker>", "unique name of this worker (default: host name and a random part)")
  .addOption(new Option("--cpus <n>", "processor cores to offer").argParser(Number))
  .action(workerCommand);

cluster(program.command("submit <topology>").description("run a topology on a cluster and wait for its end"))
  .addOption(param())
  .addOption(parallelism())
  .addOption(overwrite())
  .option("--no-wait", "leave once the job is submitted")
  .action(submitCommand);

try {
  await program.parseAsync();
} catch (cause) {
  const error = MillraceError.from(cause);
  process.stderr.write(`millrace: ${error.code}: ${error.message}\n`);
  if (error.code === "MILL_INTERNAL" && error.stack !== undefined)
    process.stderr.write(`${(error.cause as Error)?.stack ?? error.stack}\n`);
  process.exitCode = ERROR_CODES[error.code].exit;
}
