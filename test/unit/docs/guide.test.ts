/** What docs/guide says is there: commands, flags, routes, codes. That its topologies run is shown by test/integration/guide.test.ts. */
import assert from "node:assert/strict";
import type { Command } from "commander";
import { ERROR_CODES } from "../../../src/base/errors.js";
import { projectFiles } from "../../../src/cli/init-files.js";
import { createProgram } from "../../../src/cli/program.js";
import { examples, page } from "../topology/guide.js";
import { commandLines, guidePages, guideTopologies } from "./guide-pages.js";

/** A path of the HTTP API, with the method before it: `-X POST "$URL/v1/..."`, or `POST /v1/...`. */
const ADDRESS = /(?:-X (\w+) |`([A-Z]+) )?[^\s`]*?(\/v[12]\/[^\s`?"')]+)/g;

/** @returns what is wrong with the line; empty: nothing */
function wrongIn(words: readonly string[]): string {
  let command: Command = createProgram();
  const rest = [...words];
  for (let next = childOf(command, rest[0]); next !== undefined; next = childOf(command, rest[0])) {
    command = next;
    rest.shift();
  }
  if (command.commands.length > 0 && rest.length > 0 && !rest[0]!.startsWith("-")) return `no command ${rest[0]}`;
  let given = 0;
  while (rest.length > 0) {
    const word = rest.shift()!;
    if (!word.startsWith("-")) given++;
    else {
      const option = [...command.options, ...createProgram().options].find(
        ({ long, short }) => word === long || word === short,
      );
      if (option === undefined && word !== "--help") return `${command.name()} has no ${word}`;
      if (option?.required === true && rest.shift() === undefined) return `${word} lacks its value`;
    }
  }
  const { registeredArguments } = command;
  // In a sentence a command is named without its arguments.
  return given > registeredArguments.length ? `${command.name()} takes ${registeredArguments.length} arguments` : "";
}

const childOf = (command: Command, name: string | undefined) => command.commands.find((one) => one.name() === name);

describe("docs/guide: what it names", () => {
  it("every command line names a command and flags that there are", () => {
    const lines = commandLines();
    assert.ok(lines.length >= 30, `${lines.length} command lines`);
    const wrong = lines.map(({ at, words }) => ({ at, words, what: wrongIn(words) })).filter(({ what }) => what !== "");
    assert.deepEqual(wrong, []);
  });

  it("a command, a flag or a number of arguments that there is not would be noticed", () => {
    assert.equal(wrongIn(["runs", "topology.ts"]), "no command runs");
    assert.equal(wrongIn(["savepoint", "make", "job"]), "no command make");
    assert.equal(wrongIn(["run", "topology.ts", "--fast"]), "run has no --fast");
    assert.equal(wrongIn(["scale", "a", "b", "3", "4"]), "scale takes 3 arguments");
    assert.equal(wrongIn(["run", "--parallelism"]), "--parallelism lacks its value");
    assert.equal(wrongIn(["savepoint", "create", "job", "--name", "x", "--stop"]), "");
  });

  it("every address of the HTTP API is a route of its reference", () => {
    const routes = [...page("http-api.md").matchAll(/^\| `([A-Z]+) ([^`]+)` \|/gm)].map(
      ([, method, path]) => new RegExp(`^${method} ${path!.replace(/\{\w+\}/g, "[^/]+")}$`),
    );
    const named = guidePages().flatMap((name) =>
      [...page(name).matchAll(ADDRESS)].map(([, flag, word, path = ""]) => ({
        name,
        method: flag ?? word ?? "GET",
        path,
      })),
    );
    assert.ok(named.length >= 5);
    const wrong = named.filter(({ method, path }) => !routes.some((route) => route.test(`${method} ${path}`)));
    assert.deepEqual(wrong, []);
  });

  it("every code is of the table of errors, and troubleshooting links the page that has them", () => {
    for (const name of guidePages())
      for (const [code] of page(name).matchAll(/\bMILL_[A-Z_]+\b/g))
        assert.ok(code in ERROR_CODES, `docs/${name}: ${code}`);
    assert.match(page("guide/troubleshooting.md"), /\]\(\.\.\/errors\.md#mill_/);
  });

  it("every page is in its index, and has an example", () => {
    const index = page("guide/README.md");
    for (const name of guidePages().filter((one) => one !== "guide/README.md")) {
      assert.ok(index.includes(`](${name.replace("guide/", "")})`), `docs/guide/README.md has no link to ${name}`);
      assert.match(page(name), /^(```| {4}\s*\S)/m, `docs/${name} has no example`);
    }
  });

  it("the first page shows the topology that `init` writes", () => {
    const files = projectFiles({ name: "my-project", millrace: "", typescript: "", nodeTypes: "", allowScripts: {} });
    assert.equal(examples("ts", "guide/first-topology.md")[0]?.code, files["topology.ts"]);
  });

  it("every TypeScript block is a whole file; those with a topology say what they are run with", () => {
    assert.ok(guideTopologies().length >= 5);
    for (const name of guidePages())
      for (const { code, line } of examples("ts", name))
        assert.match(code, /^(\/\*\*|import )/, `docs/${name}, line ${line}`);
  });
});
