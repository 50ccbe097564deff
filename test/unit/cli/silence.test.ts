import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isAlive, watchSilence } from "../../../src/cli/silence.js";
import { within } from "../../conformance/bus-support.js";

describe("cli/silence: a child whose thread is blocked", () => {
  it("is noticed when it has been silent for as long as it said it may be, no sooner", async () => {
    const child = fork(fileURLToPath(new URL("silent-child.js", import.meta.url)), { serialization: "advanced" });
    const exited = once(child, "exit");
    try {
      const silent = new Promise<number>((resolve) => watchSilence(child, resolve));
      const [said] = await within("the child to be alive", once(child, "message"));
      assert.ok(isAlive(said));
      const fromMs = performance.now();
      child.send("block");
      assert.equal(await within("silence", silent), 300);
      assert.ok(performance.now() - fromMs > 100);
    } finally {
      child.kill("SIGKILL");
      await within("the child to end", exited);
    }
  });

  it("other messages are not taken for it", () => {
    assert.ok(!isAlive({ code: "MILL_INTERNAL", message: "" }) && !isAlive("alive") && !isAlive(null));
  });
});
