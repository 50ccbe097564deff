import assert from "node:assert/strict";
import { MillraceError } from "../../../../src/base/errors.js";
import { command, commandOf } from "../../../../src/services/handlers/command.js";
import { handler } from "../../../../src/services/handlers/handler.js";
import { loadContext } from "./contexts.js";

describe("services/handlers/command: a program in another language", () => {
  const made = command({ run: ["python3", "{main}", "--words={words}"], assets: { main: "main.py", words: "w.txt" } });

  it("declares its files, and is run with their paths on that machine", () => {
    assert.deepEqual(made.assets, { main: "main.py", words: "w.txt" });
    assert.deepEqual(
      commandOf(made, (name) => `/cache/${name}`),
      ["python3", "/cache/main", "--words=/cache/words"],
    );
  });

  it("a file that it does not declare is MILL_CONFIG while the topology is loaded", () => {
    assert.throws(
      () => command({ run: ["python3", "{mian}"], assets: { main: "main.py" } }),
      (error: unknown) => MillraceError.is(error) && error.code === "MILL_CONFIG" && /\{mian\}/.test(error.message),
    );
  });

  it("other kinds of handlers are none, and it cannot be loaded like one", async () => {
    const other = handler({ input: {}, output: {}, load: () => undefined, infer: () => [] });
    assert.equal(
      commandOf(other, () => undefined),
      undefined,
    );
    await assert.rejects(made.load(loadContext()));
  });
});
