/** The errors of the file system as they are made here: a test that runs as root is refused nothing, and no disk is full. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../../../src/base/errors.js";
import { explain, explainRead, isMissing } from "../../../src/storage/fs-errors.js";
import { FsStore } from "../../../src/storage/fs-store.js";
import { bytes } from "../../conformance/bus-support.js";

const URL = "file:///data";
const PATH = "/data/a/b";

function failed(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: told to fail`), { code, ...(path === undefined ? {} : { path }) });
}

function explained(code: string, path?: string): MillraceError {
  const cause = failed(code, path);
  const error = explain(URL, "a/b", PATH, cause);
  assert.ok(MillraceError.is(error));
  assert.equal(error.cause, cause);
  return error;
}

describe("storage/fs-errors: what a failed call to the file system means", () => {
  for (const [codes, expected, says] of [
    [["ENOSPC", "EDQUOT"], "MILL_STORE_FULL", /no room left to write .*Free some and run again/],
    [["EACCES", "EPERM"], "MILL_STORE_REFUSED", /this user may not .* (owner|mode)/],
    [["EROFS"], "MILL_STORE_REFUSED", /read-only file system .*Mount it writable/],
    [["ENOTDIR", "EEXIST"], "MILL_STORE_REFUSED", /is no folder.*Move it away/],
    [["EISDIR"], "MILL_STORE_REFUSED", /is a folder .*Move it away/],
    [["ELOOP"], "MILL_STORE_REFUSED", /links .* circle .*Correct them/],
    [["ENOTSUP", "EOPNOTSUPP"], "MILL_STORE_REFUSED", /no hard links.*Use another/],
    [["ENOENT"], "MILL_STORE_NOT_FOUND", /no file .*Check the name/],
    [["ENAMETOOLONG"], "MILL_STORE_KEY", /"a\/b" is not a valid object key/],
    [["EIO", "EMFILE", "ESTALE"], "MILL_STORE_FAILED", /failed: E\w+: told to fail\. Look at the disk/],
  ] as const) {
    for (const code of codes) {
      it(`${code} is ${expected}, names the file and the next step, and keeps its cause`, () => {
        const error = explained(code);
        assert.equal(error.code, expected);
        assert.match(error.message, says);
        assert.match(error.message, /a\/b/);
        assert.equal(error.facts.key ?? error.facts.path, "a/b");
      });
    }
  }

  it("names the file that the system names, which may be a folder above", () => {
    const error = explained("EACCES", "/data");
    assert.match(error.message, /(?<![/\w])\/data(?!\/)/);
    assert.equal(error.facts.path, "/data");
  });

  it("to a reader, folders and what would be below a file are no objects; to a writer they are in the way", () => {
    for (const code of ["ENOENT", "ENOTDIR", "EISDIR"]) {
      assert.ok(isMissing(failed(code)));
      assert.equal((explainRead(URL, "a", PATH, failed(code)) as MillraceError).code, "MILL_STORE_NOT_FOUND");
    }
    assert.ok(!isMissing(failed("EACCES")));
    assert.equal((explainRead(URL, "a", PATH, failed("EACCES")) as MillraceError).code, "MILL_STORE_REFUSED");
  });

  it("leaves other errors as they are: ours, and those of a caller's source", () => {
    const ours = new MillraceError("MILL_STORE_KEY", "bad");
    const theirs = new Error("the source failed");
    assert.equal(explain(URL, "a", PATH, ours), ours);
    assert.equal(explain(URL, "a", PATH, theirs), theirs);
  });

  describe("on a disk", () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "millrace-fs-errors-"));
      await writeFile(join(folder, "file"), "one");
    });
    after(() => rm(folder, { recursive: true }));

    it("a store inside a file is refused by check, put and create, and empty to readers", async () => {
      const store = new FsStore(join(folder, "file", "inside"));
      for (const call of [
        () => store.check(),
        () => store.put("a", bytes("one")),
        () => store.create("a", bytes("one")),
      ]) {
        await assert.rejects(call(), (error: MillraceError) => {
          assert.equal(error.code, "MILL_STORE_REFUSED");
          assert.ok(error.message.includes(join(folder, "file")), error.message);
          return true;
        });
      }
      await assert.rejects(store.get("a"), { code: "MILL_STORE_NOT_FOUND" });
      assert.equal(await store.head("a"), undefined);
    });

    it("a key below an object and a key that is a folder are refused to a writer", async () => {
      const store = new FsStore(folder);
      await assert.rejects(store.put("file/below", bytes("one")), { code: "MILL_STORE_REFUSED" });
      await store.put("made/a", bytes("one"));
      await assert.rejects(store.put("made", bytes("one")), { code: "MILL_STORE_REFUSED" });
    });

    it("a part of 256 bytes is no key", async () => {
      await assert.rejects(new FsStore(folder).put("x".repeat(256), bytes("one")), { code: "MILL_STORE_KEY" });
    });
  });
});
