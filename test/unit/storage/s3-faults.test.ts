/**
 * S3 when the server or the wire fails: O1, O3, O4 and O5 of `src/storage/object-store.ts`, the D, U rules of
 * `s3-download.ts` and `s3-upload.ts`. A real server behind a proxy that makes chosen requests fail. Pauses between
 * attempts are recorded and take no time.
 */
import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import type { ByteRange, CallOptions, ObjectInfo, ObjectStore } from "../../../src/storage/object-store.js";
import { bytes, pattern, sameBytes, text, within } from "../../conformance/bus-support.js";
import { type MinioServer, startMinio } from "../../servers/index.js";
import { FaultProxy, s3Error } from "./fault-proxy.js";
import { S3Bench } from "./s3-bench.js";

type Read = (store: ObjectStore, key: string, range?: ByteRange) => Promise<Uint8Array>;

/** Long for an answer that is on its way. */
const SILENCE_MS = 1_000;

const FORMS: readonly (readonly [string, Read])[] = [
  ["get", (store, key, range) => store.get(key, range === undefined ? {} : { range })],
  ["stream", (store, key, range) => all(store.stream(key, range === undefined ? {} : { range }))],
];

describe("storage/s3: requests that fail and are made again", () => {
  let server: MinioServer;
  let proxy: FaultProxy;
  let bench: S3Bench;

  before(async () => {
    server = await startMinio();
    proxy = await FaultProxy.start(server.endpoint);
  });
  beforeEach(() => {
    bench = new S3Bench(server, proxy.endpoint);
  });
  afterEach(async () => {
    await bench.close();
    proxy.reset();
  });
  after(async () => {
    await proxy?.stop();
    await server?.stop();
  });

  const SLOW_DOWN = { kind: "answer", answer: s3Error(503, "SlowDown") } as const;

  describe("the server is busy (503 SlowDown)", () => {
    it("tries five times, with pauses that double (O5)", async () => {
      const { store, pauses } = bench;
      proxy.plan("PutObject", SLOW_DOWN, 4);
      await store.put("a", bytes("one"));
      assert.deepEqual(pauses, [100, 200, 400, 800]);
      assert.equal(proxy.of("PutObject").length, 5);
      assert.equal(text(await store.get("a")), "one");
    });

    it("shortens pauses by up to a half, so that many clients do not come back at once (O5)", async () => {
      bench.random = 0.5;
      proxy.plan("PutObject", SLOW_DOWN, 4);
      await bench.store.put("a", bytes("one"));
      assert.deepEqual(bench.pauses, [75, 150, 300, 600]);
    });

    it("gives up after limits.storeAttemptsMax requests, and names store, key, what was said and the next step (O5)", async () => {
      proxy.plan("PutObject", SLOW_DOWN, limits.storeAttemptsMax);
      const error = await bench.failure(bench.store.put("a/b", bytes("one")));
      assert.equal(error.code, "MILL_STORE_FAILED");
      assert.equal(
        error.message,
        `${bench.store.url} at ${proxy.endpoint}: a/b failed after 5 attempts (status 503, SlowDown: told to fail). Look into the store's log, then run again.`,
      );
      assert.equal(proxy.of("PutObject").length, limits.storeAttemptsMax);
      assert.equal(await bench.direct.head("a/b"), undefined);
    });

    it("does so with every operation (O5)", async () => {
      const { store } = bench;
      const large = new Uint8Array(limits.storeMultipartBytes + 1);
      const each = [
        "PutObject",
        "GetObject",
        "HeadObject",
        "ListObjectsV2",
        "CopyObject",
        "DeleteObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
      ];
      for (const operation of each) proxy.plan(operation, SLOW_DOWN);
      await store.put("a", bytes("one"));
      assert.equal(text(await store.get("a")), "one");
      assert.equal((await store.head("a"))?.sizeBytes, 3);
      assert.deepEqual(await bench.keys(), ["a"]);
      await store.move("a", "b");
      await store.delete("b");
      await store.put("large", large);
      sameBytes(await store.get("large"), large);
      assert.deepEqual(await bench.keys(), ["large"]);
      assert.equal(bench.pauses.length, each.length);
    });

    it("ends a pause when it is cancelled (O5)", async () => {
      const cancel = new AbortController();
      const reason = new Error("the job was cancelled");
      bench.onPause = () => {
        cancel.abort(reason);
        return new Promise(() => {});
      };
      proxy.plan("PutObject", SLOW_DOWN);
      const put = bench.store.put("a", bytes("one"), { signal: cancel.signal });
      await within("the put to end", assert.rejects(put, reason));
      assert.equal(proxy.of("PutObject").length, 1);
    });
  });

  describe("the connection breaks", () => {
    it("stores what the server never got (O5)", async () => {
      proxy.plan("PutObject", { kind: "reset" }, 2);
      await bench.store.put("a", bytes("one"));
      assert.equal(text(await bench.store.get("a")), "one");
      assert.equal(bench.pauses.length, 2);
    });

    it("gives up when it breaks five times: MILL_STORE_UNREACHABLE (O5)", async () => {
      proxy.plan("PutObject", { kind: "reset" }, limits.storeAttemptsMax);
      const error = await bench.failure(bench.store.put("a", bytes("one")));
      assert.equal(error.code, "MILL_STORE_UNREACHABLE");
      assert.match(error.message, /cannot be reached \(ECONNRESET, tried 5 times\)/);
    });

    it("stores again what the server got and could not acknowledge (O5)", async () => {
      proxy.plan("PutObject", { kind: "reset", applied: true });
      const info = await bench.store.put("a", bytes("one"));
      assert.deepEqual(await bench.store.head("a"), info);
      assert.equal(text(await bench.store.get("a")), "one");
    });

    it("deletes and moves again what was done and not acknowledged (O5)", async () => {
      const { store } = bench;
      await store.put("a", bytes("one"));
      proxy.plan("CopyObject", { kind: "reset", applied: true });
      proxy.plan("DeleteObject", { kind: "reset", applied: true });
      await store.move("a", "b");
      assert.deepEqual(await bench.keys(), ["b"]);
      assert.equal(text(await store.get("b")), "one");
    });

    it("says that it created what it created, though the answer was lost (O3)", async () => {
      proxy.plan("PutObject", { kind: "reset", applied: true });
      assert.deepEqual(await bench.store.create("log/1", bytes("one")), { created: true });
      assert.equal(text(await bench.store.get("log/1")), "one");
      assert.equal(proxy.of("PutObject").length, 2);
    });

    it("does not say so of what another wrote, be it the same bytes (O3)", async () => {
      await bench.direct.create("log/1", bytes("one"));
      proxy.plan("PutObject", { kind: "reset" });
      const answer = await bench.store.create("log/1", bytes("one"));
      assert.ok(!answer.created);
      assert.equal(text(answer.existing), "one");
    });

    it("creates again what was deleted before the next attempt (O3)", async () => {
      proxy.plan("PutObject", { kind: "reset", applied: true });
      bench.onPause = () => bench.direct.delete("log/1");
      assert.deepEqual(await bench.store.create("log/1", bytes("one")), { created: true });
      assert.equal(text(await bench.store.get("log/1")), "one");
    });

    it("waits for another writer that has not finished (409), and loses to it (O3)", async () => {
      const conflict = { kind: "answer", answer: s3Error(409, "ConditionalRequestConflict") } as const;
      proxy.plan("PutObject", conflict, 2);
      bench.onPause = () => (bench.pauses.length === 2 ? bench.direct.put("log/1", bytes("other")) : undefined);
      const answer = await bench.store.create("log/1", bytes("one"));
      assert.ok(!answer.created);
      assert.equal(text(answer.existing), "other");
      proxy.plan("PutObject", conflict, limits.storeAttemptsMax);
      assert.equal((await bench.failure(bench.store.create("log/2", bytes("one")))).code, "MILL_STORE_FAILED");
    });

    it("says that the server cannot be reached, how often it tried, and what to set: MILL_STORE_UNREACHABLE", async () => {
      const other = await FaultProxy.start(server.endpoint);
      const { endpoint } = other;
      await other.stop();
      const lost = new S3Bench(server, endpoint.replace("//", "//somebody:hunter2@"));
      const error = await lost.failure(lost.store.get("a"));
      await lost.close();
      assert.equal(error.code, "MILL_STORE_UNREACHABLE");
      assert.equal(
        error.message,
        `${lost.store.url} at ${endpoint} cannot be reached (ECONNREFUSED, tried 5 times). Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
      );
      assert.equal(lost.pauses.length, 4);
    });
  });

  describe("downloads", () => {
    const whole = pattern(300_000);
    const BREAKS = { kind: "cut", afterBytes: 100_000, ends: "reset" } as const;
    const NOTHING = { kind: "cut", afterBytes: 0, ends: "reset" } as const;
    const DAMAGED = { kind: "damage-answer", at: 150_000 } as const;

    for (const [form, read] of FORMS) {
      it(`goes on where the answer broke off, with the version it began (D1, D2, ${form})`, async () => {
        const { version } = await bench.store.put("a", whole);
        proxy.plan("GetObject", BREAKS, 2);
        sameBytes(await read(bench.store, "a"), whole);
        const ranges = proxy.of("GetObject").map(({ headers }) => [headers.range, headers["if-match"]]);
        assert.deepEqual(ranges, [
          [undefined, undefined],
          ["bytes=100000-299999", version],
          ["bytes=200000-299999", version],
        ]);
      });

      it(`goes on in a range (D2, ${form})`, async () => {
        await bench.store.put("a", whole);
        proxy.plan("GetObject", BREAKS);
        const range = { offset: 10_000, length: 200_000 };
        sameBytes(await read(bench.store, "a", range), whole.subarray(10_000, 210_000));
        assert.deepEqual(
          proxy.of("GetObject").map(({ headers }) => headers.range),
          ["bytes=10000-209999", "bytes=110000-209999"],
        );
      });

      it(`gives up after five attempts that bring nothing, and says where (O5, ${form})`, async () => {
        await bench.store.put("a", whole);
        proxy.plan("GetObject", BREAKS);
        proxy.plan("GetObject", NOTHING, limits.storeAttemptsMax - 1);
        const error = await bench.failure(read(bench.store, "a"));
        assert.equal(error.code, "MILL_STORE_FAILED");
        assert.match(error.message, new RegExp(`${bench.store.url} .*: a broke off at byte 100000 of 300000, after 5`));
        assert.equal(proxy.of("GetObject").length, limits.storeAttemptsMax);
      });

      it(`goes on after silence (D2, O5, ${form})`, async () => {
        await bench.store.put("a", whole);
        const hasty = bench.open({ requestTimeoutMs: SILENCE_MS });
        proxy.plan("GetObject", { ...BREAKS, ends: "stall" });
        sameBytes(await read(hasty, "a"), whole);
        assert.ok(proxy.of("GetObject").some(({ headers }) => headers.range === "bytes=100000-299999"));
      });
    }

    it("fails a stream whose bytes are not those of the checksum: MILL_STORE_CORRUPT (O4, D3)", async () => {
      await bench.store.put("a", whole);
      proxy.plan("GetObject", DAMAGED);
      const error = await bench.failure(all(bench.store.stream("a")));
      assert.equal(error.code, "MILL_STORE_CORRUPT");
      assert.match(error.message, new RegExp(`^a in ${bench.store.url} .* read it again`));
      assert.equal(proxy.of("GetObject").length, 1);
    });

    it("checks the whole also when it came in two answers (O4, D3)", async () => {
      await bench.store.put("a", whole);
      proxy.plan("GetObject", BREAKS);
      proxy.plan("GetObject", DAMAGED);
      assert.equal((await bench.failure(all(bench.store.stream("a")))).code, "MILL_STORE_CORRUPT");
    });

    it("checks an object that was uploaded in parts (O4, D3)", async () => {
      await bench.store.put("a", pattern(limits.storeMultipartBytes + 1));
      proxy.plan("GetObject", DAMAGED);
      assert.equal((await bench.failure(all(bench.store.stream("a")))).code, "MILL_STORE_CORRUPT");
    });

    it("checks an object that another program wrote with a checksum of its own (D3)", async () => {
      await bench.putWithSha256("a", whole);
      sameBytes(await bench.store.get("a"), whole);
      proxy.plan("GetObject", DAMAGED);
      assert.equal((await bench.failure(all(bench.store.stream("a")))).code, "MILL_STORE_CORRUPT");
    });

    it("gets again what arrived damaged, five times at most (O4, O5)", async () => {
      await bench.store.put("a", whole);
      proxy.plan("GetObject", DAMAGED, 4);
      sameBytes(await bench.store.get("a"), whole);
      proxy.plan("GetObject", DAMAGED, 5);
      assert.equal((await bench.failure(bench.store.get("a"))).code, "MILL_STORE_CORRUPT");
      assert.equal(proxy.of("GetObject").length, 10);
    });

    it("does not check the bytes of a range, but its length (D3)", async () => {
      await bench.store.put("a", whole);
      proxy.plan("GetObject", { kind: "damage-answer", at: 0 });
      const found = await bench.store.get("a", { range: { offset: 5, length: 10 } });
      assert.equal(found.length, 10);
      assert.equal(found[0], whole[5]! ^ 1);
    });

    it("does not mix two versions: a stream fails with MILL_SOURCE_CHANGED, get reads the new one (D1)", async () => {
      const other = pattern(300_000, 8);
      for (const after of ["stream", "get"] as const) {
        await bench.store.put("a", whole);
        proxy.plan("GetObject", BREAKS);
        bench.onPause = () => bench.direct.put("a", other);
        if (after === "get") sameBytes(await bench.store.get("a"), other);
        else {
          const error = await bench.failure(all(bench.store.stream("a")));
          assert.equal(error.code, "MILL_SOURCE_CHANGED");
          assert.match(error.message, /^a in s3:.* was replaced while it was read\. Read it again\.$/);
        }
      }
    });
  });

  it("does not list a probe that a check left behind", async () => {
    await bench.putWithSha256(".millrace-probe", bytes(""));
    await bench.store.put("a", bytes("one"));
    assert.deepEqual(await bench.keys(), ["a"]);
  });

  describe("silence and cancels", () => {
    const reason = new Error("the job was cancelled");

    it("takes silence for a failure, and tries again (O5)", async () => {
      proxy.plan("PutObject", { kind: "stall" }, 2);
      const hasty = bench.open({ requestTimeoutMs: SILENCE_MS });
      await hasty.put("a", bytes("one"));
      assert.equal(text(await bench.store.get("a")), "one");
      assert.ok(proxy.of("PutObject").length >= 3);
    });

    for (const [name, operation, call] of [
      ["put", "PutObject", (signal: AbortSignal) => bench.store.put("new", bytes("one"), { signal })],
      ["create", "PutObject", (signal: AbortSignal) => bench.store.create("new", bytes("one"), { signal })],
      ["get", "GetObject", (signal: AbortSignal) => bench.store.get("a", { signal })],
      ["stream", "GetObject", (signal: AbortSignal) => all(bench.store.stream("a", { signal }))],
      ["head", "HeadObject", (signal: AbortSignal) => bench.store.head("a", { signal })],
      ["list", "ListObjectsV2", (signal: AbortSignal) => listed(bench.store, { signal })],
      ["move", "CopyObject", (signal: AbortSignal) => bench.store.move("a", "b", { signal })],
      ["delete", "DeleteObject", (signal: AbortSignal) => bench.store.delete("a", { signal })],
      ["check", "PutObject", (signal: AbortSignal) => bench.store.check({ signal })],
    ] as const) {
      it(`ends a ${name} whose ${operation} gets no answer when it is cancelled (O5)`, async () => {
        await bench.direct.put("a", bytes("one"));
        proxy.plan(operation, { kind: "stall" });
        const cancel = new AbortController();
        const pending = assert.rejects(call(cancel.signal), reason);
        await proxy.waitFor(operation);
        cancel.abort(reason);
        await within("the call to end", pending);
        assert.deepEqual(await bench.keys(), ["a"]);
      });
    }

    it("ends a download that has stopped coming when it is cancelled (O5)", async () => {
      await bench.store.put("a", pattern(300_000));
      proxy.plan("GetObject", { kind: "cut", afterBytes: 100_000, ends: "stall" });
      const cancel = new AbortController();
      let read = 0;
      const reading = (async () => {
        for await (const piece of bench.store.stream("a", { signal: cancel.signal })) {
          read += piece.length;
          if (read === 100_000) queueMicrotask(() => cancel.abort(reason));
        }
      })();
      await within("the stream to end", assert.rejects(reading, reason));
      assert.equal(read, 100_000);
    });
  });
});

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  for await (const piece of pieces) kept.push(piece);
  return Buffer.concat(kept);
}

async function listed(store: ObjectStore, options: CallOptions): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const info of store.list("", options)) found.push(info);
  return found;
}
