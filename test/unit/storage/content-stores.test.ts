import assert from "node:assert/strict";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { sha256Of } from "../../../src/storage/content-checks.js";
import { type Brought, ContentMemory } from "../../../src/storage/content-memory.js";
import { ContentStore } from "../../../src/storage/content-store.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { bytes, text } from "../../conformance/bus-support.js";

const job = "job-1" as JobId;
const keys = jobKeys(job);

function storeBench() {
  const store = new MemoryStore();
  const puts: string[] = [];
  const put = store.put.bind(store);
  store.put = (key, ...rest) => {
    puts.push(key);
    return put(key, ...rest);
  };
  const time = { nowMs: 0 };
  const clock = { ...realPorts().clock, monotonicMs: () => time.nowMs };
  return { store, puts, time, content: new ContentStore({ store, job, clock }) };
}

const abc = bytes("abc");
const hash = sha256Of(abc);

describe("storage/content-store: content of a job", () => {
  it("is below the job's content, under its hash, and says so in its address (D2)", async () => {
    const { content, store } = storeBench();
    assert.equal(await content.put(hash, abc), `memory:/jobs/job-1/content/${hash}`);
    assert.equal(text(await store.get(keys.content(hash))), "abc");
    assert.equal(content.hashIn(`memory:/jobs/job-1/content/${hash}`), hash);
    for (const other of [`memory:/jobs/job-2/content/${hash}`, "memory:/jobs/job-1/content/x", ""]) {
      assert.equal(content.hashIn(other), undefined);
    }
  });

  it("is put once, also by many at a time, and again when that is long ago (D3)", async () => {
    const { content, puts, time } = storeBench();
    await Promise.all([content.put(hash, abc), content.put(hash, abc)]);
    time.nowMs = limits.contentTouchMs - 1;
    await content.put(hash, abc);
    assert.equal(puts.length, 1);
    time.nowMs = limits.contentTouchMs;
    await content.put(hash, abc);
    assert.equal(puts.length, 2);
  });

  it("that could not be put is put by the next who wants to (D1)", async () => {
    const { content, store } = storeBench();
    const { put } = store;
    store.put = () => Promise.reject(new Error("no store"));
    await assert.rejects(content.put(hash, abc), /no store/);
    store.put = put;
    await content.put(hash, abc);
    assert.equal(text(await content.get(hash)), "abc");
  });

  for (const how of ["get", "stream"] as const) {
    it(`that was moved to the trash is brought back by who reads it: ${how} (D4)`, async () => {
      const { content, store } = storeBench();
      await store.put(keys.contentTrash(hash), abc);
      const read = async () => {
        if (how === "get") return text(await content.get(hash));
        const pieces: Uint8Array[] = [];
        for await (const piece of content.stream(hash)) pieces.push(piece);
        return text(Buffer.concat(pieces));
      };
      assert.equal(await read(), "abc");
      assert.equal(text(await store.get(keys.content(hash))), "abc");
      await store.delete(keys.content(hash)); // the other half of the move that took it away, late
      assert.equal(await read(), "abc");
    });

    it(`that is nowhere is MILL_STORE_NOT_FOUND: ${how}`, async () => {
      const { content } = storeBench();
      const read = how === "get" ? content.get(hash) : content.stream(hash)[Symbol.asyncIterator]().next();
      await assert.rejects(read, { code: "MILL_STORE_NOT_FOUND", message: new RegExp(`content/${hash}`) });
    });
  }
});

describe("storage/content-store: what it tells the store", () => {
  it("is the hash, which the store need not compute again", async () => {
    const { content, store } = storeBench();
    const said: unknown[] = [];
    const put = store.put.bind(store);
    store.put = (key, body, options) => {
      said.push(options);
      return put(key, body, options);
    };
    await content.put(hash, abc);
    await content.put(sha256Of(bytes("d")), bytes("d"), "text/plain");
    assert.deepEqual(said, [{ sha256: hash }, { sha256: sha256Of(bytes("d")), contentType: "text/plain" }]);
  });
});

describe("storage/content-memory", () => {
  const bring =
    (value: string, isNear = false) =>
    async () => ({ bytes: bytes(value), isNear });

  it("what was brought is kept, and the least recently used goes when the bound is reached", async () => {
    const memory = new ContentMemory(10);
    for (const key of ["aaaa", "bbbb"]) await memory.bytes(key, bring(key));
    memory.get("aaaa");
    await memory.bytes("cccc", bring("cccc"));
    assert.deepEqual(
      ["aaaa", "bbbb", "cccc"].map((key) => memory.get(key) !== undefined),
      [true, false, true],
    );
  });

  it("what this machine has is kept from the second time on that it is wanted (M1)", async () => {
    const memory = new ContentMemory(10);
    const isKept: boolean[] = [];
    for (let i = 0; i < 2; i++) {
      await memory.bytes("a", bring("a", true));
      isKept.push(memory.get("a") !== undefined);
    }
    assert.deepEqual(isKept, [false, true]);
    await Promise.all([1, 2].map(() => memory.bytes("b", bring("b", true))));
    assert.ok(memory.get("b") !== undefined, "two wanted it at a time");
    memory.keep("c", { bytes: abc, isNear: true });
    assert.equal(memory.get("c"), undefined, "put once");
  });

  it("remembers a bounded number of what was wanted once (M1)", async () => {
    const memory = new ContentMemory(10);
    await memory.bytes("a", bring("a", true));
    for (let i = 0; i < limits.contentOnceKnownMax; i++) memory.keep(`${i}`, { bytes: abc, isNear: true });
    await memory.bytes("a", bring("a", true));
    assert.equal(memory.get("a"), undefined, "forgotten, so this was its first time");
  });

  it("what this machine does not have is kept from the first time on (M2)", async () => {
    const memory = new ContentMemory(10);
    await memory.bytes("a", bring("a", false));
    assert.ok(memory.get("a") !== undefined);
  });

  it("what is larger than the bound is handed on, and puts nothing else out", async () => {
    const memory = new ContentMemory(3);
    memory.keep("a", { bytes: bytes("abc"), isNear: false });
    assert.equal(text(await memory.bytes("b", bring("abcd"))), "abcd");
    assert.deepEqual([memory.get("a") !== undefined, memory.get("b")], [true, undefined]);
  });

  it("of many that want the same at a time, one brings it", async () => {
    const memory = new ContentMemory(10);
    let brought = 0;
    const slow = async () => {
      brought += 1;
      await new Promise((resolve) => setImmediate(resolve));
      return { bytes: abc, isNear: false };
    };
    const all = await Promise.all([1, 2, 3].map(() => memory.bytes(hash, slow)));
    assert.equal(brought, 1);
    for (const one of all) assert.equal(text(one), "abc");
  });

  it("who gives up leaves the others waiting; when nobody waits, it is aborted (M3)", async () => {
    const memory = new ContentMemory(10);
    let aborted = false;
    let come: (value: Brought) => void = () => {};
    const slow = (signal: AbortSignal) => {
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      return new Promise<Brought>((resolve) => {
        come = resolve;
      });
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const waiting = [memory.bytes(hash, slow, first.signal), memory.bytes(hash, slow, second.signal)] as const;
    first.abort(new Error("enough"));
    await assert.rejects(waiting[0], /enough/);
    assert.equal(aborted, false);
    come({ bytes: abc, isNear: false });
    assert.equal(text(await waiting[1]), "abc");
    const alone = memory.bytes("other", slow, second.signal);
    aborted = false;
    second.abort(new Error("enough"));
    await assert.rejects(alone, /enough/);
    assert.equal(aborted, true);
    come({ bytes: abc, isNear: false });
  });

  it("what fails is not kept", async () => {
    const memory = new ContentMemory(10);
    await assert.rejects(
      memory.bytes(hash, () => Promise.reject(new Error("no server"))),
      /no server/,
    );
    assert.equal(text(await memory.bytes(hash, bring("abc"))), "abc");
  });
});
