/** Commands that are the processes of a cluster. */
import { type Command, Option } from "commander";
import { cluster, count, http, lazily, size } from "./options.js";

export function addProcessCommands(program: Command): void {
  http(cluster(program.command("coordinator").description("run the coordinator of a cluster"))).action(
    lazily(async () => (await import("../commands/coordinator.js")).coordinatorCommand),
  );

  cluster(program.command("worker").description("offer this machine to a cluster"))
    .option("--name <worker>", "unique name of this worker (default: host name and a random part)")
    .addOption(new Option("--cpus <n>", "processor cores to offer").argParser(count("--cpus")))
    .addOption(new Option("--memory <size>", "memory to offer, such as 32GiB").argParser(size("--memory")))
    .addOption(
      new Option("--gpus <n>", "gpus to offer (default: those that nvidia-smi shows)").argParser(count("--gpus", 0)),
    )
    .option("--gpu-kind <name>", "what they are, instead of what nvidia-smi says, such as h200")
    .addOption(
      new Option("--gpu-memory <size>", "memory of each of them, such as 80GiB").argParser(size("--gpu-memory")),
    )
    .action(lazily(async () => (await import("../commands/worker.js")).workerCommand));
}
