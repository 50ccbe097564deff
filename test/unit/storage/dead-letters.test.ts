import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { type DeadLetter, DeadLetterFolder } from "../../../src/storage/dead-letters.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";

let nowMs = 0;
const all = () => true;
const lineOf = (message: string, more: object = {}) =>
  `${JSON.stringify({ operator: "parse", code: "MILL_RECORD_INVALID", message, record: "{}", ...more })}\n`;
const messages = (letters: readonly DeadLetter[]) => letters.map(({ message }) => message);

/** Counts what is read. */
class Counted extends MemoryStore {
  bytes = 0;
  override async get(key: string, options = {}): Promise<Uint8Array> {
    const got = await super.get(key, options);
    this.bytes += got.length;
    return got;
  }
}

describe("storage/dead-letters: what is published", () => {
  let published: Counted;
  let marks: MemoryStore;
  let folder: DeadLetterFolder;
  const publish = (file: string, ...lines: string[]) => {
    nowMs += 1_000;
    return published.put(file, Buffer.from(lines.join("")));
  };

  beforeEach(() => {
    nowMs = 0;
    published = new Counted({ nowMs: () => nowMs });
    marks = new MemoryStore();
    folder = new DeadLetterFolder(published, marks);
  });

  it("comes newest first, page by page; what is added meanwhile moves nothing", async () => {
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"), lineOf("b"), lineOf("c"));
    await publish("dead-letters-parse-1-1.jsonl", lineOf("d"), lineOf("é"));
    const first = await folder.page({ limit: 3, wanted: all });
    assert.deepEqual(messages(first.items), ["é", "d", "c"]);
    await publish("dead-letters-parse-0-2.jsonl", lineOf("later"));
    const second = await folder.page({ limit: 3, wanted: all, after: first.next! });
    assert.deepEqual(messages(second.items), ["b", "a"]);
    assert.equal(second.next, undefined);
  });

  it("what is staged, and what no job wrote, is none (L1)", async () => {
    await publish("_staging/1-dead-letters-parse-0-1.jsonl", lineOf("staged"));
    await publish("dead-letters-notes.jsonl", "not ours");
    await publish("parse-0-1.jsonl", "not ours");
    assert.deepEqual((await folder.page({ limit: 3, wanted: all })).items, []);
  });

  it("of a large file a page reads its end, and one record its own bytes (L1)", async () => {
    const lines = Array.from({ length: 4_000 }, (_, i) => lineOf(`${i} ${"x".repeat(1_000)}`));
    await publish("dead-letters-parse-0-1.jsonl", ...lines);
    const { items } = await folder.page({ limit: 10, wanted: all });
    assert.ok(items[0]!.message.startsWith("3999 "));
    assert.ok(published.bytes <= 300_000, `${published.bytes} bytes were read for a page`);
    published.bytes = 0;
    assert.equal((await folder.find(items[9]!.id)).message, items[9]!.message);
    assert.ok(published.bytes <= 300_000, `${published.bytes} bytes were read for a record`);
  });

  it("a page that finds little ends before it has read everything (L1)", async () => {
    const mebibyte = "x".repeat(1024 * 1024);
    const count = limits.deadLetterScanBytesMax / 1024 ** 2 + 2;
    for (let i = 0; i < count; i++) await publish(`dead-letters-parse-0-${i + 1}.jsonl`, lineOf(mebibyte));
    const first = await folder.page({ limit: 10, wanted: () => false });
    assert.deepEqual(first.items, []);
    assert.ok(published.bytes < (count - 1) * 1024 ** 2 * 1.01);
    const rest = await folder.page({ limit: 10, wanted: all, after: first.next! });
    assert.deepEqual([rest.items.length, rest.next], [2, undefined]);
  });

  it("nor does it read all marks of those that were discarded (L1)", async () => {
    const count = limits.deadLetterMarksMax + 10;
    await publish("dead-letters-parse-0-1.jsonl", ...Array.from({ length: count }, (_, i) => lineOf(`${i}`)));
    for (let after: string | undefined; ; ) {
      const page = await folder.page({ limit: 1_000, wanted: all, ...(after === undefined ? {} : { after }) });
      for (const { id } of page.items) await folder.mark(id, { kind: "discarded", job: "", by: "me", atMs: 1 });
      after = page.next;
      if (after === undefined) break;
    }
    const isOpen = ({ mark }: DeadLetter) => mark === undefined;
    const first = await folder.page({ limit: 10, wanted: isOpen });
    assert.deepEqual(first.items, []);
    assert.deepEqual(await folder.page({ limit: 10, wanted: isOpen, after: first.next! }), { items: [] });
  });

  it("an id names nothing where other records were written in its place (L2)", async () => {
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"), lineOf("b"));
    const [last] = (await folder.page({ limit: 1, wanted: all })).items;
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"), lineOf("z"));
    const gone = { code: "MILL_REQUEST_NOT_FOUND" };
    await assert.rejects(folder.find(last!.id), gone);
    for (const id of [
      "x",
      "../a.0.000000000000",
      "dead-letters-parse-0-9.0.000000000000",
      last!.id.replace(/\.\d+\./, ".999."),
    ])
      await assert.rejects(folder.find(id), gone, id);
  });

  it("a record keeps its first mark (L3)", async () => {
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"));
    const [{ id }] = (await folder.page({ limit: 1, wanted: all })).items as [DeadLetter];
    const mark = (kind: "discarded" | "replayed", job: string) => ({ kind, job, by: "me", atMs: 5 });
    assert.equal((await folder.mark(id, mark("replayed", "r"))).job, "r");
    assert.equal((await folder.mark(id, mark("discarded", ""))).kind, "replayed");
    assert.deepEqual((await folder.find(id)).mark, mark("replayed", "r"));
    assert.deepEqual((await folder.page({ limit: 1, wanted: all })).items[0]!.mark, mark("replayed", "r"));
    const elsewhere = new DeadLetterFolder(new MemoryStore(), marks);
    assert.equal(elsewhere.keys.replay("r"), folder.keys.replay("r"), "marks belong to the place, whoever looks");
  });

  it("of an earlier version, when it was published is when it was refused, and it has no whole row", async () => {
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"), lineOf("b", { atMs: 7, row: "AQI=" }));
    const [b, a] = (await folder.page({ limit: 2, wanted: all })).items;
    assert.deepEqual([a!.atMs, a!.row], [1_000, undefined]);
    assert.deepEqual([b!.atMs, Buffer.from(b!.row as Uint8Array)], [7, Buffer.of(1, 2)]);
    assert.equal((await folder.find(a!.id)).atMs, 1_000);
  });

  it("what is no dead letter is said with its place", async () => {
    await publish("dead-letters-parse-0-1.jsonl", lineOf("a"), "{}\n");
    await assert.rejects(folder.page({ limit: 2, wanted: all }), /dead-letters-parse-0-1\.jsonl.*byte \d+/);
  });
});
