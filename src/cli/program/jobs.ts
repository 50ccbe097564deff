/** Commands about jobs on a cluster. */
import type { Command } from "commander";
import { cluster, json, lazily } from "./options.js";

export function addJobCommands(program: Command): void {
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
