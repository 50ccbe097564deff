#!/usr/bin/env node
/** The `millrace` command. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError, Option } from "commander";
import { ERROR_CODES, MillraceError } from "../base/errors.js";
import { sizeOf } from "../topology/resources.js";
import { LOG_LEVELS } from "./logging.js";
import { packageRoot } from "./packages.js";

// The SDK's version is locked and supports this Node; its notice would greet every user of S3 at every start.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const program = new Command("millrace")
  .description("Runs topologies of CPU operators and model inference, in one process or on a cluster.")
  .addOption(new Option("--log-level <level>", "what goes to standard error").choices([...LOG_LEVELS]).default("warn"))
  .version(readVersion(), "-V, --version")
  // What is wrong with the command line is said like every other error, with the same exit status; see the end.
  .exitOverride()
  .configureOutput({ outputError() {} })
  .configureHelp({ showGlobalOptions: true });

/** Far above what anyone runs; below what would only fill memory. */
const COUNT_MAX = 10_000;

const collect = (pair: string, all: Record<string, string>): Record<string, string> => {
  const at = pair.indexOf("=");
  if (at < 1)
    throw new MillraceError("MILL_CONFIG", `--param ${pair} is no parameter. Write --param name=value.`, { pair });
  return { ...all, [pair.slice(0, at)]: pair.slice(at + 1) };
};
const param = () =>
  new Option("-p, --param <name=value>", "parameter of the topology; may be repeated")
    .argParser(collect)
    .default({}, "none");
const count =
  (flag: string, least = 1) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= COUNT_MAX) return value;
    throw new MillraceError(
      "MILL_CONFIG",
      `${flag} ${text} is no count. Write a whole number from ${least} to ${COUNT_MAX}, or leave it out.`,
      { flag, text },
    );
  };
const size = (flag: string) => (text: string) => sizeOf("millrace worker", flag, text);
const parallelism = () =>
  new Option("--parallelism <n>", "parallel instances of operators that state none")
    .argParser(count("--parallelism"))
    .default(0, "the topology's own");
const overwrite = () => new Option("--overwrite", "replace what an earlier run wrote");
/** What a command needs is loaded when it is called: help, and what is wrong with a command line, come at once. */
const lazily =
  <Args extends unknown[]>(load: () => Promise<(...args: Args) => Promise<void>>) =>
  async (...args: Args): Promise<void> =>
    (await load())(...args);
const cluster = (command: Command) =>
  command
    .option("--nats <url>", "NATS servers, separated by commas (MILLRACE_NATS; default nats://127.0.0.1:4222)")
    .option("--store <url>", "object store, s3://bucket/prefix (MILLRACE_STORE)")
    .option("--namespace <name>", "keeps clusters on one NATS apart (MILLRACE_NAMESPACE; default default)");

const fromSavepoint = (command: Command) =>
  command
    .option("--savepoint <job/name>", "start from the state that the savepoint holds")
    .option("--allow-unmatched", "drop state of the savepoint whose operator the topology does not have");

program
  .command("plan <topology>")
  .description("print actors, channels, regions and services of a topology file")
  .addOption(param())
  .addOption(parallelism())
  .option("--json", "as JSON")
  .action(lazily(async () => (await import("./commands/plan.js")).planCommand));

fromSavepoint(program.command("run <topology>"))
  .description("run a topology in this process, with its service instances as children; no server is needed")
  .addOption(param())
  .addOption(parallelism())
  .addOption(overwrite())
  .option("--store <url>", "object store that holds the savepoint (MILLRACE_STORE)")
  .action(lazily(async () => (await import("./commands/run.js")).runCommand));

cluster(program.command("coordinator").description("run the coordinator of a cluster")).action(
  lazily(async () => (await import("./commands/coordinator.js")).coordinatorCommand),
);

cluster(program.command("worker").description("offer this machine to a cluster"))
  .option("--name <worker>", "unique name of this worker (default: host name and a random part)")
  .addOption(new Option("--cpus <n>", "processor cores to offer").argParser(count("--cpus")))
  .addOption(new Option("--memory <size>", "memory to offer, such as 32GiB").argParser(size("--memory")))
  .addOption(
    new Option("--gpus <n>", "gpus to offer (default: those that nvidia-smi shows)").argParser(count("--gpus", 0)),
  )
  .option("--gpu-kind <name>", "what they are, instead of what nvidia-smi says, such as h200")
  .addOption(new Option("--gpu-memory <size>", "memory of each of them, such as 80GiB").argParser(size("--gpu-memory")))
  .action(lazily(async () => (await import("./commands/worker.js")).workerCommand));

cluster(
  fromSavepoint(program.command("submit <topology>")).description("run a topology on a cluster and wait for its end"),
)
  .addOption(param())
  .addOption(parallelism())
  .addOption(overwrite())
  .option("--no-wait", "leave once the job is submitted")
  .action(lazily(async () => (await import("./commands/submit.js")).submitCommand));

const savepoint = program.command("savepoint").description("take and list savepoints of jobs on a cluster");
cluster(savepoint.command("create <job>").description("keep what the job is at, to start other jobs from it"))
  .option("--name <name>", "unique in the job (default: the time, and a random part)")
  .option("--stop", "publish nothing that comes after it, and cancel the job")
  .action(lazily(async () => (await import("./commands/savepoint.js")).createSavepointCommand));
cluster(savepoint.command("list <job>").description("show the savepoints of a job")).action(
  lazily(async () => (await import("./commands/savepoint.js")).listSavepointsCommand),
);

const refs = program.command("refs").description("show and collect the content that belongs to a job");
cluster(refs.command("list <job>").description("show the content of the job, and what keeps it"))
  .option("--json", "as JSON")
  .action(lazily(async () => (await import("./commands/refs.js")).listRefsCommand));
cluster(refs.command("explain <job> <content>").description("say what keeps one object, by its SHA-256 or its address"))
  .option("--json", "as JSON")
  .action(lazily(async () => (await import("./commands/refs.js")).explainRefCommand));
cluster(refs.command("collect <job>").description("collect now what nothing refers to"))
  .option("--dry-run", "only say what would be done")
  .option("--json", "as JSON")
  .action(lazily(async () => (await import("./commands/refs.js")).collectRefsCommand));

try {
  await program.parseAsync();
} catch (cause) {
  if (cause instanceof CommanderError && cause.exitCode === 0) process.exit(0); // help and version
  const error = cause instanceof CommanderError ? usageError(cause) : MillraceError.from(cause);
  const stack = error.code === "MILL_INTERNAL" ? `${(error.cause as Error)?.stack ?? error.stack}\n` : "";
  // A client that gave up on a silent server may keep its socket. Who has failed ends, whatever is still open.
  process.stderr.write(`millrace: ${error.code}: ${error.message}\n${stack}`, () =>
    process.exit(ERROR_CODES[error.code].exit),
  );
}

function usageError(cause: CommanderError): MillraceError {
  const command = program.commands.find((candidate) => candidate.name() === process.argv[2]);
  const help = command === undefined ? "millrace --help" : `millrace ${command.name()} --help`;
  const what =
    cause.code === "commander.help"
      ? "no command was given"
      : cause.message.replace(/^error: /, "").replace(/\s+/g, " ");
  return new MillraceError("MILL_CONFIG", `${what.replace(/\.$/, "")}. See ${help}`, {}, { cause });
}

function readVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
}
