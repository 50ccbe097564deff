/** The command's own function, in this process; that the project runs is shown by test/e2e/init.test.ts. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { initCommand } from "../../../src/cli/commands/init.js";
import { useFolders } from "./folders.js";

describe("cli/commands/init: what it writes", () => {
  const makeFolder = useFolders();
  const manifest = async (folder: string) => JSON.parse(await readFile(join(folder, "package.json"), "utf8"));

  it("names the project after its folder, as a package may be called", async () => {
    const folder = join(await makeFolder({}), "My First_Project!");
    await initCommand(folder, {});
    assert.equal((await manifest(folder)).name, "my-first-project");
    assert.match(await readFile(join(folder, "topology.ts"), "utf8"), /topology\(\n {2}"my-first-project",/);
  });

  it("takes a name, and what package.json says of millrace", async () => {
    const folder = await makeFolder({});
    await initCommand(folder, { name: "pages", package: "file:../millrace.tgz" });
    const { name, dependencies, devDependencies } = await manifest(folder);
    assert.deepEqual([name, dependencies], ["pages", { millrace: "file:../millrace.tgz" }]);
    assert.match(devDependencies.typescript, /^\^\d/);
  });

  it("keeps install scripts from running, by both ways that npm knows: one fails where its downloads are not let through", async () => {
    const folder = await makeFolder({});
    await initCommand(folder, {});
    assert.equal((await manifest(folder)).allowScripts["onnxruntime-node"], false);
    assert.match(await readFile(join(folder, ".npmrc"), "utf8"), /^ignore-scripts=true$/m);
  });

  it("refuses a name that package or topology may not have, with MILL_CONFIG, and writes nothing", async () => {
    const folder = await makeFolder({});
    for (const name of ["", "My pages", "-a", "millrace", "a".repeat(101), "../x", 'a", () => {}); //'])
      await assert.rejects(initCommand(folder, { name }), { code: "MILL_CONFIG" }, name);
    assert.deepEqual(await readdir(folder), []);
  });

  it("writes nothing where one of its files is there, and names that file", async () => {
    const folder = await makeFolder({ "README.md": "mine" });
    await assert.rejects(initCommand(folder, {}), { code: "MILL_CONFIG", message: /README\.md is there already/ });
    assert.deepEqual(await readdir(folder), ["README.md"]);
    assert.equal(await readFile(join(folder, "README.md"), "utf8"), "mine");
  });

  it("says of a folder that cannot be written that it cannot", async () => {
    const folder = await makeFolder({ file: "" });
    await assert.rejects(initCommand(join(folder, "file", "below"), {}), {
      code: "MILL_CONFIG",
      message: /no project can be written to/,
    });
  });
});
