import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import type { Clock } from "../../../src/base/ports.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { type ContentParts, ContentReader, type ContentSource } from "../../../src/storage/content.js";
import { ContentCache } from "../../../src/storage/content-cache.js";
import { sha256Of } from "../../../src/storage/content-checks.js";
import { ContentMemory } from "../../../src/storage/content-memory.js";
import { ContentStore } from "../../../src/storage/content-store.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { inline, type ObjectRef } from "../../../src/types/content-types.js";
import { bytes, text } from "../../conformance/bus-support.js";

const WHOLE = bytes("abcdefghij");
const HASH = sha256Of(WHOLE);
const ref: ObjectRef = { uri: "http://host/a", offset: 0n, sizeBytes: 10n, sha256: HASH, mediaType: "" };
const REQUEST = new Error("a request");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-content-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A source that counts what is read of it. */
function source(content: Uint8Array | (() => AsyncIterable<Uint8Array>)) {
  const reads: string[] = [];
  const pieces = content instanceof Uint8Array ? [content.subarray(0, 4), content.subarray(4)] : content;
  const made: ContentSource = {
    async get(_uri, { range }) {
      reads.push("get");
      const all = content as Uint8Array;
      return range === undefined ? all : all.subarray(range.offset, range.offset + range.length);
    },
    async *stream() {
      reads.push("stream");
      yield* typeof pieces === "function" ? pieces() : pieces;
    },
  };
  return { reads, source: made };
}

function cache(): ContentCache {
  return new ContentCache({ folder: join(folder, "cache"), ports: { ...realPorts(), log: silentLog } });
}

function reader(parts: ContentParts, clock: Clock = realPorts().clock): ContentReader {
  return new ContentReader({ s3: {} }, { ...realPorts(), clock }, parts);
}

async function all(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const got: Uint8Array[] = [];
  for await (const piece of pieces) got.push(piece);
  return text(Buffer.concat(got));
}

describe("storage/content: what is read where", () => {
  it("a value that holds its bytes is not looked up anywhere", async () => {
    const value = inline(WHOLE, "text/plain");
    assert.equal(await reader({}).bytes(value), WHOLE);
    assert.equal(await all(reader({}).stream(value)), "abcdefghij");
  });

  it("content of known hash is fetched once by a process, and once by those that share a folder (R2)", async () => {
    const { reads, source: http } = source(WHOLE);
    const one = reader({ http, cache: cache() });
    await Promise.all([one.bytes(ref), one.bytes(ref)]);
    assert.equal(await all(one.stream(ref)), "abcdefghij");
    const another = reader({ http, cache: cache() });
    assert.equal(await all(another.stream(ref)), "abcdefghij");
    assert.equal(text(await another.bytes(ref)), "abcdefghij");
    assert.deepEqual(reads, ["get"]);
  });

  it("what the node's folder has is held in memory only when it is wanted again; without a folder at once", async () => {
    const full = new ContentCache({
      folder: join(folder, "full"),
      ports: { ...realPorts(), log: silentLog },
      write: () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" })),
    });
    for (const [what, parts, heldAfter] of [
      ["a folder", { cache: cache() }, [false, true]],
      ["a folder that is full", { cache: full }, [true, true]],
      ["no folder", {}, [true, true]],
    ] as const) {
      const memory = new ContentMemory();
      const content = reader({ http: source(WHOLE).source, memory, ...parts });
      const held: boolean[] = [];
      for (let i = 0; i < 2; i++) {
        await content.bytes(ref);
        held.push(memory.get(HASH) !== undefined);
      }
      assert.deepEqual(held, heldAfter, what);
    }
  });

  it("content of unknown hash is read each time (R2)", async () => {
    const { reads, source: http } = source(WHOLE);
    const content = reader({ http, cache: cache() });
    for (let i = 0; i < 2; i++) await content.bytes({ ...ref, sha256: "" });
    await all(content.stream({ ...ref, sha256: "" }));
    assert.deepEqual(reads, ["get", "get", "stream"]);
  });

  it("a stream of content that the folder has not goes through it (R2)", async () => {
    const { reads, source: http } = source(WHOLE);
    assert.equal(await all(reader({ http, cache: cache() }).stream(ref)), "abcdefghij");
    assert.equal(text(await reader({ http, cache: cache() }).bytes(ref)), "abcdefghij");
    assert.deepEqual(reads, ["stream"]);
  });

  it("files of this machine are not copied into the folder", async () => {
    await writeFile(join(folder, "a"), WHOLE);
    const uri = pathToFileURL(join(folder, "a")).href;
    const content = reader({ cache: cache() });
    assert.equal(text(await content.bytes({ ...ref, uri })), "abcdefghij");
    assert.equal(await all(content.stream({ ...ref, uri })), "abcdefghij");
    assert.deepEqual(await readdir(folder), ["a"]);
  });

  it("data: addresses are their own content", async () => {
    const value = { ...ref, uri: `data:text/plain;base64,${Buffer.from(WHOLE).toString("base64")}` };
    assert.equal(text(await reader({}).bytes(value)), "abcdefghij");
    assert.equal(await all(reader({}).stream(value)), "abcdefghij");
    const part = reader({}).slice({ ...ref, uri: "data:,abcdef", sizeBytes: 6n, sha256: "" }, { offset: 1, length: 3 });
    assert.equal(text(await reader({}).bytes(part)), "bcd");
  });

  it("a part is read as a part, also the first of an object that is larger", async () => {
    const { source: http } = source(WHOLE);
    const content = reader({ http });
    assert.equal(text(await content.bytes(content.slice(ref, { offset: 0, length: 3 }))), "abc");
    assert.equal(text(await content.bytes(content.slice(ref, { offset: 7, length: 3 }))), "hij");
  });

  it("without a way to http: its addresses cannot be read", async () => {
    await assert.rejects(reader({}).bytes(ref), { code: "MILL_CONTENT_ADDRESS", message: /"http:\/\/host\/a"/ });
  });
});

describe("storage/content: what is not what it must be (R1)", () => {
  for (const [what, code, change] of [
    ["another hash", "MILL_CONTENT_HASH", { sha256: sha256Of(bytes("other")) }],
    ["less than its size", "MILL_SOURCE_CHANGED", { sizeBytes: 11n, sha256: "" }],
    ["more than its size", "MILL_SOURCE_CHANGED", { sizeBytes: 9n, sha256: "" }],
    ["more than its size, and another hash", "MILL_SOURCE_CHANGED", { sizeBytes: 9n }],
  ] as const) {
    for (const kept of [false, true]) {
      it(`${what} is ${code}, ${kept ? "with" : "without"} a cache`, async () => {
        const { source: http } = source(WHOLE);
        const content = reader({ http, ...(kept && { cache: cache() }) });
        const value = { ...ref, ...change };
        await assert.rejects(content.bytes(value), { code, message: /http:\/\/host\/a/ });
        await assert.rejects(all(content.stream(value)), { code });
      });
    }
  }

  it("of a stream the last piece is not handed out before all was checked", async () => {
    const { source: http } = source(WHOLE);
    const got: string[] = [];
    const read = async () => {
      for await (const piece of reader({ http }).stream({ ...ref, sha256: sha256Of(bytes("x")) }))
        got.push(text(piece));
    };
    await assert.rejects(read(), { code: "MILL_CONTENT_HASH" });
    assert.deepEqual(got, ["abcd"]);
  });

  it("nothing of it is kept: the next one reads again", async () => {
    const wrong = source(bytes("abcdefghiX"));
    await assert.rejects(reader({ http: wrong.source, cache: cache() }).bytes(ref), { code: "MILL_CONTENT_HASH" });
    const right = source(WHOLE);
    assert.equal(text(await reader({ http: right.source, cache: cache() }).bytes(ref)), "abcdefghij");
  });
});

describe("storage/content: what does not come in time (R3)", () => {
  /** Time passes at once, so that what waits for ever is late. */
  function hurried(): Clock {
    let nowMs = 0;
    const { clock } = realPorts();
    return {
      ...clock,
      monotonicMs: () => nowMs,
      after(delayMs, fn) {
        return clock.after(5, () => {
          nowMs += delayMs;
          fn();
        });
      },
    };
  }
  const never = new Promise<never>(() => {});

  it("a read that brings nothing is MILL_CONTENT_SLOW, which a retry may help", async () => {
    const http: ContentSource = { get: () => never, stream: () => assert.fail(REQUEST) };
    await assert.rejects(reader({ http }, hurried()).bytes(ref), {
      code: "MILL_CONTENT_SLOW",
      retry: "backoff",
      message: new RegExp(`within ${limits.contentTimeoutMs} ms`),
    });
  });

  it("a stream that stops half-way is, too; what it has brought counts for nothing", async () => {
    const { source: http } = source(async function* () {
      yield WHOLE.subarray(0, 5);
      await never;
    });
    await assert.rejects(all(reader({ http }, hurried()).stream(ref)), { code: "MILL_CONTENT_SLOW" });
  });

  it("who cancels gets his own reason", async () => {
    const http: ContentSource = { get: () => never, stream: () => assert.fail(REQUEST) };
    const stop = new AbortController();
    const reading = reader({ http }).bytes({ ...ref, sha256: "" }, stop.signal);
    stop.abort(new Error("the job ends"));
    await assert.rejects(reading, /the job ends/);
  });
});

describe("storage/content: what a job puts", () => {
  function job(parts: Partial<ContentParts> = {}) {
    const store = new MemoryStore();
    const gets: string[] = [];
    const get = store.get.bind(store);
    store.get = (key, ...rest) => {
      gets.push(key);
      return get(key, ...rest);
    };
    const owned = () => new ContentStore({ store, job: "job-1" as JobId, clock: realPorts().clock });
    return { store, gets, process: () => reader({ owned: owned(), cache: cache(), ...parts }) };
  }

  it("every process reads it by its reference; those of the same node without the store", async () => {
    const { process, gets } = job();
    const put = await process().put(WHOLE, { mediaType: "text/plain" });
    const { sha256, sizeBytes, mediaType } = put;
    assert.deepEqual([sha256, sizeBytes, mediaType, put.bytes], [HASH, 10n, "text/plain", null]);
    assert.equal(text(await process().bytes(put)), "abcdefghij");
    assert.equal(text(await process().bytes(process().slice(put, { offset: 2, length: 3 }))), "cde");
    assert.deepEqual(gets, []);
    await rm(join(folder, "cache"), { recursive: true });
    assert.equal(text(await process().bytes(put)), "abcdefghij");
    assert.equal(text(await process().bytes(process().slice(put, { offset: 2, length: 3 }))), "cde");
    assert.equal(gets.length, 1, "of a node that has none of it, once");
  });

  it("is in the store when the reference is there, also where the folder cannot be written to", async () => {
    const broken = new ContentCache({
      folder: join(folder, "cache"),
      ports: { ...realPorts(), log: silentLog },
      write: () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" })),
    });
    const { process, store } = job({ cache: broken, memory: new ContentMemory(0) });
    const put = await process().put(WHOLE);
    assert.equal(text(await store.get(`jobs/job-1/content/${HASH}`)), "abcdefghij");
    assert.equal(text(await process().bytes(put)), "abcdefghij");
  });

  it("cannot be put while the store fails: no reference is made", async () => {
    const { process, store } = job();
    store.put = () => Promise.reject(new Error("no store"));
    await assert.rejects(process().put(WHOLE), /no store/);
  });
});

describe("storage/content: bytes with a hash that were damaged on the way", () => {
  it("are asked for again, then with the checksums of the store; what stays other bytes is MILL_CONTENT_HASH (R1)", async () => {
    const asked: (boolean | undefined)[] = [];
    const answers = [bytes("abcdefghiX"), WHOLE];
    const http: ContentSource = {
      async get(_uri, { hashed }) {
        asked.push(hashed);
        return answers.shift() ?? bytes("abcdefghiY");
      },
      async *stream() {},
    };
    assert.equal(text(await reader({ http }).bytes(ref)), "abcdefghij");
    assert.deepEqual(asked, [true, false]);
    await assert.rejects(reader({ http }).bytes(ref), { code: "MILL_CONTENT_HASH" });
    assert.deepEqual(asked, [true, false, true, false]);
    await assert.rejects(reader({ http }).bytes({ ...ref, sha256: "", sizeBytes: 9n }), {
      code: "MILL_SOURCE_CHANGED",
    });
    assert.deepEqual(asked.slice(4), [false], "without a hash the store checks");
  });
});
