/** The file of access tokens, changed by several commands at once. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "../e2e/cluster.js";
import { millrace } from "../e2e/millrace-process.js";

describe("cli/commands/token: several commands at once", function () {
  this.timeout(120_000);
  let folder = "";
  let file = "";
  const token = (...args: string[]) => millrace(["token", ...args, "--file", file]);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-token-file-"));
    file = join(folder, "tokens.json");
  });
  afterEach(() => rm(folder, { recursive: true }));

  const names = async () => {
    const listed = JSON.parse(finished(await token("list", "--json"))) as { id: string; name: string }[];
    return listed.map(({ name }) => name).sort();
  };

  it("none is lost, created or revoked, and the lock is gone", async () => {
    const old = JSON.parse(finished(await token("create", "old", "--json"))) as { id: string };
    const fresh = ["a", "b", "c", "d"];
    const all = [...fresh.map((name) => token("create", name)), token("revoke", old.id)];
    for (const ended of await Promise.all(all)) finished(ended);
    assert.deepEqual(await names(), fresh);
    assert.deepEqual(await readdir(folder), ["tokens.json"]);
  });

  it("a lock that nobody lets go is named, and nothing is changed; a link and its target have one", async () => {
    finished(await token("create", "first"));
    await writeFile(`${file}.lock`, "");
    const link = join(folder, "link.json");
    await symlink(file, link);
    const { status, stderr } = await millrace(["token", "create", "second", "--file", link]);
    assert.equal(status, 2);
    assert.match(stderr, /MILL_CONFIG: another command.*delete .*tokens\.json\.lock/);
    assert.deepEqual(await names(), ["first"]);
    await rm(`${file}.lock`);
    finished(await token("create", "second"));
    assert.deepEqual(await names(), ["first", "second"]);
    assert.equal(existsSync(`${file}.lock`), false);
  });
});
