/**
 * The whole command line as one tree: `main.ts` runs it, completion and the reference (docs/cli.md) are read off it. A group of
 * commands is a file in `program/`; what a command does is in `commands/`, and loaded when it is called.
 */
import { styleText } from "node:util";
import { Command, Option } from "commander";
import { LOG_LEVELS } from "./logging.js";
import { readVersion } from "./packages.js";
import { addAccessCommands } from "./program/access.js";
import { addJobCommands } from "./program/jobs.js";
import { addMachineCommands } from "./program/machine.js";
import { addProcessCommands } from "./program/processes.js";
import { addTopologyCommands } from "./program/topologies.js";

export function createProgram(): Command {
  const program = new Command("millrace")
    .description("Runs topologies of CPU operators and model inference, in one process or on a cluster.")
    .addOption(
      new Option("--log-level <level>", "what goes to standard error").choices([...LOG_LEVELS]).default("warn"),
    )
    .version(readVersion(), "-V, --version")
    // What is wrong with the command line is said like every other error, with the same exit status: main.ts.
    .exitOverride()
    .configureOutput({ outputError() {} })
    // Commander leaves colours out where there is no terminal for them.
    .configureHelp({ showGlobalOptions: true, styleTitle: (title) => styleText("bold", title) });
  addTopologyCommands(program);
  addProcessCommands(program);
  addJobCommands(program);
  addAccessCommands(program);
  addMachineCommands(program);
  return program;
}
