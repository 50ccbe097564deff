/** Commands about this machine: a project, its checks, its shell. */
import { Argument, type Command } from "commander";
import { SHELLS } from "../completion.js";
import { cluster, json, lazily } from "./options.js";

export function addMachineCommands(program: Command): void {
  program
    .command("init [folder]")
    .description("make a project that runs: topology, input, package.json")
    .option("--name <name>", "of project and topology (default: the folder's)")
    .option("--package <what>", "what package.json says of millrace (default: this version, or this checkout)")
    .action(lazily(async () => (await import("../commands/init.js")).initCommand));

  cluster(
    program.command("doctor").description("check this machine and the servers, and say how to mend what is wrong"),
  )
    .option("--http <host:port>", "where a coordinator here would serve HTTP (MILLRACE_HTTP; default 127.0.0.1:8080)")
    .addOption(json())
    .action(lazily(async () => (await import("../commands/doctor.js")).doctorCommand));

  program
    .command("completion")
    .description("print a script that completes commands and flags: source <(millrace completion bash)")
    .addArgument(new Argument("<shell>", "whose").choices([...SHELLS]))
    .action(lazily(async () => (await import("../commands/completion.js")).completionCommand));
}
