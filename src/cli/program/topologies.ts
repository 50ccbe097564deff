/** Commands that take a topology file. */
import type { Command } from "commander";
import { cluster, fromSavepoint, json, lazily, overwrite, parallelism, param } from "./options.js";

export function addTopologyCommands(program: Command): void {
  program
    .command("plan <topology>")
    .description("print actors, channels, regions and services of a topology file")
    .addOption(param())
    .addOption(parallelism())
    .addOption(json())
    .action(lazily(async () => (await import("../commands/plan.js")).planCommand));

  fromSavepoint(program.command("run <topology>"))
    .description("run a topology in this process, with its service instances as children; no server is needed")
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--store <url>", "object store that holds the savepoint (MILLRACE_STORE)")
    .action(lazily(async () => (await import("../commands/run.js")).runCommand));

  cluster(
    fromSavepoint(program.command("submit <topology>")).description("run a topology on a cluster and wait for its end"),
  )
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--no-wait", "leave once the job is submitted")
    .action(lazily(async () => (await import("../commands/submit.js")).submitCommand));
}
