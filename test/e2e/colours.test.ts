/** Colours are for people: at a terminal, and only where nobody has said no. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { skipBecause } from "../servers/index.js";
import { millrace } from "./millrace-process.js";
import { hasTerminals, Terminal } from "./terminal.js";

const ESCAPE = "\u001b[";

describe("e2e: colours", function () {
  this.timeout(60_000);
  let folder: string;
  let env: Record<string, string>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-colours-"));
    // Nothing named, nothing found: doctor has something of each colour to say.
    env = { MILLRACE_NATS: "127.0.0.1:9", MILLRACE_CACHE: folder, MILLRACE_HTTP: "off" };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function atTerminal(args: readonly string[], more: Record<string, string> = {}): Promise<string> {
    const terminal = new Terminal(args, { ...env, ...more });
    await terminal.ended;
    return terminal.drawn;
  }

  it("are there at a terminal: what doctor says, and what went wrong", async function () {
    if (!hasTerminals()) skipBecause(this, "no `script` (util-linux)");
    const drawn = await atTerminal(["doctor"]);
    assert.ok(drawn.includes(`${ESCAPE}32mok  ${ESCAPE}39m`), drawn);
    assert.ok(drawn.includes(`${ESCAPE}31mfail${ESCAPE}39m`), drawn);
    assert.ok((await atTerminal(["frobnicate"])).includes(`${ESCAPE}31mmillrace:${ESCAPE}39m MILL_CONFIG: `));
    assert.ok((await atTerminal(["--help"])).includes(`${ESCAPE}1mUsage:`));
  });

  it("are not there where NO_COLOR is set, or the terminal has none", async function () {
    if (!hasTerminals()) skipBecause(this, "no `script` (util-linux)");
    for (const more of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      for (const args of [["doctor"], ["frobnicate"], ["--help"]])
        assert.ok(!(await atTerminal(args, more)).includes(ESCAPE), `${JSON.stringify(more)} ${args}`);
    }
  });

  it("are not there in a pipe or a file", async () => {
    for (const args of [["doctor"], ["doctor", "--json"], ["frobnicate"], ["--help"], ["dev", "none.ts"]]) {
      const { stdout, stderr } = await millrace(args, { env });
      assert.ok(!`${stdout}${stderr}`.includes(ESCAPE), args.join(" "));
    }
  });
});
