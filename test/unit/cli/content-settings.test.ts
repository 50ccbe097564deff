import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { contentSettings } from "../../../src/cli/settings.js";

describe("cli/settings: where content is kept", () => {
  it("is a folder below the cache, with the bound that the environment says", () => {
    const settings = contentSettings("s3://bucket", "/cache", {});
    assert.deepEqual(settings, {
      store: "s3://bucket",
      folder: "/cache/content",
      folderBytesMax: limits.contentCacheBytes,
    });
    for (const [text, bytes] of [
      ["0", 0],
      ["1000", 1_000],
      ["", limits.contentCacheBytes],
    ] as const) {
      const { folderBytesMax } = contentSettings("", "", { MILLRACE_CONTENT_CACHE_BYTES: text });
      assert.equal(folderBytesMax, bytes);
    }
  });

  for (const text of ["-1", "1.5", "10G", "x", "99999999999999999999"]) {
    it(`${text} bytes are MILL_CONFIG`, () => {
      assert.throws(() => contentSettings("", "", { MILLRACE_CONTENT_CACHE_BYTES: text }), {
        code: "MILL_CONFIG",
        message: /MILLRACE_CONTENT_CACHE_BYTES is/,
      });
    });
  }
});
