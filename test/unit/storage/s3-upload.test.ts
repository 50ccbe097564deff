/** Uploads to S3 that go wrong: O1, O4, O5 of `src/storage/object-store.ts` and U1 to U3 of `src/storage/s3-upload.ts`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { limits } from "../../../src/base/limits.js";
import { Crc32 } from "../../../src/storage/crc32.js";
import { bytes, pattern, sameBytes, text, within } from "../../conformance/bus-support.js";
import { type MinioServer, startMinio } from "../../servers/index.js";
import { FaultProxy, s3Error } from "./fault-proxy.js";
import { S3Bench } from "./s3-bench.js";

const PART = limits.storeMultipartBytes;
const REASON = new Error("the job was cancelled");
const DENIED = { kind: "answer", answer: s3Error(403, "AccessDenied") } as const;
const LOST = { kind: "reset", applied: true } as const;

describe("storage/s3-upload: faults", () => {
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

  describe("requests", () => {
    it("sends 8 MiB in one PutObject, with its checksum (O4)", async () => {
      const all = pattern(PART);
      await bench.store.put("a", all);
      assert.deepEqual(proxy.operations(), ["PutObject"]);
      assert.equal(proxy.seen[0]?.headers["x-amz-checksum-crc32"], crcOf(all));
    });

    it("sends a body without asking for leave, which would take a connection of its own", async () => {
      await bench.store.put("a", pattern(PART));
      await bench.store.put("b", pattern(PART + 1));
      const bodies = [...proxy.of("PutObject"), ...proxy.of("UploadPart")];
      assert.deepEqual(
        bodies.map(({ headers: { expect, connection } }) => ({ expect, connection })),
        Array(3).fill({ expect: undefined, connection: "keep-alive" }),
      );
    });

    it("signs with a hash that the caller has, and the server checks the bytes against it (O4)", async () => {
      const all = pattern(1000);
      const sha256 = createHash("sha256").update(all).digest("hex");
      await bench.store.put("a", all, { sha256 });
      assert.equal(proxy.seen[0]?.headers["x-amz-content-sha256"], sha256);
      const other = createHash("sha256").digest("hex");
      const error = await bench.failure(bench.store.put("b", all, { sha256: other }));
      assert.match(error.message, /SHA256Mismatch/);
      assert.equal(await bench.direct.head("b"), undefined);
    });

    for (const [form, body] of [
      ["bytes", (all: Uint8Array) => all],
      ["a stream", pieces],
    ] as const) {
      it(`sends more in parts of 8 MiB, each with its checksum, and the whole one's at the end (U2, ${form})`, async () => {
        const all = pattern(2 * PART + 5);
        await bench.store.put("a", body(all));
        const parts = proxy.of("UploadPart").sort((a, b) => numberOf(a.path) - numberOf(b.path));
        assert.deepEqual(
          parts.map(({ path, body: { length } }) => [numberOf(path), length]),
          [
            [1, PART],
            [2, PART],
            [3, 5],
          ],
        );
        for (const part of parts) assert.equal(part.headers["x-amz-checksum-crc32"], crcOf(part.body));
        const [complete] = proxy.of("CompleteMultipartUpload");
        assert.equal(complete?.headers["x-amz-checksum-crc32"], crcOf(all));
        assert.equal(complete?.headers["x-amz-checksum-type"], "FULL_OBJECT");
        assert.equal(proxy.of("PutObject").length, 0);
        sameBytes(await bench.direct.get("a"), all);
      });
    }

    it("sends three parts at a time and no more (U3)", async () => {
      let release = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      proxy.plan("UploadPart", { kind: "hold", until }, limits.storePartsInFlight);
      const all = pattern(5 * PART);
      const put = bench.store.put("a", all);
      await proxy.waitFor("UploadPart", limits.storePartsInFlight);
      // A fourth part would have come before this: it is no larger, and was there to send earlier.
      await bench.store.put("b", pattern(PART));
      assert.equal(proxy.of("UploadPart").length, limits.storePartsInFlight);
      release();
      await put;
      assert.equal(proxy.of("UploadPart").length, 5);
      sameBytes(await bench.direct.get("a"), all);
    });
  });

  describe("damage on the way", () => {
    it("is found by the server in a PutObject, and the object is sent again (O4, O5)", async () => {
      proxy.plan("PutObject", { kind: "damage-request", at: 1 }, 2);
      await bench.store.put("a", bytes("one"));
      assert.equal(text(await bench.direct.get("a")), "one");
      assert.equal(proxy.of("PutObject").length, 3);
    });

    it("is found by the server in a part, and that part is sent again (U2)", async () => {
      const all = pattern(PART + 5);
      proxy.plan("UploadPart", { kind: "damage-request", at: 1 });
      await bench.store.put("a", all);
      assert.equal(proxy.of("UploadPart").length, 3);
      sameBytes(await bench.direct.get("a"), all);
    });
  });

  describe("an upload in parts that fails", () => {
    it("is aborted on the server before its error is passed on (U1)", async () => {
      await bench.store.put("large", bytes("old"));
      proxy.plan("UploadPart", DENIED);
      const error = await bench.failure(bench.store.put("large", pattern(4 * PART)));
      assert.equal(error.code, "MILL_STORE_REFUSED");
      assert.equal(proxy.of("AbortMultipartUpload").length, 1);
      assert.equal(await bench.openUploads("large"), 0);
      assert.equal(text(await bench.store.get("large")), "old");
    });

    it("is aborted when its source fails (U1)", async () => {
      const fails = async function* () {
        yield* pieces(pattern(3 * PART));
        throw REASON;
      };
      await assert.rejects(bench.store.put("large", fails()), REASON);
      assert.equal(await bench.openUploads("large"), 0);
      assert.deepEqual(await bench.keys(), []);
    });

    it("is aborted when it is cancelled while a part gets no answer (U1, O5)", async () => {
      proxy.plan("UploadPart", { kind: "stall" }, 2);
      const cancel = new AbortController();
      const put = assert.rejects(bench.store.put("large", pattern(2 * PART), { signal: cancel.signal }), REASON);
      await proxy.waitFor("UploadPart", 2);
      assert.equal(await bench.openUploads("large"), 1, "the server does not list what is being uploaded");
      cancel.abort(REASON);
      await within("the put to end", put);
      assert.equal(await bench.openUploads("large"), 0);
      assert.deepEqual(await bench.keys(), []);
    });

    it("is aborted when it was cancelled while it was begun (U1)", async () => {
      const cancel = new AbortController();
      bench.onBound = () => assert.equal(proxy.of("UploadPart").length, 0);
      const put = assert.rejects(bench.store.put("large", pattern(2 * PART), { signal: cancel.signal }), REASON);
      await proxy.waitFor("CreateMultipartUpload");
      cancel.abort(REASON);
      await within("the put to end", put);
      assert.deepEqual(proxy.operations(), ["CreateMultipartUpload", "AbortMultipartUpload"]);
      assert.equal(await bench.openUploads("large"), 0);
    });

    it("is not begun again when it is cancelled in between (O5)", async () => {
      const cancel = new AbortController();
      proxy.plan("CreateMultipartUpload", { kind: "answer", answer: s3Error(503, "SlowDown") });
      bench.onPause = () => cancel.abort(REASON);
      await assert.rejects(bench.store.put("large", pattern(2 * PART), { signal: cancel.signal }), REASON);
      assert.deepEqual(proxy.operations(), ["CreateMultipartUpload"]);
    });

    it("does not wait for ever to be begun when it is cancelled (O5)", async () => {
      proxy.plan("CreateMultipartUpload", { kind: "stall" });
      const cancel = new AbortController();
      const bounds: number[] = [];
      bench.onBound = (boundMs, pass) => {
        bounds.push(boundMs);
        pass();
      };
      const put = assert.rejects(bench.store.put("large", pattern(2 * PART), { signal: cancel.signal }), REASON);
      await proxy.waitFor("CreateMultipartUpload");
      cancel.abort(REASON);
      await within("the put to end", put);
      assert.deepEqual(bounds, [limits.storeCheckTimeoutMs]);
    });

    it("is aborted with more than one attempt (U1, O5)", async () => {
      proxy.plan("UploadPart", DENIED);
      proxy.plan("AbortMultipartUpload", { kind: "reset" }, 2);
      await bench.failure(bench.store.put("large", pattern(2 * PART)));
      assert.equal(proxy.of("AbortMultipartUpload").length, 3);
      assert.equal(await bench.openUploads("large"), 0);
    });

    it("takes a repeated abort that finds nothing for done, and warns of nothing (U1)", async () => {
      proxy.plan("UploadPart", DENIED);
      proxy.plan("AbortMultipartUpload", LOST);
      proxy.plan("AbortMultipartUpload", { kind: "answer", answer: s3Error(404, "NoSuchUpload") });
      await bench.failure(bench.store.put("large", pattern(2 * PART)));
      assert.equal(await bench.openUploads("large"), 0);
      assert.deepEqual(bench.warnings(), []);
    });

    it("keeps its own error where the abort fails too, and warns of the parts left behind", async () => {
      proxy.plan("UploadPart", { kind: "answer", answer: s3Error(507, "XMinioStorageFull") });
      proxy.plan("AbortMultipartUpload", DENIED);
      const error = await bench.failure(bench.store.put("large", pattern(2 * PART)));
      assert.equal(error.code, "MILL_STORE_FULL");
      assert.match(error.message, /has no room left for large \(XMinioStorageFull\)\. Free some and run again\.$/);
      assert.deepEqual(bench.warnings(), ["object store: parts of a failed upload were left behind"]);
      assert.equal(await bench.openUploads("large"), 1);
    });

    it("leaves one behind when the answer to its start was lost, and succeeds with another", async () => {
      proxy.plan("CreateMultipartUpload", LOST);
      await bench.store.put("large", pattern(PART + 5));
      assert.equal((await bench.store.head("large"))?.sizeBytes, PART + 5);
      assert.equal(await bench.openUploads("large"), 1);
      assert.deepEqual(await bench.keys(), ["large"]);
    });

    it("does not wait for ever for its abort (O5)", async () => {
      proxy.plan("UploadPart", DENIED);
      proxy.plan("AbortMultipartUpload", { kind: "stall" });
      const bounds: number[] = [];
      bench.onBound = (boundMs, pass) => {
        bounds.push(boundMs);
        proxy.waitFor("AbortMultipartUpload").then(pass, assert.fail);
      };
      const put = bench.failure(bench.store.put("large", pattern(2 * PART)));
      assert.equal((await within("the put to end", put)).code, "MILL_STORE_REFUSED");
      assert.deepEqual(bounds, [limits.storeCheckTimeoutMs]);
      assert.equal(bench.warnings().length, 1);
    });
  });

  describe("the end of an upload in parts", () => {
    const all = pattern(PART + 5);

    it("is known to have happened, though its answer was lost (O2)", async () => {
      proxy.plan("CompleteMultipartUpload", LOST);
      const info = await bench.store.put("large", all);
      assert.equal(proxy.of("CompleteMultipartUpload").length, 2);
      assert.deepEqual(await bench.direct.head("large"), info);
      sameBytes(await bench.direct.get("large"), all);
    });

    it("is known to have happened, though the server said afterwards that it failed (O2)", async () => {
      proxy.plan("CompleteMultipartUpload", { kind: "answer", answer: s3Error(500, "InternalError"), applied: true });
      const info = await bench.store.put("large", all);
      assert.deepEqual(await bench.direct.head("large"), info);
    });

    it("is not taken for done when the failure comes with status 200 (O1, O5)", async () => {
      proxy.plan("CompleteMultipartUpload", { kind: "answer", answer: s3Error(200, "InternalError") });
      await bench.store.put("large", all);
      assert.equal(proxy.of("CompleteMultipartUpload").length, 2);
      sameBytes(await bench.direct.get("large"), all);
    });

    it("fails when the upload is gone and another object is there (O2)", async () => {
      await bench.direct.put("large", pattern(PART + 5, 8));
      const gone = { kind: "answer", answer: s3Error(404, "NoSuchUpload") } as const;
      proxy.plan("CompleteMultipartUpload", { kind: "reset" });
      proxy.plan("CompleteMultipartUpload", gone);
      const error = await bench.failure(bench.store.put("large", all));
      assert.equal(error.code, "MILL_STORE_FAILED");
      assert.match(
        error.message,
        /: the upload of large was ended by somebody else \(NoSuchUpload\)\. .* run again\.$/,
      );
    });
  });
});

async function* pieces(all: Uint8Array): AsyncGenerator<Uint8Array> {
  const pieceBytes = 1_000_003;
  for (let at = 0; at < all.length; at += pieceBytes) yield all.subarray(at, at + pieceBytes);
}

function crcOf(all: Uint8Array): string {
  const crc = new Crc32();
  crc.add(all);
  return crc.toString();
}

function numberOf(path: string): number {
  return Number(new URL(path, "http://any").searchParams.get("partNumber"));
}
