/** What an S3 server refuses, and how the errors say so: name, key, next step, and no secret. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { PutBucketPolicyCommand, S3Client } from "@aws-sdk/client-s3";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { S3Store } from "../../../src/storage/s3-store.js";
import { bytes, pattern, text, within } from "../../conformance/bus-support.js";
import { packageRoot } from "../../servers/find.js";
import { type MinioServer, startMinio } from "../../servers/index.js";
import { FaultProxy, s3Error } from "./fault-proxy.js";
import { S3Bench } from "./s3-bench.js";

const HOUR_MS = 3_600_000;
const WHO = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a user who may read and write the bucket.";

const CALLS: readonly (readonly [string, (store: ObjectStore) => Promise<unknown>])[] = [
  ["put", (store) => store.put("a", bytes("one"))],
  ["put in parts", (store) => store.put("a", pattern(limits.storeMultipartBytes + 1))],
  ["create", (store) => store.create("a", bytes("one"))],
  ["get", (store) => store.get("a")],
  ["head", (store) => store.head("a")],
  ["list", (store) => first(store.list(""))],
  ["move", (store) => store.move("a", "b")],
  ["delete", (store) => store.delete("a")],
  ["check", (store) => store.check()],
];

describe("storage/s3: what the server refuses", () => {
  let server: MinioServer;
  let proxy: FaultProxy;
  const benches: S3Bench[] = [];
  const bench = (...[options]: [ConstructorParameters<typeof S3Bench>[2]?]) => {
    const made = new S3Bench(server, proxy.endpoint, options);
    benches.push(made);
    return made;
  };

  before(async () => {
    server = await startMinio();
    proxy = await FaultProxy.start(server.endpoint);
  });
  afterEach(async () => {
    await Promise.all(benches.splice(0).map((each) => each.close()));
    proxy.reset();
  });
  after(async () => {
    await proxy?.stop();
    await server?.stop();
  });

  for (const [name, call] of CALLS) {
    it(`${name}: a wrong secret is MILL_STORE_REFUSED at once, and says what to set`, async () => {
      const { store, failure, pauses } = bound(bench({ secretAccessKey: "not-the-secret-of-this-server" }));
      const error = await failure(call(store));
      assert.equal(error.code, "MILL_STORE_REFUSED");
      assert.ok(error.message.startsWith(`${store.url} at ${proxy.endpoint}: these credentials are refused (`));
      assert.ok(error.message.endsWith(WHO), error.message);
      assert.doesNotMatch(inspect(error, { depth: 20 }), /not-the-secret/);
      assert.equal(proxy.seen.length, 1);
      assert.deepEqual(pauses, []);
    });

    it(`${name}: the wrong region is MILL_STORE_REFUSED at once, and says what to set`, async () => {
      const { store, failure } = bound(bench({ region: "eu-central-7" }));
      const error = await failure(call(store));
      assert.equal(error.code, "MILL_STORE_REFUSED");
      assert.match(error.message, /AWS_REGION/);
      assert.ok(error.message.includes(server.bucket) && error.message.includes(proxy.endpoint), error.message);
      assert.equal(proxy.seen.length, 1);
    });
  }

  it("takes a redirect to another region for what it is, and follows none", async () => {
    const { store, failure } = bound(bench());
    proxy.plan("GetObject", { kind: "answer", answer: s3Error(301, "PermanentRedirect") });
    const error = await failure(store.get("a"));
    assert.equal(error.code, "MILL_STORE_REFUSED");
    assert.match(error.message, /is in another region \(PermanentRedirect\)\. Set AWS_REGION to it\.$/);
    assert.equal(proxy.seen.length, 1);
  });

  it("names the unknown access key's error, not the key's secret", async () => {
    const { store, failure } = bound(bench({ accessKeyId: "nobody" }));
    const error = await failure(store.get("a"));
    assert.match(error.message, /these credentials are refused \(InvalidAccessKeyId\)/);
  });

  it("says that the bucket is not there, and what to do: MILL_STORE_REFUSED", async () => {
    const elsewhere = { ...server, bucket: "no-such-bucket" };
    const lost = new S3Bench(elsewhere, proxy.endpoint);
    benches.push(lost);
    for (const [name, call] of CALLS.filter(([each]) => !["head", "move"].includes(each))) {
      const error = await lost.failure(call(lost.store));
      assert.equal(error.code, "MILL_STORE_REFUSED", name);
      assert.match(error.message, /there is no bucket no-such-bucket\. Create it, or name another one\.$/);
    }
    assert.equal(await lost.store.head("a"), undefined);
  });

  it("signs again with the server's clock when this machine's is wrong", async () => {
    const { store } = bench();
    const later = new Date(Date.now() + HOUR_MS).toUTCString();
    proxy.plan("PutObject", { kind: "answer", answer: s3Error(403, "RequestTimeTooSkewed", { date: later }) });
    await store.put("a", bytes("one"));
    const [first, second, third] = proxy.of("PutObject").map(({ headers }) => timeOf(headers["x-amz-date"]));
    // The second is an hour ahead, as it was told; the real server refuses it, and the client comes back.
    assert.ok(Math.abs(second! - first! - HOUR_MS) < 60_000, `${second! - first!} ms ahead`);
    assert.ok(Math.abs(third! - first!) < 60_000);
    assert.equal(text(await store.get("a")), "one");
  });

  describe("settings", () => {
    it("with an endpoint, the bucket is part of the path; a session token goes along", async () => {
      // By its name: an address of numbers would be used so in any case.
      const endpoint = proxy.endpoint.replace("127.0.0.1", "localhost");
      const { store, failure } = bound(bench({ endpoint, sessionToken: "a-token" }));
      await failure(store.get("a"));
      assert.ok(proxy.seen[0]?.path.startsWith(`/${server.bucket}/`), proxy.seen[0]?.path);
      assert.equal(proxy.seen[0]?.headers["x-amz-security-token"], "a-token");
    });

    it("without keys, the client looks where AWS's tools do; where it finds none: MILL_STORE_REFUSED", async () => {
      const { endpoint, region, bucket, accessKeyId, secretAccessKey } = server;
      const folder = await mkdtemp(join(tmpdir(), "millrace-aws-"));
      const file = join(folder, "credentials");
      const missing = join(folder, "missing");
      const open = () => new S3Store(bucket, "no-keys", { endpoint, region }, realPorts());
      const before = { ...process.env };
      for (const name of Object.keys(before)) if (name.startsWith("AWS_")) delete process.env[name];
      const environment = { AWS_SHARED_CREDENTIALS_FILE: missing, AWS_CONFIG_FILE: missing };
      Object.assign(process.env, { ...environment, AWS_EC2_METADATA_DISABLED: "true" });
      try {
        const none = open();
        await assert.rejects(none.check(), {
          code: "MILL_STORE_REFUSED",
          message: `s3://${bucket}/no-keys at ${endpoint}: no credentials were given. ${WHO}`,
        });
        await none.close();
        await writeFile(
          file,
          `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
        );
        process.env.AWS_SHARED_CREDENTIALS_FILE = file; // another: the client remembers what it has read
        const found = open();
        await found.check();
        await found.close();
      } finally {
        for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
        Object.assign(process.env, before);
        await rm(folder, { recursive: true });
      }
    });
  });

  describe("check", () => {
    it("proves that the store can be written: reading alone is not enough", async () => {
      const { store, failure } = bound(bench());
      await store.check();
      assert.deepEqual(proxy.operations(), ["PutObject", "DeleteObject"]);
      proxy.plan("PutObject", { kind: "answer", answer: s3Error(403, "AccessDenied") });
      const error = await failure(store.check());
      assert.equal(error.code, "MILL_STORE_REFUSED");
      assert.ok(error.message.endsWith(WHO));
    });

    it("takes five seconds at most, and says where nobody answers: MILL_STORE_UNREACHABLE", async () => {
      const silent = bench();
      proxy.plan("PutObject", { kind: "stall" });
      silent.onBound = (boundMs, pass) => {
        assert.equal(boundMs, limits.storeCheckTimeoutMs);
        proxy.waitFor("PutObject").then(pass, assert.fail);
      };
      const error = await within("the check to end", silent.failure(silent.store.check()));
      assert.equal(error.code, "MILL_STORE_UNREACHABLE");
      assert.equal(
        error.message,
        `${silent.store.url} at ${proxy.endpoint} did not answer within 5000 ms. Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
      );
    });
  });

  describe("the policy of docs/storage.md", () => {
    const policy = policyOfDocs();
    const actions = policy.flatMap(({ Action }) => Action);
    /** An operation that fails without the action. */
    const needs: Readonly<Record<string, (store: ObjectStore) => Promise<unknown>>> = {
      "s3:GetObject": (store) => store.get("a"),
      "s3:PutObject": (store) => store.put("a", bytes("two")),
      "s3:DeleteObject": (store) => store.delete("a"),
      "s3:ListBucket": (store) => first(store.list("")),
      "s3:AbortMultipartUpload": (store) => abortOne(store),
    };
    const abortOne = async (store: ObjectStore) => {
      const source = async function* () {
        yield pattern(2 * limits.storeMultipartBytes);
        throw new Error("no more");
      };
      await assert.rejects(store.put("large", source()), /no more/);
      const [last] = proxy.of("AbortMultipartUpload").slice(-1);
      assert.ok(last !== undefined, "nothing was aborted");
    };

    before(() => assert.deepEqual([...actions].sort(), Object.keys(needs).sort()));
    after(() => allow(undefined));

    it("is enough for everything", async () => {
      const { store } = bench();
      await allow(actions);
      proxy.anonymous = true;
      await store.check();
      await store.put("a", bytes("one"));
      await store.put("large", pattern(limits.storeMultipartBytes + 1));
      assert.equal((await store.create("log/1", bytes("one"))).created, true);
      assert.equal((await store.create("log/1", bytes("one"))).created, false);
      assert.equal(text(await store.get("a")), "one");
      assert.equal(await store.head("missing"), undefined);
      await store.move("a", "b");
      await store.delete("b");
      await abortOne(store);
      assert.ok((await first(store.list(""))) !== undefined);
    });

    for (const action of actions) {
      it(`needs ${action}`, async () => {
        const mine = bench();
        await mine.direct.put("a", bytes("one"));
        await allow(actions.filter((each) => each !== action));
        proxy.anonymous = true;
        if (action === "s3:AbortMultipartUpload") {
          await abortOne(mine.store);
          assert.deepEqual(mine.warnings(), ["object store: parts of a failed upload were left behind"]);
        } else assert.equal((await mine.failure(needs[action]!(mine.store))).code, "MILL_STORE_REFUSED");
      });
    }

    async function allow(allowed: readonly string[] | undefined): Promise<void> {
      const { endpoint, region, accessKeyId, secretAccessKey, bucket } = server;
      const credentials = { accessKeyId, secretAccessKey };
      const admin = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
      const Statement = policy
        .map((each) => ({
          ...each,
          Principal: "*",
          Resource: each.Resource.replace("my-bucket", bucket).replace("/my-prefix", ""),
          Action: each.Action.filter((action) => allowed?.includes(action)),
        }))
        .filter(({ Action }) => Action.length > 0);
      const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
      try {
        await admin.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
      } finally {
        admin.destroy();
      }
    }
  });
});

interface Statement {
  readonly Effect: string;
  readonly Action: readonly string[];
  readonly Resource: string;
}

/** The statements of the JSON block in the page, so that the page and the test cannot differ. */
function policyOfDocs(): readonly Statement[] {
  const page = readFileSync(join(packageRoot(), "docs", "storage.md"), "utf8");
  const block = /```json\n(.*?)```/s.exec(page)?.[1];
  assert.ok(block !== undefined, "docs/storage.md has no policy");
  return (JSON.parse(block) as { readonly Statement: readonly Statement[] }).Statement;
}

function bound(made: S3Bench) {
  return { store: made.store, pauses: made.pauses, failure: made.failure.bind(made) };
}

async function first<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}

/** Of `20260102T030405Z`, as it is signed. */
function timeOf(signed: string | string[] | undefined): number {
  return Date.parse(String(signed).replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"));
}
