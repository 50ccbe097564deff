import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { promisify } from "node:util";
import { Argument, Command, Option } from "commander";
import { completionScript, SHELLS } from "../../../src/cli/completion.js";
import { createProgram } from "../../../src/cli/program.js";
import { skipBecause } from "../../servers/index.js";
import { useFolders } from "./folders.js";

const run = promisify(execFile);

/** What real bash offers for the last of `words`, by the function that it would call. */
async function offered(script: string, words: readonly string[], cwd?: string): Promise<string[]> {
  const line = words.map((word) => `'${word}'`).join(" ");
  const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _millrace; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run("bash", ["--norc", "-c", `${script}\n${ask}`], { cwd });
  return stdout.split("\n").filter((word) => word !== "");
}

describe("cli/completion: in bash", () => {
  const makeFolder = useFolders();
  const script = completionScript(createProgram(), "bash");
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["part of a command", ["pl"], ["plan"]],
    ["a command below another", ["savepoint", "cr"], ["create"]],
    ["a command after a flag with its value", ["--log-level", "info", "pl"], ["plan"]],
    ["a flag of a command", ["worker", "--gpu"], ["--gpus", "--gpu-kind", "--gpu-memory"]],
    ["a flag of a command below another", ["savepoint", "create", "job-1", "--st"], ["--store", "--stop"]],
    ["a flag of the program after a command", ["run", "topology.ts", "--log"], ["--log-level"]],
    ["a value that a flag may have", ["run", "--log-level", "w"], ["warn"]],
    ["a value that an argument may have", ["completion", "z"], ["zsh"]],
    ["nothing for a value that nobody knows", ["run", "--parallelism", ""], []],
    ["nothing for a command that there is not", ["frobnicate", "cr"], []],
  ];
  for (const [what, words, expected] of cases) {
    it(`completes ${what}: ${words.join(" ")}`, async () => {
      assert.deepEqual((await offered(script, ["millrace", ...words])).sort(), [...expected].sort());
    });
  }

  it("completes files where a topology is wanted, and their names may hold spaces", async () => {
    const folder = await makeFolder({ "my topology.ts": "", "other.ts": "" });
    assert.deepEqual(await offered(script, ["millrace", "plan", "my"], folder), ["my topology.ts"]);
  });

  it("completes a word that a person has begun, when the tab key is pressed", async function () {
    if ((await run("which", ["script"]).catch(() => undefined)) === undefined)
      skipBecause(this, "no `script` (util-linux)");
    const folder = await makeFolder({ "completion.bash": script });
    const shell = execFile("script", ["-qec", "bash --norc --noprofile -i", "/dev/null"], { cwd: folder });
    let said = "";
    const heard = new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`bash did not complete the word within 10 s:\n${said}`)), 10_000);
      shell.stdout!.on("data", (text: string) => {
        said += text;
        if (!/\[coordinator\]/.test(said)) return;
        clearTimeout(late);
        resolve();
      });
    });
    shell.stdin!.write('source completion.bash; millrace() { echo "[$1]"; }\nmillrace coo\t\n');
    await heard.finally(() => {
      shell.stdin!.end("exit\n");
      shell.kill();
    });
  });

  it("says what a name holds, and nothing a shell would run", async () => {
    const odd = new Command("millrace");
    odd
      .command("it's")
      .description("$(touch pwned)")
      .addOption(new Option("--a <$(touch pwned)>").choices(["`touch pwned`"]));
    odd.command("b").addArgument(new Argument("<c>").choices(["c's", "d"]));
    for (const shell of SHELLS) {
      const folder = await makeFolder({ script: completionScript(odd, shell) });
      await run("bash", ["-n", "script"], { cwd: folder });
    }
    assert.deepEqual(await offered(completionScript(odd, "bash"), ["millrace", "i"]), ["it's"]);
  });
});

describe("cli/completion: in zsh", () => {
  it("is a script that zsh reads, and that makes its function known", async function () {
    const zsh = process.env.MILLRACE_TEST_ZSH ?? "/bin/zsh";
    if (
      (await access(zsh).then(
        () => true,
        () => false,
      )) === false
    )
      skipBecause(this, `no ${zsh}`);
    const script = completionScript(createProgram(), "zsh");
    const ask = `compdef() { print -r -- "$1 for $2" }\n${script}\nCURRENT=3; words=(millrace savepoint cr)
_describe() { print -rl -- "\${(@P)2}" }; _millrace; words=(millrace run --log-level w); CURRENT=4; compadd() { print -rl -- "$@" }; _millrace`;
    const { stdout } = await run(zsh, ["-f", "-c", ask]);
    const lines = stdout.split("\n");
    assert.equal(lines[0], "_millrace for millrace");
    assert.ok(lines.includes("create:keep what the job is at, to start other jobs from it"), stdout);
    assert.ok(lines.includes("warn"), stdout);
  });
});
