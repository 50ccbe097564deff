/** Commands about who may use the HTTP API. */
import { Argument, type Command, Option } from "commander";
import { ROLES } from "../../api/access.js";
import { json, lazily } from "./options.js";

export function addAccessCommands(program: Command): void {
  const token = program.command("token").description("make, list and revoke access tokens of the HTTP API");
  const load = () => import("../commands/token.js");
  const file = (command: Command) =>
    command.option("--file <file>", "list of access tokens (MILLRACE_TOKENS)").addOption(json());
  file(token.command("create <name>").description("make a token, print it once, and keep its SHA-256 in the file"))
    .addOption(new Option("--role <role>", "what it may do").choices([...ROLES]).default("viewer"))
    .option("--days <n>", "days until it expires (default: it does not)")
    .action(lazily(async () => (await load()).createTokenCommand));
  file(token.command("list").description("show the tokens of the file, without what lets anybody in")).action(
    lazily(async () => (await load()).listTokensCommand),
  );
  file(token.command("revoke").description("take a token out of the file; coordinators refuse it within seconds"))
    .addArgument(new Argument("<id>", "its id, as `token list` shows it"))
    .action(lazily(async () => (await load()).revokeTokenCommand));
}
