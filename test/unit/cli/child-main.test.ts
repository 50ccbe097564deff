import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { within } from "../actors/support.js";
import { useFolders } from "./folders.js";
import { stubborn } from "./left-behind.js";
import type { OrphanConfig } from "./orphan-child.js";

const PROGRAM = fileURLToPath(new URL("./orphan-child.js", import.meta.url));

describe("cli/child-main: a child whose parent is gone", () => {
  const makeFolder = useFolders();
  let child: ChildProcess;

  async function started(config: OrphanConfig): Promise<void> {
    const detached = config.command !== undefined;
    child = fork(PROGRAM, [], { stdio: ["ignore", "pipe", "inherit", "ipc"], serialization: "advanced", detached });
    child.send(config);
    await within("the child to start", says("started"));
  }

  async function says(word: string): Promise<void> {
    for (;;) {
      const [text] = (await once(child.stdout!, "data")) as [Buffer];
      if (text.includes(word)) return;
    }
  }

  afterEach(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  });

  it("stops, and ends with status 0", async () => {
    await started({ stops: true });
    const exited = once(child, "exit");
    child.disconnect();
    assert.deepEqual(await within("the child to end", exited), [0, null]);
  });

  it("that cannot stop ends all the same, when the time for it is up", async () => {
    await started({ stops: false });
    const exited = once(child, "exit");
    child.disconnect();
    await within("the child to stop", says("stopping"));
    assert.deepEqual(await within("the child to end", exited), [null, "SIGKILL"]);
  });

  it("takes with it then what it has started", async () => {
    const program = stubborn(await makeFolder({}));
    await started({ stops: false, command: program.command });
    await program.started;
    const exited = once(child, "exit");
    child.disconnect();
    assert.deepEqual(await within("the child to end", exited), [null, "SIGKILL"]);
    await program.gone;
  });

  it("and had told it to stop before: the time counts from when it is alone", async () => {
    await started({ stops: false });
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await within("the child to stop", says("stopping"));
    child.disconnect();
    assert.deepEqual(await within("the child to end", exited), [null, "SIGKILL"]);
  });
});
