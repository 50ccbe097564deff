/** What only a store in a folder has: hidden files of writers that died, and files that others put there. */
import assert from "node:assert/strict";
import { createHook } from "node:async_hooks";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FsStore } from "../../../src/storage/fs-store.js";
import { bytes, text } from "../../conformance/bus-support.js";

describe("storage/fs-store: the folder itself", () => {
  let folder: string;
  let store: FsStore;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-fs-"));
    store = new FsStore(folder);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const keys = async () => {
    const found: string[] = [];
    for await (const { key } of store.list("")) found.push(key);
    return found;
  };

  it("an object is a file of its name, and nothing stays beside it", async () => {
    await store.put("a/b.txt", bytes("one"));
    assert.equal((await store.create("a/c.txt", bytes("two"))).created, true);
    assert.equal((await store.create("a/c.txt", bytes("three"))).created, false);
    assert.deepEqual(await readdir(join(folder, "a")), ["b.txt", "c.txt"]);
    assert.equal(await readFile(join(folder, "a", "b.txt"), "utf8"), "one");
  });

  it("what is being written is a hidden file beside its place, on the same file system (O1)", async () => {
    const seen: string[] = [];
    const source = async function* () {
      yield bytes("o");
      seen.push(...(await readdir(join(folder, "a"))));
      yield bytes("ne");
    };
    await store.put("a/b", source());
    assert.equal(seen.length, 1);
    assert.match(seen[0]!, /^\.millrace-/);
    assert.equal(text(await store.get("a/b")), "one");
  });

  it("the hidden file of a writer that died is listed to nobody, and in nobody's way (O1)", async () => {
    await mkdir(join(folder, "a"));
    await writeFile(join(folder, "a", ".millrace-dead"), "ha");
    await store.put("a/b", bytes("one"));
    assert.deepEqual(await keys(), ["a/b"]);
    await assert.rejects(store.get("a/.millrace-dead"), { code: "MILL_STORE_KEY" });
    assert.deepEqual(
      await readdir(join(folder, "a")),
      [".millrace-dead", "b"],
      "it was removed, which nobody promised",
    );
  });

  it("a put in pieces whose process died is found and deleted by who asks for unfinished ones, and by nobody else", async () => {
    const unfinished = async () => {
      const found: string[] = [];
      for await (const { key } of store.list("a/", { unfinished: true })) found.push(key);
      return found;
    };
    const died = new Promise<void>(() => {});
    const source = async function* () {
      yield bytes("ha");
      await died;
    };
    const begun = new AbortController();
    const put = store.put("a/b", source(), { signal: begun.signal });
    put.catch(() => {});
    while ((await unfinished()).length === 0) await readdir(folder);
    assert.deepEqual(await unfinished(), ["a/b"]);
    assert.deepEqual(await keys(), []);
    await store.delete("a/b");
    await store.delete("a/bc", { unfinished: true });
    assert.deepEqual(await unfinished(), ["a/b"]);
    await store.delete("a/b", { unfinished: true });
    assert.deepEqual(await readdir(join(folder, "a")), []);
    begun.abort();
    await assert.rejects(put);
  });

  it("a name that leaves no room for that is written all the same", async () => {
    const key = `a/${"n".repeat(255)}`;
    const source = async function* () {
      yield bytes("one");
    };
    await store.put(key, source());
    assert.equal(text(await store.get(key)), "one");
  });

  it("a file that another program put there is an object", async () => {
    await writeFile(join(folder, "c"), "three");
    assert.deepEqual(await keys(), ["c"]);
    assert.equal(text(await store.get("c")), "three");
  });

  it("a check makes no folder that it leaves behind", async () => {
    await new FsStore(join(folder, "x", "y")).check();
    assert.deepEqual(await readdir(folder), []);
  });

  it("asks nothing of folders that are there before it puts or moves a file into them", async () => {
    const calls = async (work: () => Promise<unknown>) => {
      let count = 0;
      const init = (_id: number, type: string) => {
        if (type === "FSREQPROMISE") count += 1;
      };
      const hook = createHook({ init }).enable();
      await work();
      hook.disable();
      return count;
    };
    const put = (key: string) => store.put(key, bytes("one"));
    for (const key of ["in/a", "in/b", "out/a"]) await put(key);
    // Beside closing: open, write, sync, stat, rename; the folder's open and sync.
    assert.equal(await calls(() => put("in/c")), 7);
    // Open, stat, truncate, rename; the folder's open and sync; rmdir.
    assert.equal(await calls(() => store.move("in/c", "out/c")), 7);
    assert.ok((await calls(() => store.move("in/b", "new/b"))) > 7, "it has to be made");
  });
});
