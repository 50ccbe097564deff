import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { limits } from "../../../src/base/limits.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { deferred } from "../../../src/bus/deferred.js";
import { ContentCache, type ContentCacheOptions } from "../../../src/storage/content-cache.js";
import { sha256Of } from "../../../src/storage/content-checks.js";
import { thisProcess } from "../../../src/storage/content-lock.js";
import { isMarked } from "../../../src/storage/content-mark.js";
import { within } from "../../conformance/bus-support.js";
import { FakeClock } from "../coordinator/fake-ports.js";

const CHILD = new URL("./content-cache-child.js", import.meta.url);

let folder: string;
let warnings: string[];
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-cache-"));
  warnings = [];
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true, force: true });
});

function cacheOf(options: Partial<ContentCacheOptions> = {}): ContentCache {
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
  return new ContentCache({ folder, ports: { ...realPorts(), log }, ...options });
}

function contentOf(text: string) {
  const bytes = Buffer.from(text);
  const sha256 = sha256Of(bytes);
  const ref = { uri: `test:/${text.slice(0, 10)}`, offset: 0n, sizeBytes: BigInt(bytes.length), sha256 };
  return { bytes, sha256, ref, path: join(folder, sha256) };
}

type Text = ReturnType<typeof contentOf>;

const never = () => assert.fail("it is not fetched again");
const get = (cache: ContentCache, { ref, sha256, bytes }: Text, fetch: () => Promise<Uint8Array> = async () => bytes) =>
  cache.bytes(ref, sha256, fetch);

async function streamed(cache: ContentCache, { ref, sha256 }: Text, fetch: () => AsyncIterable<Uint8Array>) {
  const pieces: Uint8Array[] = [];
  for await (const piece of (await cache.open(ref, sha256, fetch)) ?? []) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* piecesOf(...pieces: (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (piece instanceof Error) throw piece;
    yield piece;
  }
}

/** Names of all that is no folder. */
async function files(): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found.filter((one) => !one.isDirectory()).map(({ name }) => name);
}

async function kept(): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.map((name) => name.slice(name.lastIndexOf("/") + 1)).filter((name) => /^[0-9a-f]{64}$/.test(name));
}

describe("storage/content-cache: one process", () => {
  it("fetches once, and reads its folder after that", async () => {
    const content = contentOf("abc");
    assert.deepEqual(await get(cacheOf(), content), content.bytes);
    assert.deepEqual(await get(cacheOf(), content, never), content.bytes);
    assert.deepEqual(await readFile(content.path), content.bytes);
  });

  it("what was put is there without a fetch, whole, in pieces and in part", async () => {
    const content = contentOf("abcdef");
    const cache = cacheOf();
    await cache.keep(content.sha256, content.bytes);
    assert.deepEqual(await get(cache, content, never), content.bytes);
    assert.deepEqual(await streamed(cache, content, never), content.bytes);
    assert.equal(String(await cache.part(content.sha256, { offset: 2, length: 3 })), "cde");
    assert.equal(await cache.part(contentOf("other").sha256, { offset: 0, length: 1 }), undefined);
  });

  it("what is streamed is kept, and nothing of what fails", async () => {
    const content = contentOf("abcdef");
    const failed = new Error("broken off");
    await assert.rejects(
      streamed(cacheOf(), content, () => piecesOf(Buffer.from("abc"), failed)),
      failed,
    );
    assert.deepEqual(await kept(), []);
    assert.deepEqual(await readdir(join(folder, "staging")), []);
    const pieces = () => piecesOf(Buffer.from("abc"), Buffer.from("def"));
    assert.deepEqual(await streamed(cacheOf(), content, pieces), content.bytes);
    assert.deepEqual(await get(cacheOf(), content, never), content.bytes);
    assert.deepEqual(warnings, []);
  });

  it("a damaged file is fetched anew (K1)", async () => {
    const content = contentOf("abc");
    await get(cacheOf(), content);
    await writeFile(content.path, "abd");
    assert.deepEqual(await streamed(cacheOf(), content, () => piecesOf(content.bytes)), content.bytes);
    assert.deepEqual(await readFile(content.path), content.bytes);
    await writeFile(content.path, "ab");
    assert.deepEqual(await get(cacheOf(), content), content.bytes);
    assert.deepEqual(await readFile(content.path), content.bytes);
  });

  it("a file that was checked is not hashed again, and one that was changed since is, whatever its size (K1)", async () => {
    const content = contentOf("abc");
    await get(cacheOf(), content);
    const { ino, size, mtimeNs } = await stat(content.path, { bigint: true });
    assert.ok(await isMarked(content.sha256, { ino, size, mtimeNs }));
    assert.ok(!(await isMarked(content.sha256, { ino: ino + 1n, size, mtimeNs })), "a copy");
    assert.ok(!(await isMarked(contentOf("abd").sha256, { ino, size, mtimeNs })), "another name");
    // Damage that leaves the mark shows that it is what is trusted.
    const marked = Number(mtimeNs / 1_000_000_000n);
    await writeFile(content.path, "abd");
    await utimes(content.path, marked, marked);
    assert.equal(String(await get(cacheOf(), content, never)), "abd");
    await writeFile(content.path, "abd");
    assert.deepEqual(await get(cacheOf(), content), content.bytes);
  });

  it("a whole file without a mark is checked once, and marked (K1)", async () => {
    const content = contentOf("abc");
    await get(cacheOf(), content);
    await writeFile(content.path, "abc");
    const isTrusted = async () => isMarked(content.sha256, await stat(content.path, { bigint: true }));
    assert.equal(await isTrusted(), false);
    assert.deepEqual(await get(cacheOf(), content, never), content.bytes);
    assert.equal(await isTrusted(), true);
  });

  it("an error of whoever fetches is theirs, and the next one tries", async () => {
    const content = contentOf("abc");
    await assert.rejects(
      get(cacheOf(), content, () => Promise.reject(new Error("no server"))),
      /no server/,
    );
    assert.deepEqual(await get(cacheOf(), content), content.bytes);
  });
});

describe("storage/content-cache: the bound of the folder", () => {
  const BOUND = 1_000;
  const numbered = (i: number) => contentOf(String(i).padStart(100, "0"));

  it("is kept, and what was used least lately goes first (K3)", async () => {
    const cache = cacheOf({ bytesMax: BOUND });
    for (let i = 0; i < 9; i++) {
      await get(cache, numbered(i));
      const at = 1_000_000 + i;
      await utimes(numbered(i).path, at, at);
    }
    await get(cache, numbered(0), never); // used again, so it is not the oldest any more
    for (let i = 9; i < 13; i++) await get(cache, numbered(i));
    const there = await kept();
    assert.ok(there.length * 100 <= BOUND, `${there.length} files of 100 bytes`);
    assert.ok(there.includes(numbered(0).sha256));
    assert.ok(!there.includes(numbered(1).sha256) && !there.includes(numbered(2).sha256));
    assert.ok(there.includes(numbered(12).sha256));
  });

  it("that a file was used again is not written down at each read (K3)", async () => {
    const content = contentOf("abc");
    await get(cacheOf(), content);
    const changed = async () => (await stat(content.path, { bigint: true })).ctimeNs;
    const before = await changed();
    await get(cacheOf(), content, never);
    assert.equal(await changed(), before);
  });

  it("counts what others write (K3)", async () => {
    const caches = [cacheOf({ bytesMax: BOUND }), cacheOf({ bytesMax: BOUND })];
    for (let i = 0; i < 40; i++) {
      await get(caches[i % 2]!, numbered(i));
      assert.ok(
        (await kept()).length * 100 <= BOUND + 2 * (BOUND / 16),
        "within the bound, but for what is not counted",
      );
    }
  });

  it("content of more than half of it is handed on, and not kept", async () => {
    const content = contentOf("x".repeat(BOUND / 2 + 1));
    const cache = cacheOf({ bytesMax: BOUND });
    assert.deepEqual(await get(cache, content), content.bytes);
    assert.equal(await cache.open(content.ref, content.sha256, never), undefined);
    assert.deepEqual(await kept(), []);
  });

  it("who reads a file that goes reads it to its end (K3)", async () => {
    const content = contentOf("y".repeat(300_000));
    const cache = cacheOf();
    await get(cache, content);
    const pieces = (await cache.open(content.ref, content.sha256, never))![Symbol.asyncIterator]();
    const read = [(await pieces.next()).value as Uint8Array];
    await rm(content.path);
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) read.push(next.value);
    assert.deepEqual(Buffer.concat(read), content.bytes);
  });
});

describe("storage/content-cache: what cannot be written to", () => {
  const full = () => Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" }));

  it("a full disk: everything is read without the folder, and the log says so once (K4)", async () => {
    const cache = cacheOf({ write: full });
    for (const text of ["a", "b", "c"]) assert.deepEqual(await get(cache, contentOf(text)), contentOf(text).bytes);
    const content = contentOf("d");
    assert.equal(await cache.open(content.ref, content.sha256, never), undefined);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /cannot be written to.*MILLRACE_CACHE/);
    assert.deepEqual(await files(), []);
  });

  it("it is tried again after a while (K4)", async () => {
    let nowMs = 0;
    let writes = 0;
    const write = () => {
      writes += 1;
      return full();
    };
    const ports = realPorts();
    const clock = { ...ports.clock, nowMs: () => nowMs, monotonicMs: () => nowMs };
    const cache = cacheOf({ write, ports: { ...ports, clock, log: silentLog } });
    for (const text of ["a", "b"]) await get(cache, contentOf(text));
    assert.equal(writes, 1);
    nowMs = limits.contentCachePauseMs;
    await get(cache, contentOf("c"));
    assert.equal(writes, 2);
  });

  it("no folder can be made there: the same (K4)", async () => {
    await writeFile(join(folder, "file"), "");
    const cache = cacheOf({ folder: join(folder, "file", "below") });
    for (const text of ["a", "b"]) assert.deepEqual(await get(cache, contentOf(text)), contentOf(text).bytes);
    assert.equal(warnings.length, 1);
  });

  it("a limit of the system on the size of files: the same, in a process that has one (K4)", async () => {
    // In blocks of 512 or 1024 bytes; the content has 300,000.
    const args = ["-c", 'ulimit -f 64; exec "$0" "$@"', process.execPath, CHILD.pathname, folder, "abc"];
    const child = spawn("sh", args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    children.push(child);
    const answers = answersOf(child);
    await answers.next("fetching");
    child.send("go");
    const { found, warnings: said } = (await answers.next("the bytes")) as { found: string; warnings: string[] };
    assert.equal(found, contentOf("abc".repeat(100_000)).sha256);
    assert.equal(said.length, 1);
    assert.deepEqual(await kept(), []);
  });
});

/** What a child says, one after the other. */
function answersOf(child: ChildProcess) {
  const queue: unknown[] = [];
  const waiting: ((message: unknown) => void)[] = [];
  child.on("message", (message) => {
    const taker = waiting.shift();
    if (taker === undefined) queue.push(message);
    else taker(message);
  });
  return {
    queue,
    next: (what: string) =>
      within(what, new Promise((resolve) => (queue.length > 0 ? resolve(queue.shift()) : waiting.push(resolve)))),
  };
}

describe("storage/content-cache: several processes of a node", () => {
  function start(kind: "bytes" | "stream" = "bytes") {
    const child = fork(CHILD, [folder, "abc", kind]);
    children.push(child);
    return { child, ...answersOf(child) };
  }
  const found = sha256Of(Buffer.from("abc".repeat(100_000)));

  for (const kind of ["bytes", "stream"] as const) {
    it(`of four that want the same as ${kind}, one fetches it (K2)`, async () => {
      const processes = [start(kind), start(kind), start(kind), start(kind)];
      const first = await within(
        "one that fetches",
        Promise.race(processes.map((one) => once(one.child, "message").then(() => one))),
      );
      first.child.send("go");
      for (const one of processes) {
        const said = [];
        while (said.at(-1) === undefined || said.at(-1) === "fetching") said.push(await one.next("the bytes"));
        assert.deepEqual(said, [...(one === first ? ["fetching"] : []), { found, warnings: [] }]);
      }
    });
  }

  it("when the one that fetches is killed, another takes over, and tidies up after it (K2)", async () => {
    const processes = [start(), start(), start()];
    const first = await within(
      "one that fetches",
      Promise.race(processes.map((one) => once(one.child, "message").then(() => one))),
    );
    first.child.kill("SIGKILL");
    const others = processes.filter((one) => one !== first);
    const second = await within(
      "another that fetches",
      Promise.race(others.map((one) => once(one.child, "message").then(() => one))),
    );
    second.child.send("go");
    const third = others.find((one) => one !== second)!;
    assert.equal(await second.next("fetching"), "fetching");
    assert.deepEqual(await second.next("its bytes"), { found, warnings: [] });
    assert.deepEqual(await third.next("the bytes"), { found, warnings: [] });
    assert.deepEqual((await readdir(folder)).sort(), [found, "staging"].sort());
  });

  it("when the one that fetches stands still, another takes over, and what it brings later is taken as well (K2)", async () => {
    const [first, second] = [start(), start()];
    const fetching = await within(
      "one that fetches",
      Promise.race([first, second].map((one) => once(one.child, "message").then(() => one))),
    );
    const other = fetching === first ? second : first;
    fetching.child.kill("SIGSTOP");
    const long = new Date(Date.now() - 2 * limits.contentTimeoutMs);
    await lutimes(join(folder, `${found}.held`), long, long);
    other.child.send("go");
    assert.equal(await other.next("another that fetches"), "fetching");
    assert.deepEqual(await other.next("its bytes"), { found, warnings: [] });
    fetching.child.kill("SIGCONT");
    fetching.child.send("go");
    assert.equal(await fetching.next("fetching"), "fetching");
    assert.deepEqual(await fetching.next("its bytes"), { found, warnings: [] });
    assert.deepEqual((await readdir(folder)).sort(), [found, "staging"].sort());
  });

  it("the one that fetches says again and again that it does, so that however long it takes nobody else does (K2)", async () => {
    const clock = new FakeClock();
    const content = contentOf("abc");
    const lock = `${content.path}.held`;
    const [cache, fetched] = [cacheOf({ ports: { ...realPorts(silentLog), clock } }), deferred<Uint8Array>()];
    const asked = deferred<void>();
    const getting = get(cache, content, () => {
      asked.resolve();
      return fetched.promise;
    });
    await within("the fetch", asked.promise);
    for (let i = 0; i < 3; i++) {
      await clock.advance(limits.contentLockRenewMs);
      await within("the renewal", renewedAt(lock, clock.nowMs()));
    }
    fetched.resolve(content.bytes);
    assert.deepEqual(await getting, content.bytes);
    assert.equal(clock.waiting, 0);
  });

  async function renewedAt(lock: string, ms: number): Promise<void> {
    while ((await lstat(lock)).mtimeMs !== ms) await setImmediate();
  }

  it("what a process that is gone was writing is removed, and what others are writing is not", async () => {
    await mkdir(join(folder, "staging"));
    const [host = "", pid = "", start = ""] = (await thisProcess()).split("+");
    const names = {
      dead: `${host}+${pid}+${Number(start) + 1} a`, // of the same number, and another process
      alive: `${host}+${pid}+${start} b`,
      elsewhere: `other-${hostname().replace(/[^\w.-]/g, "-")}+1+1 c`,
      forgotten: `other-${hostname().replace(/[^\w.-]/g, "-")}+1+1 d`,
    };
    for (const name of Object.values(names)) await writeFile(join(folder, "staging", name), "");
    await utimes(join(folder, "staging", names.forgotten), 1, 1);
    await get(cacheOf(), contentOf("abc"));
    const left = (await readdir(join(folder, "staging"))).sort();
    const isLinux = (await stat("/proc/self/stat").catch(() => undefined)) !== undefined;
    assert.deepEqual(left, [names.alive, names.elsewhere, ...(isLinux ? [] : [names.dead])].sort());
  });
});
