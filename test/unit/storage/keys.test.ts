import assert from "node:assert/strict";
import { id, type JobId } from "../../../src/base/ids.js";
import { assetKey, bundleKey, jobKeys } from "../../../src/storage/keys.js";
import { checkKey } from "../../../src/storage/object-calls.js";

describe("storage/keys: where objects are", () => {
  const sha256 = "ab".repeat(32);
  const job = id<JobId>("job", "j-1");

  it("is what the table at the head of the module says", () => {
    assert.equal(bundleKey(sha256), `bundles/${sha256}.mjs`);
    assert.equal(assetKey(sha256), `assets/${sha256}`);
    assert.equal(jobKeys(job).spec, "jobs/j-1/spec.avro");
    assert.equal(jobKeys(job).inputs("pages"), "jobs/j-1/inputs/pages");
  });

  it("of a split log and of its pages are apart: a listing of the one names none of the other", () => {
    const { splitLog, splitRecord, splitPage } = jobKeys(job);
    assert.equal(splitPage("in", 256, 512n), "jobs/j-1/sources/in/pages/256/000000000512");
    assert.ok(
      splitRecord("in", 512n).startsWith(splitLog("in")) && !splitPage("in", 16, 512n).startsWith(splitLog("in")),
    );
    checkKey(splitPage("in", 16, 16n));
  });

  it("is a valid key everywhere", () => {
    for (const key of [
      bundleKey(sha256),
      assetKey(sha256),
      jobKeys(job).spec,
      `${jobKeys(job).inputs("pages")}/a.png`,
    ]) {
      checkKey(key);
    }
  });

  it("of one job is no prefix of another's", () => {
    const other = jobKeys(id<JobId>("job", "j-11"));
    assert.ok(
      !other.spec.startsWith(jobKeys(job).spec) && !other.inputs("a").startsWith(`${jobKeys(job).inputs("a")}/`),
    );
  });
});
