/** `millrace completion`. */
import type { Command } from "commander";
import { completionScript, type Shell } from "../completion.js";

export async function completionCommand(shell: Shell, _flags: unknown, command: Command): Promise<void> {
  process.stdout.write(completionScript(command.parent!, shell));
}
