import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { InferOperator } from "../../../src/actors/infer-operator.js";
import type { BadRecord } from "../../../src/actors/operator.js";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import type { Answer, CallOptions, PassedRows, ServiceClient } from "../../../src/services/client.js";
import type { InferNode } from "../../../src/topology/nodes.js";
import { service } from "../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { lineageFrom, withLineage } from "../../../src/types/lineage.js";
import { isOpen, op, range, rows, testRuntime, turns, until } from "./support.js";

const input = { n: t.int32, key: t.utf8 };
const output = { doubled: t.int32, said: t.utf8 };
const element = t.struct({ n: t.int32 });
const lists = { id: t.int32, parts: t.list(element) };

/** A request as the operator sent it; the test answers it when it likes. */
interface Asked {
  readonly values: number[];
  readonly bucket: string;
  answer(rejected?: Answer["rejected"]): void;
  fail(error: Error): void;
}

interface Options {
  readonly rowsMax?: number;
  readonly bucketBy?: string[];
  readonly each?: boolean;
  /** Requests carry one column of two. */
  readonly narrow?: boolean;
  readonly ordered?: boolean;
  readonly emit?: () => Promise<void>;
}

function setUp(options: Options = {}) {
  const asked: Asked[] = [];
  const ids: string[] = [];
  const columns: Columns = options.each || options.narrow ? { n: t.int32 } : input;
  const declared = service("double", {
    input: columns,
    output,
    handler: { kind: "none", assets: {}, load: () => Promise.reject(new Error("never loaded")) },
    batch: { rowsMax: options.rowsMax ?? 2, bucketBy: options.bucketBy ?? [] },
  });
  const passed: number[] = [];
  const suppliers: (() => void)[] = [];
  const client = {
    isStarved: false,
    whenStarved: (supply: () => void) => void suppliers.push(supply),
    release: (released: readonly PassedRows[]) =>
      void passed.push(released.reduce((sum, { ids }) => sum + ids.length, 0)),
    call(records: RecordBatch, _owner: object, { bucket = "", rowIds = [] }: CallOptions = {}): Promise<Answer> {
      for (const id of rowIds) ids.push(id);
      const values = (rowsOf(columns, records as never) as { n: number }[]).map((row) => row.n);
      return new Promise((resolve, reject) => {
        asked.push({
          values,
          bucket,
          answer: (rejected = []) => {
            const made = batchFromRows(
              output,
              values.map((n) => ({ doubled: 2 * n, said: `${n}` })),
            );
            resolve({ records: made as unknown as RecordBatch, rejected });
          },
          fail: reject,
        });
      });
    },
  };
  /** Instances have nothing to do. */
  const starve = () => {
    client.isStarved = true;
    for (const supply of suppliers.splice(0)) supply();
  };
  const from: Columns = options.each ? lists : input;
  const to: Columns = options.each ? { ...lists, answers: t.list(t.struct(output)) } : { ...input, ...output };
  const node: InferNode = {
    id: op("infer"),
    kind: "infer",
    columns: to,
    inputs: [op("in")],
    parallelism: undefined,
    isolated: false,
    service: declared as unknown as InferNode["service"],
    ordered: options.ordered ?? true,
    each: options.each ? "parts" : undefined,
    into: options.each ? "answers" : undefined,
  };
  const runtime = testRuntime();
  const out: RecordBatch[] = [];
  const emit = async (batch: RecordBatch) => {
    await options.emit?.();
    out.push(batch);
  };
  const made = new InferOperator(node, from, client as unknown as ServiceClient, runtime, emit);
  const emitted = () => rows(to, out) as { n: number; doubled: number; said: string }[];
  return { made, asked, ids, passed, runtime, out, to, emitted, starve };
}

const batch = (...values: number[]) =>
  batchFromRows(
    input,
    values.map((n) => ({ n, key: n < 0 ? "minus" : "plus" })),
  ) as unknown as RecordBatch;
const listBatch = (...parts: number[][]) =>
  batchFromRows(
    lists,
    parts.map((list, id) => ({ id, parts: list.map((n) => ({ n })) })),
  ) as unknown as RecordBatch;
const reject = (row: number, message = "bad") => ({ row, code: "MILL_RECORD_INVALID", message });

describe("actors/infer-operator: rows of a batch", () => {
  it("sends runs of neighbours of one bucket, of at most rowsMax rows", async () => {
    const { made, asked } = setUp({ rowsMax: 2, bucketBy: ["key"] });
    await made.process(batch(1, 2, 3, -1, -2, 4));
    assert.deepEqual(
      asked.map(({ values, bucket }) => [values, bucket]),
      [
        [[1, 2], "plus"],
        [[3], "plus"],
        [[-1, -2], "minus"],
        [[4], "plus"],
      ],
    );
  });

  it("rows leave in the order in which they came, though answers come backwards (I1)", async () => {
    const { made, asked, emitted } = setUp();
    await made.process(batch(1, 2, 3));
    await made.process(batch(4));
    for (const one of [...asked].reverse()) {
      one.answer();
      await turns(1);
    }
    await made.end();
    assert.deepEqual(
      emitted().map((row) => [row.n, row.doubled, row.said]),
      [1, 2, 3, 4].map((n) => [n, 2 * n, `${n}`]),
    );
  });

  it("unordered, a batch leaves as soon as all of it is answered, its rows in their order (I1)", async () => {
    const { made, asked, emitted } = setUp({ ordered: false, rowsMax: 1 });
    await made.process(batch(1, 2));
    await made.process(batch(3, 4));
    await made.process(batch(5));
    const seen = () => emitted().map(({ n }) => n);
    asked[4]!.answer();
    await turns();
    assert.deepEqual(seen(), [5]);
    asked[3]!.answer();
    asked[0]!.answer();
    await turns();
    assert.deepEqual(seen(), [5], "no half of a batch");
    asked[2]!.fail(new MillraceError("MILL_SERVICE_FAILED", "no"));
    await turns();
    assert.deepEqual(seen(), [5, 4]);
    asked[1]!.answer();
    await made.end();
    assert.deepEqual(seen(), [5, 4, 1, 2]);
  });

  it("a full window holds `process` back until a batch has been handed on (I2)", async () => {
    const { made, asked, emitted } = setUp({ rowsMax: 10_000 });
    await made.process(batch(...range(0, limits.inferAheadRows)));
    const second = made.process(batch(7));
    assert.ok(await isOpen(second), "the second batch went in though the window was full");
    assert.equal(asked.length, 1);
    asked[0]!.answer();
    await second;
    assert.equal(emitted().length, limits.inferAheadRows);
    asked[1]!.answer();
    await made.end();
  });

  it("a batch comes in ahead of what instances need up to a bound, and above it where one would stand still (I2)", async () => {
    const { made, asked, starve } = setUp({ rowsMax: 10_000 });
    await made.process(batch(...range(0, limits.inferAheadRows)));
    const second = made.process(batch(7));
    assert.ok(await isOpen(second), "the second batch went in though instances have enough to do");
    starve();
    await second;
    const rest = limits.inferWindowRows - limits.inferAheadRows - 1;
    await made.process(batch(...range(0, rest)));
    const fourth = made.process(batch(8));
    starve();
    assert.ok(await isOpen(fourth), "the fourth batch went in though the window was full");
    assert.equal(asked.length, 3);
  });

  for (const ordered of [true, false]) {
    it(`what waits to leave ${ordered ? "in order" : "in any order"} is not more because instances have nothing to do (I2)`, async () => {
      const { made, asked, starve } = setUp({ rowsMax: 10_000, ordered, emit: () => new Promise<void>(() => {}) });
      await made.process(batch(...range(0, limits.inferAheadRows)));
      asked[0]!.answer();
      await turns();
      const second = made.process(batch(7));
      starve();
      assert.ok(await isOpen(second), "a batch went in behind one that does not leave");
    });
  }

  it("answers that have come in leave before more goes out", async () => {
    const { made, asked, emitted } = setUp({ rowsMax: 2 });
    await made.process(batch(1, 2));
    setImmediate(() => asked[0]!.answer());
    await made.process(batch(3));
    assert.equal(emitted().length, 2);
  });

  it("what leaves slowly holds `process` back, too (I2)", async () => {
    let release: () => void = () => {};
    const { made, asked } = setUp({ rowsMax: 10_000, emit: () => new Promise<void>((resolve) => (release = resolve)) });
    await made.process(batch(...range(0, limits.inferAheadRows)));
    asked[0]!.answer();
    const second = made.process(batch(7));
    assert.ok(await isOpen(second));
    release();
    await second;
  });

  it("a rejected row is refused with its reason and as it came; its neighbours go on (I3)", async () => {
    const { made, asked, emitted, runtime } = setUp({ rowsMax: 3 });
    await made.process(batch(1, 2, 3));
    asked[0]!.answer([reject(1, "too dark")]);
    await made.end();
    assert.deepEqual(
      emitted().map((row) => row.n),
      [1, 3],
    );
    const [{ batch: alone, ...record }] = runtime.refused as [BadRecord];
    assert.equal(runtime.refused.length, 1);
    assert.deepEqual(record, { code: "MILL_RECORD_INVALID", message: "too dark", row: { n: 2, key: "plus" } });
    assert.equal(alone.numRows, 1);
  });

  it("a row that is rejected twice is refused once (I3)", async () => {
    const { made, asked, runtime } = setUp();
    await made.process(batch(1, 2));
    asked[0]!.answer([reject(1), reject(1)]);
    await made.end();
    assert.equal(runtime.refused.length, 1);
  });

  for (const code of ["MILL_SERVICE_FAILED", "MILL_SERVICE_LOST", "MILL_FRAME_TOO_LARGE"] as const) {
    it(`a call that fails with ${code} refuses its rows, and the others go on (I3)`, async () => {
      const { made, asked, emitted, runtime } = setUp();
      await made.process(batch(1, 2, 3));
      asked[0]!.fail(new MillraceError(code, "no"));
      asked[1]!.answer();
      await made.end();
      assert.deepEqual(
        runtime.refused.map(({ row, code }) => [row.n, code]),
        [
          [1, code],
          [2, code],
        ],
      );
      assert.deepEqual(
        emitted().map((row) => row.n),
        [3],
      );
    });
  }

  it("any other error fails the actor, and `end` meets it", async () => {
    const { made, asked, runtime } = setUp();
    await made.process(batch(1));
    asked[0]!.fail(new MillraceError("MILL_MODEL_INPUTS", "no such input"));
    await assert.rejects(made.end(), { code: "MILL_MODEL_INPUTS" });
    assert.equal(runtime.failures.length, 1);
    assert.deepEqual(runtime.refused, []);
  });

  it("an answer with another number of rows than were sent fails the actor", async () => {
    const { made, asked, runtime } = setUp();
    await made.process(batch(1, 2));
    Object.assign(asked[0]!.values, [1]).length = 1;
    asked[0]!.answer();
    await assert.rejects(made.end(), { code: "MILL_INTERNAL" });
    assert.equal(runtime.failures.length, 1);
  });

  it("an error while `process` waits in a full window reaches it", async () => {
    const { made, asked } = setUp({ rowsMax: 10_000 });
    await made.process(batch(...range(0, limits.inferAheadRows)));
    const second = made.process(batch(7));
    assert.ok(await isOpen(second));
    asked[0]!.fail(new MillraceError("MILL_MODEL_INPUTS", "no such input"));
    await assert.rejects(second, { code: "MILL_MODEL_INPUTS" });
    assert.equal(asked.length, 1, "nothing more is sent");
    await assert.rejects(made.process(batch(8)), { code: "MILL_MODEL_INPUTS" });
  });

  it("`end` waits for calls under way (I4)", async () => {
    const { made, asked, emitted } = setUp();
    await made.process(batch(1));
    const end = made.end();
    assert.ok(await isOpen(end));
    asked[0]!.answer();
    await end;
    assert.equal(emitted().length, 1);
  });

  it("`end` of an operator that was given nothing resolves", () => setUp().made.end());

  it("a batch without rows is handed on to nobody and holds up nobody", async () => {
    const { made, asked, emitted } = setUp();
    await made.process(batch());
    await made.process(batch(1));
    asked[0]!.answer();
    await made.end();
    assert.equal(emitted().length, 1);
  });

  it("once the actor has stopped nothing is handed on or refused (I5)", async () => {
    const { made, asked, out, runtime } = setUp();
    await made.process(batch(1));
    await made.process(batch(2));
    runtime.stop();
    asked[0]!.answer();
    asked[1]!.fail(new MillraceError("MILL_SERVICE_LOST", "its client was closed"));
    await assert.rejects(made.end());
    assert.deepEqual([out.length, runtime.refused.length], [0, 0]);
  });

  it("counts the rows in flight down to none", async () => {
    const { made, asked, runtime } = setUp();
    await made.process(batch(1, 2, 3));
    assert.equal(runtime.counters.rowsInFlight, 3);
    for (const one of asked) one.answer();
    await made.end();
    assert.equal(runtime.counters.rowsInFlight, 0);
  });

  it("every row is handed on in order or refused, exactly once: random batches, answer orders and refusals (I1, I3)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.nat()),
        async (sizes, rowsMax, choices) => {
          const choose = (below: number) => (choices.next().value as number) % below;
          const { made, asked, emitted, runtime } = setUp({ rowsMax, bucketBy: ["key"] });
          let n = 0;
          const expectedRefused: number[] = [];
          const settleOne = () => {
            const [one] = asked.splice(choose(asked.length), 1);
            const kind = choose(4);
            if (kind === 0) {
              expectedRefused.push(...one!.values);
              one!.fail(new MillraceError("MILL_SERVICE_FAILED", "no"));
              return;
            }
            const rejected = kind === 1 ? one!.values.map((_, row) => row).filter(() => choose(2) === 0) : [];
            expectedRefused.push(...rejected.map((row) => one!.values[row]!));
            one!.answer(rejected.map((row) => reject(row)));
          };
          for (const size of sizes) {
            await made.process(batch(...range(n, n + size).map((value) => (choose(3) === 0 ? -value - 1 : value))));
            n += size;
            while (asked.length > 0 && choose(2) === 0) settleOne();
            await turns(choose(2));
          }
          while (asked.length > 0) settleOne();
          await made.end();
          const place = (value: number) => (value < 0 ? -value - 1 : value);
          const kept = emitted().map((row) => row.n);
          const refused = runtime.refused.map((record) => record.row.n as number);
          assert.deepEqual(
            refused.map(place),
            expectedRefused.map(place).sort((a, b) => a - b),
          );
          const gone = new Set(refused.map(place));
          assert.deepEqual(
            kept.map(place),
            range(0, n).filter((value) => !gone.has(value)),
          );
          for (const row of emitted()) assert.deepEqual([row.doubled, row.said], [2 * row.n, `${row.n}`]);
          assert.equal(runtime.counters.rowsInFlight, 0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("actors/infer-operator: ids of rows (I7)", () => {
  it("rows without a position are told apart by columns that are not sent, too", async () => {
    const { made, ids } = setUp({ narrow: true });
    const keyed = batchFromRows(input, [
      { n: 1, key: "a" },
      { n: 1, key: "b" },
    ]) as unknown as RecordBatch;
    await made.process(withLineage(keyed, lineageFrom("counts", -1)));
    assert.equal(new Set(ids).size, 2);
  });

  it("elements of rows without a position have none", async () => {
    const { made, asked, ids } = setUp({ each: true });
    await made.process(withLineage(listBatch([1, 2]), lineageFrom("counts", -1)));
    assert.deepEqual([asked.length, ids], [1, []]);
  });

  it("those that wait for a commit are bounded, however many checkpoints fail and however many a batch has", async () => {
    const { made, asked, passed, out } = setUp({ each: true, rowsMax: limits.inferPassedIdsMax * 3 });
    for (let i = 1; i <= 3; i++) {
      const elements = Array.from({ length: limits.inferPassedIdsMax * 2 }, (_, n) => n);
      await made.process(withLineage(listBatch(elements), lineageFrom(`pages/${i}`)));
      asked.at(-1)!.answer();
      await until("the batch to be handed on", () => out.length === i);
      await turns();
      made.cut(BigInt(i));
    }
    made.committed(3n);
    assert.deepEqual(passed, [limits.inferPassedIdsMax]);
  });
});

describe("actors/infer-operator: elements of a list", () => {
  const answered = (made: ReturnType<typeof setUp>) =>
    made.emitted().map((row) => {
      const one = row as unknown as { id: number; parts: { n: number }[]; answers: { doubled: number }[] };
      assert.deepEqual(
        one.answers.map((answer) => answer.doubled),
        one.parts.map((part) => 2 * part.n),
      );
      return one.id;
    });

  it("each element is answered in its place, over lists of any length, empty ones too (I1)", async () => {
    const made = setUp({ each: true });
    await made.made.process(listBatch([1, 2, 3], [], [4], []));
    for (const one of [...made.asked].reverse()) one.answer();
    await made.made.end();
    assert.deepEqual(answered(made), [0, 1, 2, 3]);
  });

  it("a batch of empty lists sends nothing and goes on with empty answers", async () => {
    const made = setUp({ each: true });
    await made.made.process(listBatch([], [], []));
    await made.made.end();
    assert.equal(made.asked.length, 0);
    assert.deepEqual(answered(made), [0, 1, 2]);
  });

  it("a refused element refuses its row, once, and names the element; the other rows go on (I3)", async () => {
    const made = setUp({ each: true, rowsMax: 10 });
    await made.made.process(listBatch([1, 2], [], [3, 4, 5], [6]));
    made.asked[0]!.answer([reject(3, "blurred"), reject(4, "torn")]);
    await made.made.end();
    assert.deepEqual(answered(made), [0, 1, 3]);
    assert.equal(made.runtime.refused.length, 1);
    assert.equal(made.runtime.refused[0]!.row.id, 2);
    assert.match(made.runtime.refused[0]!.message, /element [12] of "parts": (blurred|torn)/);
  });

  it("a failed call refuses every row it had elements of, and no other (I3)", async () => {
    const made = setUp({ each: true, rowsMax: 2 });
    await made.made.process(listBatch([1], [2, 3], [4]));
    made.asked[0]!.fail(new MillraceError("MILL_SERVICE_FAILED", "no")); // elements 1 and 2
    made.asked[1]!.answer();
    await made.made.end();
    assert.deepEqual(answered(made), [2]);
    assert.deepEqual(
      made.runtime.refused.map((record) => record.row.id),
      [0, 1],
    );
  });

  it("a slice of a batch of lists sends the elements of its own rows", async () => {
    const made = setUp({ each: true, rowsMax: 10 });
    await made.made.process(listBatch([1, 2], [3], [4, 5]).slice(1, 3));
    assert.deepEqual(
      made.asked.map((one) => one.values),
      [[3, 4, 5]],
    );
    made.asked[0]!.answer();
    await made.made.end();
    assert.deepEqual(answered(made), [1, 2]);
  });

  it("every row is handed on in order or refused, exactly once: random lists, answer orders and refusals (I1, I3)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.nat()),
        async (batches, rowsMax, choices) => {
          const choose = (below: number) => (choices.next().value as number) % below;
          const made = setUp({ each: true, rowsMax });
          let n = 0;
          let id = 0;
          const ownerOf = new Map<number, number>();
          for (const lengths of batches) {
            const records = lengths.map((length) => {
              const values = range(n, n + length);
              for (const value of values) ownerOf.set(value, id);
              n += length;
              return { id: id++, parts: values.map((value) => ({ n: value })) };
            });
            await made.made.process(batchFromRows(lists, records) as unknown as RecordBatch);
          }
          const bad = new Set<number>();
          while (made.asked.length > 0) {
            const [one] = made.asked.splice(choose(made.asked.length), 1);
            const rejected = one!.values.map((_, row) => row).filter(() => choose(5) === 0);
            for (const row of rejected) bad.add(ownerOf.get(one!.values[row]!)!);
            one!.answer(rejected.map((row) => reject(row)));
            await turns(choose(2));
          }
          await made.made.end();
          assert.deepEqual(
            answered(made),
            range(0, id).filter((one) => !bad.has(one)),
          );
          const refused = made.runtime.refused.map((record) => record.row.id as number);
          assert.deepEqual(
            refused,
            [...bad].sort((a, b) => a - b),
          );
          await until("nothing in flight", () => made.runtime.counters.rowsInFlight === 0);
        },
      ),
      { numRuns: 60 },
    );
  });
});
