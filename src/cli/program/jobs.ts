/** Commands about jobs on a cluster: over the coordinator's HTTP API, or over NATS and the store, which need no open port. */
import { Argument, type Command, Option } from "commander";

import { api, cluster, count, json, lazily } from "./options.js";

export function addJobCommands(program: Command): void {
  addListings(program);
  addDeadLetters(program);
  addChanges(program);
  addStoreCommands(program);
}

function addListings(program: Command): void {
  const jobs = () => import("../commands/jobs.js");
  api(program.command("jobs").description("list jobs that run, and those that have ended lately"))
    .option("--state <state>", "only those in this state, such as running")
    .addOption(json())
    .action(lazily(async () => (await jobs()).jobsCommand));
  api(program.command("job <job>").description("show a job: its operators, regions, services and their rates"))
    .addOption(json())
    .action(lazily(async () => (await jobs()).jobCommand));
  api(program.command("checkpoints <job>").description("list checkpoints of a job that have ended, newest last"))
    .option("--region <region>", "only those of this region")
    .option("--trigger", "list none, but let every region take one now")
    .addOption(json())
    .action(lazily(async () => (await jobs()).checkpointsCommand));
  api(program.command("services <job>").description("list services of a job with their instances"))
    .addOption(json())
    .action(lazily(async () => (await jobs()).servicesCommand));
  api(program.command("workers").description("list workers that were heard of lately"))
    .addOption(json())
    .action(lazily(async () => (await jobs()).workersCommand));
  api(
    program
      .command("logs [job]")
      .description("show events of a job, or of the cluster: states, restarts, instances, savepoints"),
  )
    .option("-f, --follow", "and those to come, until Ctrl-C")
    .addOption(new Option("--json", "as JSON, one on each line"))
    .action(lazily(async () => (await import("../commands/logs.js")).logsCommand));
  api(program.command("top [job]").description("watch jobs, operators and services at the terminal; q ends it")).action(
    lazily(async () => (await import("../commands/top.js")).topCommand),
  );
}

function addDeadLetters(program: Command): void {
  const load = () => import("../commands/dead-letters.js");
  const letters = program
    .command("dead-letters")
    .description("records that a job refused: list, show, replay, discard");
  const filtered = (command: Command) =>
    api(command)
      .option("--operator <operator>", "only those that this operator refused")
      .option("--code <code>", "only those with this error code");
  const changing = (command: Command) =>
    filtered(command.argument("[letters...]", "their ids, as `list` shows them"))
      .option("--all", "all that are open")
      .option("--yes", "do not ask")
      .addOption(json());
  filtered(letters.command("list <job>", { isDefault: true }).description("list them, newest first (the default)"))
    .addOption(
      new Option("--state <state>", "only those in this state")
        .choices(["open", "replayed", "discarded"])
        .default("open"),
    )
    .addOption(json())
    .action(lazily(async () => (await load()).listDeadLettersCommand));
  api(letters.command("show <job> <letter>").description("show one with its record, and whether it can be replayed"))
    .addOption(json())
    .action(lazily(async () => (await load()).showDeadLetterCommand));
  changing(letters.command("replay <job>").description("give them back to the operator that refused them")).action(
    lazily(async () => (await load()).replayCommand),
  );
  changing(letters.command("discard <job>").description("set them aside for good; published files stay")).action(
    lazily(async () => (await load()).discardCommand),
  );
}

function addChanges(program: Command): void {
  const control = () => import("../commands/control.js");
  api(program.command("scale <job> <service>").description("change how many instances a service has"))
    .addArgument(new Argument("<instances>", "how many").argParser(count("<instances>", 0)))
    .action(lazily(async () => (await control()).scaleCommand));
  api(program.command("drain <name>").description("let a worker, or an instance, finish what it has and leave"))
    .option("--job <job>", "of an instance: its job")
    .option("--service <service>", "of an instance: its service")
    .action(lazily(async () => (await control()).drainCommand));
  api(program.command("pause <job>").description("let a job rest behind a checkpoint")).action(
    lazily(async () => (await control()).pauseCommand),
  );
  api(program.command("resume <job>").description("let a paused job go on")).action(
    lazily(async () => (await control()).resumeCommand),
  );
  api(program.command("cancel <job>").description("stop a job; nothing of its open work is published")).action(
    lazily(async () => (await control()).cancelCommand),
  );
}

function addStoreCommands(program: Command): void {
  const savepoint = program.command("savepoint").description("take and list savepoints of jobs on a cluster");
  cluster(savepoint.command("create <job>").description("keep what the job is at, to start other jobs from it"))
    .option("--name <name>", "unique in the job (default: the time, and a random part)")
    .option("--stop", "publish nothing that comes after it, and cancel the job")
    .action(lazily(async () => (await import("../commands/savepoint.js")).createSavepointCommand));
  cluster(savepoint.command("list <job>").description("show the savepoints of a job"))
    .addOption(json())
    .action(lazily(async () => (await import("../commands/savepoint.js")).listSavepointsCommand));

  const refs = program.command("refs").description("show and collect the content that belongs to a job");
  cluster(refs.command("list <job>").description("show the content of the job, and what keeps it"))
    .addOption(json())
    .action(lazily(async () => (await import("../commands/refs.js")).listRefsCommand));
  cluster(
    refs.command("explain <job> <content>").description("say what keeps one object, by its SHA-256 or its address"),
  )
    .addOption(json())
    .action(lazily(async () => (await import("../commands/refs.js")).explainRefCommand));
  cluster(refs.command("collect <job>").description("collect now what nothing refers to"))
    .option("--dry-run", "only say what would be done")
    .addOption(json())
    .action(lazily(async () => (await import("../commands/refs.js")).collectRefsCommand));
}
