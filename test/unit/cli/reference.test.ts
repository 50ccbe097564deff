/** The reference in docs/cli.md is the program's own help: written by `MILLRACE_GOLDEN=write`, compared otherwise. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command, Option } from "commander";
import { createProgram } from "../../../src/cli/program.js";
import { packageRoot } from "../../servers/find.js";

const PAGE = join(packageRoot(), "docs", "cli.md");
const BEGIN = "<!-- The rest is written by a test: MILLRACE_GOLDEN=write. -->\n";

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

function rowOf(help: ReturnType<Command["createHelp"]>, option: Option): string {
  const defaulted = help.optionDescription(option);
  return `| \`${option.flags.replaceAll("|", "\\|")}\` | ${cell(defaulted)} |`;
}

function sections(command: Command, path: string): string[] {
  const help = command.createHelp();
  const options = help.visibleOptions(command).filter(({ long }) => long !== "--help");
  const rows = options.map((option) => rowOf(help, option));
  const text = [
    `### ${path}`,
    `    ${path} ${command.usage().replace("[options] [command]", command.parent === null ? "[options] <command>" : "<command>")}`.trimEnd(),
    command
      .description()
      .replace(/^./, (first) => first.toUpperCase())
      .replace(/\.?$/, "."),
    ...(rows.length === 0 ? [] : [["| option | meaning |", "|---|---|", ...rows].join("\n")]),
  ];
  const own = command.commands.length > 0 && rows.length === 0 ? [] : [text.join("\n\n")];
  return [...own, ...command.commands.flatMap((one) => sections(one, `${path} ${one.name()}`))];
}

describe("docs/cli.md: the reference of every command", () => {
  const program = createProgram();
  const expected = `${sections(program, "millrace").join("\n\n")}\n`;

  it("is what the program says of itself", () => {
    const [head] = readFileSync(PAGE, "utf8").split(BEGIN);
    if (process.env.MILLRACE_GOLDEN === "write") writeFileSync(PAGE, `${head}${BEGIN}\n${expected}`);
    const [, found = ""] = readFileSync(PAGE, "utf8").split(BEGIN);
    const hint =
      "the commands have changed: run this test with MILLRACE_GOLDEN=write, and look at what docs/cli.md says now";
    assert.equal(found.trimStart(), expected, hint);
  });

  it("knows every command that the text above it names", () => {
    const [head = ""] = readFileSync(PAGE, "utf8").split(BEGIN);
    const names = new Set(program.commands.map((command) => command.name()));
    for (const [, name] of head.matchAll(/(?:^ {4}|`)(?:npx )?millrace ([a-z][a-z-]*)/gm))
      assert.ok(names.has(name!), name);
  });

  it("every listing has --json", () => {
    const listings = ["jobs", "job", "checkpoints", "services", "workers", "logs", "plan", "doctor"];
    const below = ["dead-letters list", "savepoint list", "refs list", "refs explain", "refs collect"];
    for (const path of [...listings, ...below]) {
      const found = path
        .split(" ")
        .reduce((at: Command | undefined, name) => at?.commands.find((one) => one.name() === name), program);
      assert.ok(
        found?.options.some(({ long }) => long === "--json"),
        path,
      );
    }
  });
});
