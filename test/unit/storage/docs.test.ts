/** What docs/storage.md says in tables, against the code. Its policy is tried in `s3-refused.test.ts`. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES, isErrorCode } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { clusterSettings, s3Settings } from "../../../src/cli/settings.js";
import { packageRoot } from "../../servers/find.js";

describe("docs/content.md", () => {
  const page = readFileSync(join(packageRoot(), "docs", "content.md"), "utf8");

  it("has every limit of content, with its value", () => {
    const said = [...page.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)]);
    const real = Object.entries(limits).filter(([name]) => /^(content|inlineLimit)/.test(name));
    const shown = Object.fromEntries(said);
    for (const [name, value] of real.filter(([name]) => name in shown)) assert.equal(shown[name], value, name);
    assert.deepEqual(
      Object.keys(shown).filter((name) => !(name in limits)),
      [],
    );
    for (const name of ["inlineLimitBytes", "contentTimeoutMs", "contentCacheBytes"]) assert.ok(name in shown, name);
  });

  it("says of each error whether a retry may help, as the table of codes does", () => {
    const said = [...page.matchAll(/\| `(MILL_\w+)` \| (yes|no) \|/g)];
    assert.ok(said.length >= 9);
    for (const [, code = "", helps] of said) {
      assert.ok(isErrorCode(code), code);
      assert.equal(ERROR_CODES[code].retry, helps === "yes" ? "backoff" : "never", code);
    }
  });
});

describe("docs/storage.md", () => {
  const page = readFileSync(join(packageRoot(), "docs", "storage.md"), "utf8");

  it("has every limit of the stores, with its value", () => {
    const said = [...page.matchAll(/^\| `(store\w+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)]);
    const real = Object.entries(limits).filter(([name]) => name.startsWith("store"));
    assert.deepEqual(Object.fromEntries(said), Object.fromEntries(real));
    assert.match(page, new RegExp(`so ${Math.floor((limits.storePartsMax * limits.storeMultipartBytes) / 1e9)} GB`));
  });

  it("names codes that there are", () => {
    for (const [code] of page.matchAll(/MILL_\w+/g)) assert.ok(isErrorCode(code), code);
  });

  it("names the settings that are read, and in their order", () => {
    const names = [...new Set([...page.matchAll(/\bAWS_\w+/g)].map(([name]) => name))];
    const env = Object.fromEntries(names.map((name) => [name, `value of ${name}`]));
    assert.deepEqual(s3Settings(env), {
      endpoint: "value of AWS_ENDPOINT_URL_S3",
      region: "value of AWS_REGION",
      accessKeyId: "value of AWS_ACCESS_KEY_ID",
      secretAccessKey: "value of AWS_SECRET_ACCESS_KEY",
      sessionToken: "value of AWS_SESSION_TOKEN",
    });
    const others = { AWS_ENDPOINT_URL: env.AWS_ENDPOINT_URL, AWS_DEFAULT_REGION: env.AWS_DEFAULT_REGION };
    assert.deepEqual(s3Settings(others), {
      endpoint: "value of AWS_ENDPOINT_URL",
      region: "value of AWS_DEFAULT_REGION",
    });
    assert.equal(clusterSettings({}, { MILLRACE_STORE: "s3://bucket" }).store, "s3://bucket");
    assert.throws(() => clusterSettings({}, {}), { code: "MILL_CONFIG" });
  });
});
