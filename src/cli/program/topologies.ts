/** Commands that take a topology file. */
import type { Command } from "commander";
import {
  allowUnmatched,
  cluster,
  fromSavepoint,
  http,
  json,
  lazily,
  overwrite,
  parallelism,
  param,
} from "./options.js";

export function addTopologyCommands(program: Command): void {
  program
    .command("plan <topology>")
    .description("print actors, channels, regions and services of a topology file")
    .addOption(param())
    .addOption(parallelism())
    .addOption(json())
    .action(lazily(async () => (await import("../commands/plan.js")).planCommand));

  http(fromSavepoint(program.command("run <topology>")), "off")
    .description("run a topology in this process, with its service instances as children; no server is needed")
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--store <url>", "object store that holds the savepoint (MILLRACE_STORE)")
    .action(lazily(async () => (await import("../commands/run.js")).runCommand));

  program
    .command("dev <topology>")
    .description("run a topology as `run` does, and again whenever it or what it imports has changed")
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--keep-state", "go on from where the job was, instead of beginning anew")
    .action(lazily(async () => (await import("../commands/dev.js")).devCommand));

  cluster(
    fromSavepoint(program.command("submit <topology>")).description("run a topology on a cluster and wait for its end"),
  )
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--url <url>", "submit over a coordinator's HTTP API instead (MILLRACE_URL; its token: MILLRACE_TOKEN)")
    .option("--no-wait", "leave once the job is submitted")
    .action(lazily(async () => (await import("../commands/submit.js")).submitCommand));

  cluster(
    program
      .command("restore <savepoint> <topology>")
      .description("submit a topology that starts from a savepoint: `submit --savepoint <job/name>`"),
  )
    .addOption(allowUnmatched())
    .addOption(param())
    .addOption(parallelism())
    .addOption(overwrite())
    .option("--url <url>", "submit over a coordinator's HTTP API instead (MILLRACE_URL; its token: MILLRACE_TOKEN)")
    .option("--no-wait", "leave once the job is submitted")
    .action(lazily(async () => (await import("../commands/submit.js")).restoreCommand));
}
