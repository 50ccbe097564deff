import assert from "node:assert/strict";
import type { JobId } from "../../../src/base/ids.js";
import { Replays } from "../../../src/coordinator/replays.js";
import { type DeadLetter, DeadLetterFolder } from "../../../src/storage/dead-letters.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { encodeRow } from "../../../src/wire/arrow-row.js";
import { type JobSpec, jobSpecFrame } from "../../../src/wire/control.js";
import { actorSnapshotFrame, regionRecordFrame } from "../../../src/wire/stored.js";
import { numbers } from "../actors/support.js";
import { fakePorts } from "./fake-ports.js";
import { needs, spec } from "./job-facts.js";

const job: JobSpec = {
  ...spec,
  actors: [{ actor: "read-0", region: "r", subtask: 0, resources: needs(), gpus: [] }],
  graph: [{ operator: "read", inputs: [], service: "", chain: "read" }],
  operators: [{ operator: "read", kind: "source", parallelism: 1, columns: "" }],
};

/** Its next write below that fails once. */
class Failing extends MemoryStore {
  next = "";
  override async create(key: string, bytes: Uint8Array) {
    if (this.next !== "" && key.includes(this.next)) {
      this.next = "";
      throw new Error("the store is away");
    }
    return super.create(key, bytes);
  }
}

describe("coordinator/replays: dead letters go back to their operators", () => {
  let store: Failing;
  let folder: DeadLetterFolder;
  let submitted: string[];
  let replays: Replays;
  let letters: readonly DeadLetter[];

  const made = () =>
    new Replays({
      ...{ folder, store, ports: fakePorts() },
      read: () => assert.fail("the rows are in the letters"),
      submit: async (one: JobId) => void submitted.push(one),
    });
  const list = async () => (await folder.page({ limit: 10, wanted: () => true })).items;
  const rowsOf = async (replay: string): Promise<number> => {
    const keys = jobKeys(replay as JobId);
    const { seeds } = jobSpecFrame.decode(await store.get(keys.spec)).header;
    const record = regionRecordFrame.decode(await store.get(keys.regionRecord("r", seeds[0]!.number))).header;
    return actorSnapshotFrame.decode(record.actors[0]!.inline).header.parked.length;
  };

  beforeEach(async () => {
    store = new Failing();
    submitted = [];
    const published = new MemoryStore({ nowMs: () => 1 });
    const lines = [1, 2, 3].map((n) => {
      const row = Buffer.from(encodeRow(numbers(n))).toString("base64");
      return `${JSON.stringify({ operator: "read", code: "C", message: `${n}`, record: "{}", row })}\n`;
    });
    await published.put("dead-letters-read-0-1.jsonl", Buffer.from(lines.join("")));
    folder = new DeadLetterFolder(published, store);
    await store.put(jobKeys(job.job as JobId).spec, jobSpecFrame.encode(job));
    replays = made();
    letters = await list();
  });

  it("in one job, which is submitted once however often they are asked for (Y3)", async () => {
    const [first] = await replays.replay(job, letters, "me");
    assert.equal(first!.ids.length, 3);
    assert.match(first!.job, /^test-replay-[0-9a-f]{16}$/);
    assert.equal(await rowsOf(first!.job), 3);
    await made().replay(job, letters, "you");
    assert.deepEqual(submitted, [first!.job]);
    assert.ok(!(await replays.isOpen((await list())[0]!)));
  });

  it("a record that two ask for at once is in one replay (Y3)", async () => {
    const [one, two, three] = letters as [DeadLetter, DeadLetter, DeadLetter];
    const both = await Promise.all([replays.replay(job, [one, two], "me"), made().replay(job, [two, three], "you")]);
    const ids = both.flat().flatMap((replay) => replay.ids);
    assert.deepEqual([...ids].sort(), letters.map(({ id }) => id).sort());
    let rows = 0;
    for (const replay of new Set(submitted)) rows += await rowsOf(replay);
    assert.equal(rows, 3);
  });

  it("one that was discarded is in none", async () => {
    await folder.mark(letters[0]!.id, { kind: "discarded", job: "", by: "me", atMs: 1 });
    const [replay] = await replays.replay(job, letters, "me");
    assert.equal(await rowsOf(replay!.job), 2);
    assert.deepEqual(await made().replay(job, [letters[0]!], "me"), []);
  });

  for (const step of ["/marks/", "/log/", "/spec.avro", "/begun/"]) {
    it(`broken off at ${step}, its records are as they were, and the next who asks takes it up (Y4)`, async () => {
      store.next = step;
      await assert.rejects(replays.replay(job, letters, "me"), /away/);
      const [after] = await list();
      assert.ok(await made().isOpen(after!), "nothing has begun that is known to have");
      // Of other records along with them: each is in one replay all the same.
      for (const letter of await list()) await made().replay(job, [letter], "you");
      let rows = 0;
      for (const replay of new Set(submitted)) rows += await rowsOf(replay);
      assert.equal(rows, 3);
      for (const letter of await list()) assert.ok(!(await made().isOpen(letter)));
    });
  }

  it("checkpoints are numbered apart from those of every other job (Y1)", async () => {
    const numberOf = async (replay: string) =>
      jobSpecFrame.decode(await store.get(jobKeys(replay as JobId).spec)).header.seeds[0]!.number;
    const [one] = await replays.replay(job, [letters[0]!], "me");
    const [two] = await replays.replay(job, [letters[1]!], "me");
    const [a, b] = [await numberOf(one!.job), await numberOf(two!.job)];
    assert.notEqual(a, b);
    assert.ok(a >= 1_000n && a <= BigInt(Number.MAX_SAFE_INTEGER), `${a}`);
  });
});
