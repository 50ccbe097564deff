/** Content in S3 when the server or the wire fails: which error a reader gets, what is tried again, and what a retry may help. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import type { Ports } from "../../../src/base/ports.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { ContentReader } from "../../../src/storage/content.js";
import { sha256Of } from "../../../src/storage/content-checks.js";
import { S3Store } from "../../../src/storage/s3-store.js";
import { pattern, sameBytes } from "../../conformance/bus-support.js";
import { type MinioServer, startMinio } from "../../servers/index.js";
import { type Fault, FaultProxy, s3Error } from "./fault-proxy.js";

const SIZE = 200_000;
/** Long for an answer that is on its way. Tests wait for it, so those of silence have two attempts. */
const SILENCE_MS = 1_000;

describe("storage/content: an S3 that fails", () => {
  let server: MinioServer;
  let proxy: FaultProxy;
  let direct: S3Store;
  let content: ContentReader;
  const attemptsMax = limits.storeAttemptsMax;
  const bytes = pattern(SIZE);

  before(async () => {
    server = await startMinio();
    proxy = await FaultProxy.start(server.endpoint);
    direct = new S3Store(server.bucket, "", server, realPorts());
  });
  beforeEach(() => {
    content = open();
  });
  afterEach(async () => {
    (limits as { storeAttemptsMax: number }).storeAttemptsMax = attemptsMax;
    await content.close();
    proxy.reset();
  });
  after(async () => {
    await direct?.close();
    await proxy?.stop();
    await server?.stop();
  });

  function open(about: { readonly requestTimeoutMs?: number } = {}): ContentReader {
    const ports = realPorts();
    // Pauses between attempts take no time.
    const hurried: Ports = { ...ports, clock: { ...ports.clock, sleep: async () => {} } };
    return new ContentReader({ s3: { ...server, endpoint: proxy.endpoint, ...about } }, hurried);
  }

  /** What is planned may be silence, which is given up soon. */
  function plan(fault: Fault, times: () => number): number {
    if (fault.kind === "stall" || (fault.kind === "cut" && fault.ends === "stall")) {
      (limits as { storeAttemptsMax: number }).storeAttemptsMax = 2;
      content = open({ requestTimeoutMs: SILENCE_MS });
    }
    proxy.plan("GetObject", fault, times());
    return times();
  }

  async function stored(change: { readonly sha256?: string } = {}) {
    const key = `content-${randomUUID()}`;
    await direct.put(key, bytes);
    const uri = `s3://${server.bucket}/${key}`;
    return { key, ref: { uri, offset: 0n, sizeBytes: BigInt(SIZE), sha256: sha256Of(bytes), ...change } };
  }

  const FORMS = {
    bytes: (ref: Parameters<ContentReader["bytes"]>[0]) => content.bytes(ref),
    async stream(ref: Parameters<ContentReader["bytes"]>[0]) {
      const pieces: Uint8Array[] = [];
      for await (const piece of content.stream(ref)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
  };

  for (const [form, read] of Object.entries(FORMS)) {
    for (const [what, fault] of [
      ["is busy", { kind: "answer", answer: s3Error(503, "SlowDown") }],
      ["breaks off", { kind: "cut", afterBytes: 1_000, ends: "reset" }],
      ["says nothing any more", { kind: "cut", afterBytes: 1_000, ends: "stall" }],
      ["does not answer", { kind: "stall" }],
    ] as readonly (readonly [string, Fault])[]) {
      it(`one that ${what} is asked again: ${form} (R3)`, async () => {
        const { ref } = await stored();
        plan(fault, () => limits.storeAttemptsMax - 1);
        sameBytes(await read(ref), bytes);
        assert.equal(proxy.of("GetObject").length, limits.storeAttemptsMax);
      });
    }

    for (const [what, fault, code, retry] of [
      ["stays busy", { kind: "answer", answer: s3Error(503, "SlowDown") }, "MILL_STORE_FAILED", "backoff"],
      ["never answers", { kind: "stall" }, "MILL_STORE_UNREACHABLE", "backoff"],
      [
        "finds the credentials run out",
        { kind: "answer", answer: s3Error(400, "ExpiredToken") },
        "MILL_STORE_EXPIRED",
        "never",
      ],
      [
        "refuses the credentials",
        { kind: "answer", answer: s3Error(403, "AccessDenied") },
        "MILL_STORE_REFUSED",
        "never",
      ],
    ] as readonly (readonly [string, Fault, string, string])[]) {
      it(`one that ${what} is ${code}, ${retry === "never" ? "not to be" : "which may be"} retried: ${form}`, async () => {
        const { ref, key } = await stored();
        const requests = plan(fault, () => (retry === "never" ? 1 : limits.storeAttemptsMax));
        await assert.rejects(read(ref), (error: MillraceError) => {
          assert.deepEqual([error.code, error.retry], [code, retry]);
          assert.match(error.message, retry === "never" ? /AWS_/ : new RegExp(`${key}|cannot be reached`));
          return true;
        });
        assert.equal(proxy.of("GetObject").length, requests);
      });
    }

    it(`an object that is not there is MILL_STORE_NOT_FOUND: ${form}`, async () => {
      const { ref } = await stored();
      const uri = `${ref.uri}-not`;
      await assert.rejects(read({ ...ref, uri }), { code: "MILL_STORE_NOT_FOUND", retry: "never" });
    });

    it(`an object that was replaced by another of its size is MILL_CONTENT_HASH: ${form}`, async () => {
      const { ref } = await stored({ sha256: sha256Of(pattern(SIZE - 1)) });
      await assert.rejects(read(ref), { code: "MILL_CONTENT_HASH", retry: "never" });
    });

    it(`an object that was replaced by another size is MILL_SOURCE_CHANGED: ${form}`, async () => {
      const { ref, key } = await stored();
      await direct.put(key, pattern(SIZE + 1));
      await assert.rejects(read(ref), { code: "MILL_SOURCE_CHANGED", retry: "never" });
    });
  }
});
