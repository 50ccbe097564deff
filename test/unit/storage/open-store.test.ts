import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { openStore } from "../../../src/storage/open-store.js";

const SECRET = "hunter2secret";

function open(url: string, endpoint?: string) {
  return openStore(url, { s3: endpoint === undefined ? {} : { endpoint } }, realPorts());
}

function refusal(url: string, endpoint?: string): MillraceError {
  try {
    open(url, endpoint);
  } catch (error) {
    assert.ok(MillraceError.is(error), String(error));
    return error;
  }
  return assert.fail(`${url} was opened`);
}

describe("storage/open-store: addresses", () => {
  for (const [address, url] of [
    ["memory:", "memory:"],
    ["file:///data/millrace", "file:///data/millrace"],
    ["/data/mill race", "file:///data/mill%20race"],
    ["s3://my-bucket", "s3://my-bucket"],
    ["s3://my-bucket/", "s3://my-bucket"],
    ["s3://my.bucket/some/prefix", "s3://my.bucket/some/prefix"],
    ["s3://Old_Bucket/some/prefix/", "s3://Old_Bucket/some/prefix"],
  ] as const) {
    it(`opens ${address} as ${url}`, async () => {
      const store = open(address);
      assert.equal(store.url, url);
      await store.close();
    });
  }

  for (const address of [
    "",
    "relative/folder",
    "./folder",
    "memory",
    "memory://x",
    "http://127.0.0.1:9000/bucket",
    "gs://bucket",
    "s3:bucket",
    "s3://",
    "s3:///prefix",
    "s3://b",
    "s3://no spaces/prefix",
    "s3://bucket:9000/prefix",
    "s3://bucket?region=x",
    "s3://bucket//prefix",
    "s3://bucket/a/../b",
    "s3://bucket/.millrace-x",
    "file://folder",
    "file://folder/below",
    "file:folder",
    "file:///a%2Fb",
  ]) {
    it(`refuses "${address}": MILL_CONFIG, with what to write instead`, () => {
      const error = refusal(address);
      assert.equal(error.code, "MILL_CONFIG");
      assert.ok(error.message.startsWith(`"${address}" is no object store`), error.message);
      assert.match(error.message, /Use s3:\/\/bucket\/prefix, file:\/\/\/folder or an absolute path\.$/);
    });
  }

  it("says of a bucket's name that is too short what is wrong with it: the address looks as it should", () => {
    assert.match(
      refusal("s3://b/prefix").message,
      /is no object store: a bucket's name has at least 3 characters\. Use /,
    );
    assert.doesNotMatch(refusal("s3://bucket//prefix").message, /characters/);
  });

  it("shows no credentials that somebody wrote into an address", () => {
    for (const address of [`s3://key:${SECRET}@bucket/prefix`, `https://key:${SECRET}@host/bucket`]) {
      const error = refusal(address);
      assert.equal(error.code, "MILL_CONFIG");
      assert.ok(!JSON.stringify([error.message, error.facts]).includes(SECRET), error.message);
    }
    const endpoint = `http://key:${SECRET}@127.0.0.1:9000`;
    assert.ok(!open("s3://my-bucket", endpoint).url.includes(SECRET));
  });

  it("refuses an endpoint that is no URL: MILL_CONFIG, with the name to set", () => {
    const error = refusal("s3://my-bucket", `127.0.0.1:${SECRET}`);
    assert.equal(error.code, "MILL_CONFIG");
    assert.match(error.message, /Set AWS_ENDPOINT_URL_S3 to one like http:\/\/127\.0\.0\.1:9000\.$/);
    assert.ok(!error.message.includes(SECRET));
  });
});
