/**
 * What every object store must do: guarantees O1 to O5 and the operations of `src/storage/object-store.ts`.
 *
 * Every store of a test is opened at a place of its own, so tests do not see each other's objects. Durability across a
 * power loss (O4) is not tested: nothing here can take the power away. Faults on the wire (O4, O5) need a wire, so they
 * are in `unit/storage/s3-faults.test.ts`.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { MillraceError } from "../../src/base/errors.js";
import type { ListedObject, ObjectBody, ObjectStore } from "../../src/storage/object-store.js";
import { bytes, pattern, sameBytes, text, within } from "./bus-support.js";

export interface StoreSystem {
  /** Another view of the objects at a place: what one view writes, all views of that place see. */
  open(place: string): ObjectStore;
  stop(): Promise<void>;
}

const MB = 1_000_000;
const REASON = new Error("the job was cancelled");

const INVALID_KEYS = [
  ["empty", ""],
  ["absolute", "/a"],
  ["with a slash at its end", "a/"],
  ["with an empty part", "a//b"],
  ["with the part .", "a/./b"],
  ["with the part ..", "a/../../b"],
  ["only ..", ".."],
  ["with a zero byte", "a\0b"],
  ["with half of a character", "a\ud800"],
  ["of 1025 bytes", `${"a/".repeat(512)}b`],
  ["that looks like a file being written", "a/.millrace-b"],
] as const;

const UNUSUAL_KEYS = [
  "a b/c d.png",
  "Größe/日本語 ✓.txt",
  "a+b=c&d.txt",
  "100%/50%25.txt",
  "a#b?c;d.txt",
  "quote'\"(1)[2]{3}!*.txt",
  "…/back\\slash:colon|pipe",
  "line\nbreak",
  ".hidden/..two dots.",
  `${"deep/".repeat(20)}${"x".repeat(200)}`,
];

export function objectStoreConformance(name: string, make: () => Promise<StoreSystem>): void {
  describe(`conformance/object-store: ${name}`, () => {
    let system: StoreSystem;
    let place: string;
    let store: ObjectStore;
    const opened: ObjectStore[] = [];
    const open = () => {
      const another = system.open(place);
      opened.push(another);
      return another;
    };

    before(async () => {
      system = await make();
    });
    beforeEach(() => {
      place = `place-${randomUUID()}`;
      store = open();
    });
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((each) => each.close()));
    });
    after(() => system.stop());

    describe("put", () => {
      it("is seen by every reader once it has resolved (O2)", async () => {
        const info = await store.put("a/b", bytes("one"));
        const reader = open();
        assert.equal(text(await reader.get("a/b")), "one");
        assert.deepEqual(await reader.head("a/b"), info);
        const [{ sinceMs, ...shown }] = (await listed(reader)) as [ListedObject];
        assert.deepEqual(shown, info);
        assert.ok(sinceMs > 0);
        assert.equal(info.key, "a/b");
        assert.equal(info.sizeBytes, 3);
      });

      it("replaces, and gives another version (O1)", async () => {
        const first = await store.put("a", bytes("one"));
        const second = await store.put("a", bytes("two"));
        assert.equal(text(await store.get("a")), "two");
        assert.notEqual(second.version, first.version);
        assert.deepEqual(await store.head("a"), second);
      });

      it("keeps nothing of the caller's array", async () => {
        const mine = bytes("one");
        await store.put("a", mine);
        await store.create("b", mine);
        mine.fill(0);
        assert.equal(text(await store.get("a")), "one");
        assert.equal(text(await store.get("b")), "one");
        (await store.get("a")).fill(0);
        assert.equal(text(await store.get("a")), "one");
      });

      for (const [form, body] of [
        ["bytes", (all: Uint8Array): ObjectBody => all],
        ["uneven pieces in hand", (all: Uint8Array): ObjectBody => pieces(all, 3 * MB + 3)],
        ["pieces of 8 MiB in hand", (all: Uint8Array): ObjectBody => pieces(all, 8 * 1024 * 1024)],
        ["a stream of uneven pieces", (all: Uint8Array): ObjectBody => inPieces(all, MB + 3)],
        ["a stream of one piece", (all: Uint8Array): ObjectBody => inPieces(all, all.length)],
      ] as const) {
        for (const sizeBytes of [0, 1, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 20 * MB]) {
          it(`stores ${sizeBytes} bytes given as ${form}`, async () => {
            const all = pattern(sizeBytes);
            const info = await store.put("large", body(all));
            assert.equal(info.sizeBytes, sizeBytes);
            assert.deepEqual(await store.head("large"), info);
            sameBytes(await store.get("large"), all);
            sameBytes(await whole(store.stream("large")), all);
          });
        }
      }

      it("takes pieces that the source uses again", async () => {
        const piece = new Uint8Array(MB);
        async function* same() {
          for (let i = 1; i <= 10; i++) yield piece.fill(i);
        }
        await store.put("a", same());
        const found = await store.get("a");
        assert.equal(found.length, 10 * MB);
        for (let i = 1; i <= 10; i++) assert.equal(found[i * MB - 1], i, `piece ${i}`);
      });

      for (const sizeBytes of [10, 20 * MB]) {
        it(`shows nothing of a stream that fails after ${sizeBytes} bytes (O1)`, async () => {
          await store.put("old", bytes("old"));
          const fails = async function* () {
            yield* inPieces(pattern(sizeBytes), MB);
            throw REASON;
          };
          await assert.rejects(store.put("new", fails()), REASON);
          await assert.rejects(store.put("old", fails()), REASON);
          await showsOnly(store, { old: "old" });
        });

        it(`shows nothing of a stream that is cancelled after ${sizeBytes} bytes, and closes it (O1, O5)`, async () => {
          await store.put("old", bytes("old"));
          for (const key of ["new", "old"]) {
            const source = new StuckSource(sizeBytes);
            const put = store.put(key, source, { signal: source.cancel.signal });
            await within("the source to be read", Promise.race([source.stuck, put]));
            source.cancel.abort(REASON);
            await within("the put to end", assert.rejects(put, REASON));
            assert.equal(source.closed, true, "the source was not closed");
          }
          await showsOnly(store, { old: "old" });
        });
      }

      it("shows the old object or none while the new one is being written (O1)", async () => {
        await store.put("old", bytes("old"));
        for (const key of ["new", "old"]) {
          const source = new StuckSource(9 * MB);
          const put = store.put(key, source);
          await within("the source to be read", Promise.race([source.stuck, put]));
          await showsOnly(open(), { old: "old" });
          source.goOn();
          await put;
          assert.equal((await store.get(key)).length, 9 * MB);
          await store.delete("new");
        }
      });

      it("does nothing when it was cancelled before (O5)", async () => {
        await assert.rejects(store.put("a", bytes("one"), { signal: AbortSignal.abort(REASON) }), REASON);
        await assert.rejects(store.create("a", bytes("one"), { signal: AbortSignal.abort(REASON) }), REASON);
        await showsOnly(store, {});
      });

      it("leaves one whole object of many writers (O1)", async () => {
        const bodies = Array.from({ length: 8 }, (_, i) => pattern(100_000 + i, i));
        await Promise.all(bodies.map((body) => open().put("shared/a", body)));
        const found = await store.get("shared/a");
        sameBytes(found, bodies[found.length - 100_000]!);
      });
    });

    describe("create", () => {
      it("writes where nothing is, and gives what is there otherwise (O3)", async () => {
        assert.deepEqual(await store.create("log/1", bytes("one")), { created: true });
        const again = await open().create("log/1", bytes("two"));
        assert.ok(!again.created);
        assert.equal(text(again.existing), "one");
        assert.equal(text(await store.get("log/1")), "one");
      });

      it("does not replace what put wrote, and writes again after delete (O3)", async () => {
        await store.put("a", bytes("one"));
        assert.equal((await store.create("a", bytes("two"))).created, false);
        await store.delete("a");
        assert.equal((await store.create("a", bytes("two"))).created, true);
        assert.equal(text(await store.get("a")), "two");
      });

      for (const sizeBytes of [20, 2 * MB]) {
        it(`lets exactly one of 16 writers win; the others get what it wrote (O3, ${sizeBytes} bytes)`, async () => {
          const bodies = Array.from({ length: 16 }, (_, i) => pattern(sizeBytes + i, i));
          const answers = await Promise.all(bodies.map((body) => open().create("log/1", body)));
          const winners = answers.flatMap((answer, i) => (answer.created ? [i] : []));
          assert.equal(winners.length, 1, `created by ${winners}`);
          const won = bodies[winners[0]!]!;
          for (const answer of answers) if (!answer.created) sameBytes(answer.existing, won);
          sameBytes(await store.get("log/1"), won);
        });
      }

      it("stores an empty object and one of 20 MB", async () => {
        assert.equal((await store.create("empty", new Uint8Array())).created, true);
        assert.equal((await store.create("large", pattern(20 * MB))).created, true);
        assert.equal((await store.get("empty")).length, 0);
        sameBytes(await store.get("large"), pattern(20 * MB));
      });
    });

    describe("get and stream", () => {
      const whole26 = "abcdefghijklmnopqrstuvwxyz";
      for (const [what, offset, length, expected] of [
        ["the middle", 3, 4, "defg"],
        ["the first byte", 0, 1, "a"],
        ["the last byte", 25, 1, "z"],
        ["all", 0, 26, whole26],
        ["more than there is", 20, 100, "uvwxyz"],
        ["as much as there may be", 20, Number.MAX_SAFE_INTEGER, "uvwxyz"],
        ["no byte", 3, 0, ""],
        ["what begins at the end", 26, 5, ""],
        ["what begins after the end", 99, 5, ""],
      ] as const) {
        it(`gives a range: ${what}`, async () => {
          await store.put("a", bytes(whole26));
          assert.equal(text(await store.get("a", { range: { offset, length } })), expected);
          assert.equal(text(await whole(store.stream("a", { range: { offset, length } }))), expected);
        });
      }

      it("gives a range of an empty object: nothing", async () => {
        await store.put("a", new Uint8Array());
        assert.equal((await store.get("a", { range: { offset: 0, length: 5 } })).length, 0);
        assert.equal((await whole(store.stream("a", { range: { offset: 0, length: 5 } }))).length, 0);
      });

      it("gives a range of a 20 MB object", async () => {
        await store.put("a", pattern(20 * MB));
        const range = { offset: 7 * MB + 1, length: 9 * MB };
        const expected = pattern(20 * MB).subarray(range.offset, range.offset + range.length);
        sameBytes(await store.get("a", { range }), expected);
        sameBytes(await whole(store.stream("a", { range })), expected);
      });

      it("says that there is no such object, and where: MILL_STORE_NOT_FOUND", async () => {
        await store.put("there/a", bytes("one"));
        for (const key of ["missing", "there", "there/a/b", "missing/a"]) {
          for (const read of [
            () => store.get(key),
            () => store.get(key, { range: { offset: 0, length: 1 } }),
            () => store.get(key, { range: { offset: 0, length: 0 } }),
            () => whole(store.stream(key)),
            () => whole(store.stream(key, { range: { offset: 0, length: 0 } })),
          ]) {
            const error = await failure(read());
            assert.equal(error.code, "MILL_STORE_NOT_FOUND", key);
            assert.ok(error.message.includes(key) && error.message.includes(store.url), error.message);
          }
          assert.equal(await store.head(key), undefined);
        }
      });

      it("ends a read that is cancelled (O5)", async () => {
        await store.put("a", pattern(20 * MB));
        await assert.rejects(store.get("a", { signal: AbortSignal.abort(REASON) }), REASON);
        await assert.rejects(whole(store.stream("a", { signal: AbortSignal.abort(REASON) })), REASON);
        const cancel = new AbortController();
        const get = store.get("a", { signal: cancel.signal });
        cancel.abort(REASON);
        await within("the get to end", assert.rejects(get, REASON));
      });

      it("lets a reader leave a stream early", async () => {
        await store.put("a", pattern(20 * MB));
        for await (const piece of store.stream("a")) {
          assert.ok(piece.length > 0);
          break;
        }
        assert.equal((await store.get("a", { range: { offset: 0, length: 1 } })).length, 1);
      });
    });

    describe("list", () => {
      it("gives what starts with the prefix, in the order of UTF-8 bytes", async () => {
        // UTF-16 would put U+FF5E after U+1F600; a walk by folders would put "a/b" before "a-b".
        const keys = ["a-b", "a/b", "a/b.c/d", "a/b/c", "a0", "b", "z/\uff5e", "z/\u{1f600}", "z/é"];
        await Promise.all(keys.map((key) => store.put(key === "a/b" ? "a/b2" : key, bytes(key))));
        const all = (await listed(store)).map((info) => info.key);
        assert.deepEqual(all, ["a-b", "a/b.c/d", "a/b/c", "a/b2", "a0", "b", "z/é", "z/\uff5e", "z/\u{1f600}"]);
        for (const prefix of ["a", "a/", "a/b", "a/b/", "z/", "b", "c", "a/b/c/d"]) {
          const found = (await listed(store, prefix)).map((info) => info.key);
          assert.deepEqual(
            found,
            all.filter((key) => key.startsWith(prefix)),
            `prefix ${prefix}`,
          );
        }
      });

      it("gives size and version as head does", async () => {
        await store.put("a", bytes("one"));
        await store.put("b", pattern(9 * MB));
        for (const { sinceMs: _, ...info } of await listed(store)) assert.deepEqual(info, await store.head(info.key));
      });

      it("says since when an object has its key: since it was put, put again, created or moved there", async () => {
        const since = async (key: string) => (await listed(store, key))[0]!.sinceMs;
        /** When the store's clock has gone on, as far as it shows. */
        const later = async (thanMs: number) => {
          for (;;) {
            await store.put("clock", bytes("tick"));
            if ((await since("clock")) > thanMs) return;
          }
        };
        await store.put("a", bytes("one"));
        const put = await since("a");
        await later(put);
        assert.equal(await since("a"), put, "it does not change by itself");
        await store.put("a", bytes("one"));
        const again = await since("a");
        assert.ok(again > put, "put again");
        await later(again);
        await store.move("a", "b");
        const moved = await since("b");
        assert.ok(moved > again, "moved");
        await later(moved);
        assert.equal((await store.create("a", bytes("two"))).created, true);
        assert.ok((await since("a")) > moved, "created");
        assert.equal((await store.create("b", bytes("two"))).created, false);
        assert.equal(await since("b"), moved, "what was not created is as old as it was");
      });

      it("gives more than one page", async () => {
        const keys = Array.from({ length: 1_005 }, (_, i) => `many/${String(i).padStart(4, "0")}`);
        for (let at = 0; at < keys.length; at += 50) {
          await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, new Uint8Array())));
        }
        assert.deepEqual(
          (await listed(store, "many/")).map((info) => info.key),
          keys,
        );
      }).timeout(60_000);

      it("gives nothing where nothing was written", async () => {
        assert.deepEqual(await listed(store), []);
        assert.deepEqual(await listed(store, "no/such/folder/"), []);
      });

      it("ends when it is cancelled (O5)", async () => {
        await store.put("a", bytes("one"));
        await assert.rejects(listed(store, "", AbortSignal.abort(REASON)), REASON);
      });
    });

    describe("keys", () => {
      for (const [what, key] of INVALID_KEYS) {
        it(`refuses one ${what}: MILL_STORE_KEY`, async () => {
          await store.put("a", bytes("one"));
          for (const call of [
            store.put(key, bytes("two")),
            store.create(key, bytes("two")),
            store.get(key),
            whole(store.stream(key)),
            store.head(key),
            store.move(key, "b"),
            store.move("a", key),
            store.delete(key),
          ]) {
            assert.equal((await failure(call)).code, "MILL_STORE_KEY");
          }
          await showsOnly(store, { a: "one" });
        });
      }

      for (const key of UNUSUAL_KEYS) {
        it(`takes ${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)}`, async () => {
          await store.put(key, bytes("one"));
          assert.equal(text(await store.get(key)), "one");
          assert.equal(text(await whole(store.stream(key))), "one");
          assert.equal((await store.create(key, bytes("two"))).created, false);
          assert.equal((await store.head(key))?.key, key);
          assert.deepEqual(
            (await listed(store, key.slice(0, 3))).map((info) => info.key),
            [key],
          );
          await store.move(key, "elsewhere/x");
          await store.move("elsewhere/x", key);
          assert.equal(text(await store.get(key)), "one");
          await store.delete(key);
          assert.equal(await store.head(key), undefined);
        });
      }
    });

    describe("move", () => {
      it("makes the object known by its new key only", async () => {
        await store.put("staging/a", bytes("one"));
        await store.move("staging/a", "out/deep/a");
        await showsOnly(open(), { "out/deep/a": "one" });
      });

      it("replaces what was there", async () => {
        await store.put("a", bytes("one"));
        await store.put("b", bytes("two"));
        await store.move("a", "b");
        await showsOnly(store, { b: "one" });
      });

      it("changes nothing when it is done again", async () => {
        await store.put("staging/a", bytes("one"));
        await store.move("staging/a", "out/a");
        await store.move("staging/a", "out/a");
        await showsOnly(store, { "out/a": "one" });
      });

      it("keeps an object that is moved to where it is", async () => {
        await store.put("a", bytes("one"));
        await store.move("a", "a");
        await showsOnly(store, { a: "one" });
        assert.equal((await failure(store.move("b", "b"))).code, "MILL_STORE_NOT_FOUND");
      });

      it("says that neither is there: MILL_STORE_NOT_FOUND", async () => {
        const error = await failure(store.move("staging/a", "out/a"));
        assert.equal(error.code, "MILL_STORE_NOT_FOUND");
        assert.match(error.message, /staging\/a/);
        await showsOnly(store, {});
      });

      it("does not take a folder for an object", async () => {
        await store.put("a/b", bytes("one"));
        assert.equal((await failure(store.move("a", "c"))).code, "MILL_STORE_NOT_FOUND");
        await showsOnly(store, { "a/b": "one" });
      });

      it("takes an object of 20 MB", async () => {
        await store.put("a", inPieces(pattern(20 * MB), MB));
        await store.move("a", "b");
        sameBytes(await store.get("b"), pattern(20 * MB));
      });

      it("by several at once is one move", async () => {
        for (let round = 0; round < 5; round++) {
          await store.put("staging/a", bytes(`round ${round}`));
          await Promise.all(Array.from({ length: 4 }, () => open().move("staging/a", "out/a")));
          await showsOnly(store, { "out/a": `round ${round}` });
        }
      });

      it("of many does not disturb those who write beside them", async () => {
        const names = Array.from({ length: 60 }, (_, i) => `${i}`);
        await Promise.all(
          names.map(async (each) => {
            const mine = open();
            await mine.put(`staging/${each}`, bytes(each));
            await mine.move(`staging/${each}`, `out/${each}`);
          }),
        );
        const found = await listed(store);
        assert.deepEqual(
          found.map((info) => info.key),
          names.map((each) => `out/${each}`).sort(),
        );
      });

      it("does nothing when it was cancelled before (O5)", async () => {
        await store.put("a", bytes("one"));
        await assert.rejects(store.move("a", "b", { signal: AbortSignal.abort(REASON) }), REASON);
        await assert.rejects(store.delete("a", { signal: AbortSignal.abort(REASON) }), REASON);
        await showsOnly(store, { a: "one" });
      });
    });

    describe("delete and check", () => {
      it("deletes, and does nothing when the key is absent", async () => {
        await store.put("a/b", bytes("one"));
        await store.delete("a/b");
        await store.delete("a/b");
        await store.delete("never/was");
        await store.put("c", bytes("one"));
        await store.delete("c/d");
        await showsOnly(store, { c: "one" });
      });

      it("does not take a folder for an object", async () => {
        await store.put("a/b", bytes("one"));
        await store.delete("a");
        await showsOnly(store, { "a/b": "one" });
      });

      it("checks, and leaves nothing behind", async () => {
        await store.check();
        await showsOnly(store, {});
        await store.put("a", bytes("one"));
        await store.check();
        await showsOnly(store, { a: "one" });
      });
    });
  });
}

/** Gives `sizeBytes`, then nothing and no end until it is told to go on or its reader leaves. */
class StuckSource implements AsyncIterable<Uint8Array> {
  readonly cancel = new AbortController();
  readonly stuck: Promise<void>;
  goOn = () => {};
  closed = false;
  #arrived = () => {};

  constructor(private readonly sizeBytes: number) {
    this.stuck = new Promise((resolve) => {
      this.#arrived = resolve;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const pieces = inPieces(pattern(this.sizeBytes), MB);
    const held = new Promise<void>((resolve) => {
      this.goOn = resolve;
    });
    return {
      next: async () => {
        const piece = await pieces.next();
        if (piece.done !== true) return piece;
        this.#arrived();
        await held;
        return { done: true, value: undefined };
      },
      return: async () => {
        this.closed = true;
        this.goOn();
        return { done: true, value: undefined };
      },
    };
  }
}

function pieces(all: Uint8Array, sizeBytes: number): Uint8Array[] {
  const count = Math.ceil(all.length / sizeBytes);
  return Array.from({ length: count }, (_, i) => all.subarray(i * sizeBytes, (i + 1) * sizeBytes));
}

async function* inPieces(all: Uint8Array, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < all.length; at += sizeBytes) yield all.subarray(at, at + sizeBytes);
}

async function whole(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(Uint8Array.from(piece));
  return Buffer.concat(all);
}

async function listed(store: ObjectStore, prefix = "", signal?: AbortSignal): Promise<ListedObject[]> {
  const found: ListedObject[] = [];
  for await (const info of store.list(prefix, signal === undefined ? {} : { signal })) found.push(info);
  return found;
}

/** Asserts that exactly these objects are there, by list, head and get. */
async function showsOnly(store: ObjectStore, objects: Readonly<Record<string, string>>): Promise<void> {
  const keys = (await listed(store)).map((info) => info.key);
  assert.deepEqual(keys, Object.keys(objects).sort());
  for (const key of keys) assert.equal(text(await store.get(key)), objects[key]);
  for (const key of ["new", "old"]) {
    if (!(key in objects)) assert.equal(await store.head(key), undefined);
  }
}

async function failure(call: Promise<unknown>): Promise<MillraceError> {
  const error = await call.then(
    () => assert.fail("expected a failure"),
    (reason: unknown) => reason,
  );
  assert.ok(MillraceError.is(error), String(error));
  return error;
}
