import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AssetCache, sha256OfFile } from "../../../src/storage/asset-cache.js";
import { pattern, sameBytes, within } from "../../conformance/bus-support.js";

const CONTENT = pattern(300_000);
const SHA256 = createHash("sha256").update(CONTENT).digest("hex");

describe("storage/asset-cache: files of known content", () => {
  let folder: string;
  let fetches: number;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-assets-"));
    fetches = 0;
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** A download of `content` in three pieces that waits for `gate` in its middle. */
  const download = (content: Uint8Array, gate: Promise<unknown> = Promise.resolve()) =>
    async function* () {
      fetches++;
      yield content.subarray(0, 100_000);
      await gate;
      yield content.subarray(100_000, 200_000);
      yield content.subarray(200_000);
    };
  const never = () => assert.fail("it was fetched, though it is there");

  it("is brought once, and found from then on, also by another cache of the folder", async () => {
    const path = await new AssetCache(folder).file(SHA256, download(CONTENT));
    sameBytes(await readFile(path), CONTENT);
    const cache = new AssetCache(folder);
    assert.equal(await cache.file(SHA256, never), path);
    assert.equal(await cache.file(SHA256, never), path);
    assert.equal(fetches, 1);
  });

  it("is brought once for all who ask while it comes", async () => {
    const cache = new AssetCache(folder);
    const gate = newGate();
    const asked = Array.from({ length: 5 }, () => cache.file(SHA256, download(CONTENT, gate.promise)));
    gate.resolve();
    assert.equal(new Set(await Promise.all(asked)).size, 1);
    assert.equal(fetches, 1);
  });

  it("is whole when its name appears: nobody sees a part of it", async () => {
    const cache = new AssetCache(folder);
    const other = new AssetCache(folder); // as in another process: they share nothing but the folder
    const gate = newGate();
    const begun = newGate();
    const slow = async function* () {
      for await (const piece of download(CONTENT, gate.promise)()) {
        yield piece;
        begun.resolve();
      }
    };
    const first = cache.file(SHA256, slow);
    await within("the download to begin", begun.promise);
    await assert.rejects(stat(join(folder, SHA256)), { code: "ENOENT" });
    sameBytes(await readFile(await other.file(SHA256, download(CONTENT))), CONTENT);
    gate.resolve();
    sameBytes(await readFile(await first), CONTENT);
    assert.deepEqual(await readdir(folder), [SHA256]);
    assert.equal(fetches, 2);
  });

  for (const [what, spoil] of [
    ["other bytes of the same length", (path: string) => writeFile(path, pattern(CONTENT.length, 8))],
    ["fewer bytes", (path: string) => truncate(path, 5)],
    ["none, as after a power loss", (path: string) => truncate(path, 0)],
  ] as const) {
    it(`is brought again when the file has ${what}`, async () => {
      const path = await new AssetCache(folder).file(SHA256, download(CONTENT));
      await spoil(path);
      assert.equal(await new AssetCache(folder).file(SHA256, download(CONTENT)), path);
      sameBytes(await readFile(path), CONTENT);
      assert.equal(fetches, 2);
    });
  }

  it("is not kept when something else arrives: MILL_STORE_CORRUPT, with what to remove; the next one may succeed", async () => {
    const cache = new AssetCache(folder);
    const found = createHash("sha256").update(pattern(300_000, 8)).digest("hex");
    await assert.rejects(cache.file(SHA256, download(pattern(300_000, 8))), {
      code: "MILL_STORE_CORRUPT",
      message: `an asset with SHA-256 ${SHA256} arrived as ${found}. The copy in the object store is damaged; submit the job again after removing assets/${SHA256}.`,
    });
    assert.deepEqual(await readdir(folder), []);
    sameBytes(await readFile(await cache.file(SHA256, download(CONTENT))), CONTENT);
  });

  it("leaves nothing behind of a download that fails, and passes its error on", async () => {
    const cache = new AssetCache(folder);
    const lost = new Error("the store went away");
    const breaks = async function* () {
      yield CONTENT.subarray(0, 100_000);
      throw lost;
    };
    await assert.rejects(cache.file(SHA256, breaks), lost);
    assert.deepEqual(await readdir(folder), []);
  });

  it("makes its folder", async () => {
    const path = await new AssetCache(join(folder, "a", "b")).file(SHA256, download(CONTENT));
    assert.equal(path, join(folder, "a", "b", SHA256));
    assert.equal(await sha256OfFile(path), SHA256);
  });
});

function newGate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
