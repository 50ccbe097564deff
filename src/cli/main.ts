#!/usr/bin/env node
/** The `millrace` command: runs the program, and says what went wrong in one line, with the exit status of its code. */
import { type Command, CommanderError } from "commander";
import { ERROR_CODES, MillraceError } from "../base/errors.js";
import { withoutSecrets } from "../base/secrets.js";
import { paintFor } from "./colours.js";
import { keepSecretsOf } from "./environment-secrets.js";
import { createProgram } from "./program.js";

// The SDK's version is locked and supports this Node; its notice would greet every user of S3 at every start.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

keepSecretsOf(process.env);
const program = createProgram();
try {
  await program.parseAsync();
} catch (cause) {
  if (cause instanceof CommanderError && cause.exitCode === 0) process.exit(0); // help and version
  const error = cause instanceof CommanderError ? usageError(cause) : MillraceError.from(cause);
  const stack = error.code === "MILL_INTERNAL" ? `${(error.cause as Error)?.stack ?? error.stack}\n` : "";
  // A client that gave up on a silent server may keep its socket. Who has failed ends, whatever is still open.
  const name = paintFor(process.stderr)("red", "millrace:");
  process.stderr.write(`${name} ${error.code}: ${error.message}\n${withoutSecrets(stack)}`, () =>
    process.exit(ERROR_CODES[error.code].exit),
  );
}

function usageError(cause: CommanderError): MillraceError {
  const help = `${["millrace", ...commandPath(program, process.argv.slice(2))].join(" ")} --help`;
  const what =
    cause.code === "commander.help"
      ? "no command was given"
      : cause.message.replace(/^error: /, "").replace(/\s+/g, " ");
  return new MillraceError("MILL_CONFIG", `${what.replace(/\.$/, "")}. See ${help}`, {}, { cause });
}

/** Names of the command that was meant, as far as they are known: `["savepoint", "create"]`. */
function commandPath(parent: Command, [name, ...rest]: readonly string[]): string[] {
  const command = parent.commands.find((candidate) => candidate.name() === name);
  return command === undefined ? [] : [command.name(), ...commandPath(command, rest)];
}
