import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { BlobReader, BlobWriter } from "../../../src/actors/blobs.js";
import { partsByHash } from "../../../src/actors/exchange.js";
import { Gate, Parking } from "../../../src/actors/gate.js";
import { KeyedOperator } from "../../../src/actors/keyed-operator.js";
import type { Encode, OperatorRuntime } from "../../../src/actors/operator.js";
import { limits } from "../../../src/base/limits.js";
import { redistribute } from "../../../src/checkpoint/key-groups.js";
import type { KeyState, ProcessNode, ReduceNode } from "../../../src/topology/nodes.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { arrowSchema, type Row, t } from "../../../src/types/columns.js";
import { keyedStateFrame } from "../../../src/wire/stored.js";
import { gate, isOpen, op, range, rows, testRuntime, turns, within } from "./support.js";

const input = { key: t.optional(t.utf8), part: t.int32, value: t.int32 };
const keys = ["key", "part"];
const state = { sum: t.int64, values: t.list(t.int32) };
const output = { key: t.optional(t.utf8), part: t.int32, ...state };
type Input = Row<typeof input>;
type Sum = Row<typeof state>;
type Output = Row<typeof output>;

const base = { id: op("keyed"), inputs: [op("in")], parallelism: undefined, isolated: false, keys, state };

/** Sums, and remembers the values in their order. Refuses 13; a sum above a thousand does not fit. */
function add(accumulator: Sum | undefined, { value }: Input): Sum {
  const { sum, values } = accumulator ?? { sum: 0n, values: [] };
  values.push(value); // its own copy
  if (value === 13) throw new Error("no thirteens");
  if (value === 1_000) return { sum: 1_000 as unknown as bigint, values };
  return { sum: sum + BigInt(value), values };
}

function reduceNode(options: Partial<ReduceNode> = {}): ReduceNode {
  const fn = options.fn ?? (add as ReduceNode["fn"]);
  return { ...base, kind: "reduce", columns: output, initial: undefined, emit: "end", ...options, fn };
}

type ProcessFn = (row: Input, state: KeyState<Sum>) => unknown;
function processNode(fn: ProcessFn): ProcessNode {
  return { ...base, kind: "process", columns: input, fn: fn as ProcessNode["fn"] };
}

interface SetUp {
  readonly subtask?: number;
  readonly parallelism?: number;
  emit?(batch: RecordBatch): void | Promise<void>;
}

function setUp(node: ReduceNode | ProcessNode = reduceNode(), { subtask = 0, parallelism = 1, emit }: SetUp = {}) {
  const gate = new Gate();
  const parking = new Parking(gate);
  const park: OperatorRuntime["park"] = (...one) => parking.wait("keyed", ...one);
  const runtime = { ...testRuntime(), subtask, gate, park };
  const out: RecordBatch[] = [];
  const made = new KeyedOperator(node, input, parallelism, runtime, runtime, (batch) => {
    out.push(batch);
    return emit?.(batch);
  });
  /** As its flow does: inside the gate. */
  const process = (batch: RecordBatch) => runtime.gate.flow(() => made.process(batch));
  return { made, out, runtime, parking, process, emitted: () => rows(node.columns, out) as unknown as Output[] };
}

interface Snapshot {
  readonly state: Uint8Array;
  readonly blobs: BlobWriter;
}

async function encoded(encode: Encode | undefined): Promise<Snapshot | undefined> {
  if (encode === undefined) return undefined;
  const blobs = new BlobWriter();
  return { state: await encode(blobs), blobs };
}

function restore(made: KeyedOperator, snapshot: Snapshot | undefined): void {
  if (snapshot !== undefined) made.restore(snapshot.state, reader(snapshot));
}

function reader({ blobs }: Snapshot): BlobReader {
  return new BlobReader(blobs.lengths, Buffer.concat(blobs.pieces));
}

const batch = (...all: Input[]) => batchFromRows(input, all) as unknown as RecordBatch;
const row = (key: string | null, value: number, part = 0): Input => ({ key, part, value });
const nameOf = ({ key, part }: { key: string | null; part: number }) => JSON.stringify([key, part]);

/** What comes of the rows without any of this. */
function expected(all: readonly Input[]): Map<string, Sum> {
  const sums = new Map<string, Sum>();
  for (const one of all) {
    if (one.value === 13 || one.value === 1_000) continue;
    const { sum, values } = sums.get(nameOf(one)) ?? { sum: 0n, values: [] };
    sums.set(nameOf(one), { sum: sum + BigInt(one.value), values: [...values, one.value] });
  }
  return sums;
}

function sumsOf(emitted: readonly Output[]): Map<string, Sum> {
  const found = new Map<string, Sum>();
  for (const { sum, values, ...key } of emitted) {
    assert.ok(!found.has(nameOf(key)), `key ${nameOf(key)} came out twice`);
    found.set(nameOf(key), { sum, values });
  }
  return found;
}

const anyRow = fc.record(
  {
    key: fc.option(fc.constantFrom("a", "b", "null", "", "é", "long key")),
    part: fc.integer({ min: 0, max: 30 }),
    value: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 50 }) }, fc.constantFrom(13, 1_000)),
  },
  { noNullPrototype: true },
);
const anyBatches = fc.array(fc.array(anyRow, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 8 });

describe("actors/keyed-operator: reduce", () => {
  it("emits one row for each key at the end: the key columns and the accumulator, of all rows in their order", async () => {
    await fc.assert(
      fc.asyncProperty(anyBatches, async (batches) => {
        const { made, process, emitted, runtime } = setUp();
        for (const one of batches) await process(batch(...one));
        assert.deepEqual(emitted(), []);
        await made.end();
        assert.deepEqual(sumsOf(emitted()), expected(batches.flat()));
        const bad = batches.flat().filter(({ value }) => value === 13 || value === 1_000);
        assert.deepEqual(
          runtime.refused.map((one) => one.row),
          bad,
        );
      }),
      { numRuns: 40 },
    );
  });

  it("with random cuts, each encoded late, and restored from any of them, it is what a Map would be (Y1, Y3)", async () => {
    const step = fc.record({ cut: fc.boolean(), die: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(anyBatches, fc.array(step, { minLength: 8, maxLength: 8 }), async (batches, steps) => {
        let now = setUp();
        let saved: { at: number; encode: Encode | undefined } = { at: 0, encode: undefined };
        let deaths = 0;
        for (let at = 0; at < batches.length; ) {
          await now.process(batch(...batches[at]!));
          at++;
          const { cut, die } = steps[at % steps.length]!;
          if (cut) saved = { at, encode: now.made.cut() };
          if (!die || deaths++ > 4) continue;
          // The operator has worked on since the cut; what is encoded now is of then.
          const snapshot = await encoded(saved.encode);
          now = setUp();
          restore(now.made, snapshot);
          at = saved.at;
          saved = { at, encode: now.made.cut() };
        }
        await now.made.end();
        assert.deepEqual(sumsOf(now.emitted()), expected(batches.flat()));
      }),
      { numRuns: 40 },
    );
  });

  it("restored with another number of instances, no key is lost or doubled, each goes on where it was (K3)", async () => {
    const count = fc.integer({ min: 1, max: 6 });
    await fc.assert(
      fc.asyncProperty(anyBatches, anyBatches, count, count, async (first, second, p, q) => {
        const before = range(0, p).map((subtask) => setUp(reduceNode(), { subtask, parallelism: p }));
        for (const one of first)
          for (const [i, part] of partsByHash(batch(...one), keys, p)) await before[i]!.process(part);
        const snapshots = await Promise.all(before.map(({ made }) => encoded(made.cut())));
        const after = range(0, q).map((subtask) => setUp(reduceNode(), { subtask, parallelism: q }));
        for (const [i, snapshot] of moved(snapshots, p, q).entries()) restore(after[i]!.made, snapshot);
        for (const one of second)
          for (const [i, part] of partsByHash(batch(...one), keys, q)) await after[i]!.process(part);
        for (const { made } of after) await made.end();
        assert.deepEqual(
          sumsOf(after.flatMap(({ emitted }) => emitted())),
          expected([...first.flat(), ...second.flat()]),
        );
      }),
      { numRuns: 25 },
    );
  });

  it("a cut anywhere in the middle of the end neither loses nor doubles a key (V3, R1)", async () => {
    const many = 2 * limits.keyedBatchRows + 500;
    for (const cutAfter of [1, 2, 3]) {
      const held = gate();
      const { made, out, process, emitted, runtime } = setUp(reduceNode(), {
        emit: () => (out.length === cutAfter ? held.promise : undefined),
      });
      await process(batch(...range(0, many).map((i) => row(`key-${i}`, i % 7))));
      const ended = made.end();
      await turns();
      assert.equal(out.length, cutAfter);
      assert.ok(await isOpen(ended), "it waits for whoever was handed the batch");
      const snapshot = await encoded(made.cut());
      const handedOn = emitted();
      held.open();
      await ended;
      assert.deepEqual([out.length, runtime.failures], [3, []]);
      const restored = setUp();
      restore(restored.made, snapshot);
      await restored.made.end();
      assert.equal(sumsOf([...handedOn, ...restored.emitted()]).size, many);
      assert.equal(sumsOf(emitted()).size, many);
    }
  });

  it("a closed gate holds the end back between two batches", async () => {
    const { made, out, process, runtime } = setUp();
    await process(batch(...range(0, limits.keyedBatchRows + 1).map((i) => row(`key-${i}`, 1))));
    await runtime.gate.close();
    const ended = made.end();
    await turns();
    assert.equal(out.length, 0);
    runtime.gate.open();
    await ended;
    assert.deepEqual(
      out.map(({ numRows }) => numRows),
      [limits.keyedBatchRows, 1],
    );
  });

  it("emits every change when asked to, in the order of the rows, and nothing more at the end", async () => {
    const { made, process, emitted } = setUp(reduceNode({ emit: "changes" }));
    await process(batch(row("a", 1), row("b", 2), row("a", 13), row("a", 3)));
    await process(batch(row("a", 4)));
    await made.end();
    const seen = emitted().map(({ key, sum }) => [key, sum]);
    assert.deepEqual(seen, [
      ["a", 1n],
      ["b", 2n],
      ["a", 4n],
      ["a", 8n],
    ]);
    assert.equal(made.cut(), undefined);
  });

  it("starts from the initial accumulator, which no key can change for another", async () => {
    const { made, process, emitted } = setUp(reduceNode({ initial: { sum: 100n, values: [0] } }));
    await process(batch(row("a", 1), row("b", 2), row("a", 3)));
    await made.end();
    const found = emitted()
      .map(({ key, sum, values }) => [key, sum, values])
      .sort();
    assert.deepEqual(found, [
      ["a", 104n, [0, 1, 3]],
      ["b", 102n, [0, 2]],
    ]);
  });

  it("a function that changes the row that it was given changes neither the row's key nor its batch (V2)", async () => {
    const node = reduceNode({
      emit: "changes",
      fn: (accumulator, one) => {
        (one as Input).key = "changed";
        return add(accumulator as Sum | undefined, one as Input);
      },
    });
    const { process, emitted } = setUp(node);
    const given = batch(row("a", 1), row("b", 2), row("a", 3));
    await process(given);
    assert.deepEqual(
      emitted().map(({ key, sum }) => [key, sum]),
      [
        ["a", 1n],
        ["b", 2n],
        ["a", 4n],
      ],
    );
    assert.deepEqual(rows(input, [given])[0], row("a", 1));
  });

  it("a key whose only row is refused has no state, and a refused record is as it came (V1)", async () => {
    const node = reduceNode({
      fn: (_, one) => {
        (one as Input).value = 99;
        throw new Error("never");
      },
    });
    const { made, process, out, runtime } = setUp(node);
    await process(batch(row("a", 1)));
    assert.equal(made.cut(), undefined);
    await made.end();
    assert.equal(out.length, 0);
    const [record] = runtime.refused;
    assert.deepEqual(
      { ...record, batch: undefined },
      { code: "MILL_OPERATOR_FAILED", message: "never", row: row("a", 1), batch: undefined },
    );
    assert.equal(runtime.refused.length, 1);
  });

  it("functions may be async: rows of a batch, and batches that come at once, are taken one after another (V4)", async () => {
    const node = reduceNode({
      emit: "changes",
      fn: async (accumulator, one) => {
        await new Promise((resolve) => setImmediate(resolve));
        return add(accumulator as Sum | undefined, one as Input);
      },
    });
    const { process, emitted } = setUp(node);
    await Promise.all([
      process(batch(row("a", 1), row("a", 2))),
      process(batch(row("a", 3))),
      process(batch(row("a", 4))),
    ]);
    assert.deepEqual(
      emitted().map(({ values }) => values.length),
      [1, 2, 3, 4],
    );
    assert.deepEqual(emitted().at(-1)!.values, [1, 2, 3, 4]);
  });

  it("a batch that waits for its turn is parked: the gate closes, and the batch is not in the state (V4, R1)", async () => {
    const held = gate();
    const { made, process, out, runtime, parking } = setUp(reduceNode({ emit: "changes" }), {
      // As a channel without credit does.
      emit: (one) =>
        out.length === 1
          ? runtime.park(
              one,
              () => true,
              () => held.promise,
            )
          : undefined,
    });
    const both = Promise.all([process(batch(row("a", 1))), process(batch(row("a", 2)))]);
    await within("the gate to close", runtime.gate.close());
    const snapshot = await encoded(made.cut());
    // The other one there is what came of the first, on its way out.
    const waiting = parking.list.map((one) => one.batch).filter(({ schema }) => schema.fields.length === 3);
    assert.deepEqual([rows(input, waiting), parking.list.length], [[row("a", 2)], 2]);
    runtime.gate.open();
    assert.equal(out.length, 1, "the second waits for the first to be handed on");
    held.open();
    await both;
    const restored = setUp(reduceNode({ emit: "changes" }));
    restore(restored.made, snapshot);
    await restored.process(batch(row("a", 2)));
    assert.deepEqual(
      restored.emitted().map(({ values }) => values),
      [[1, 2]],
    );
  });

  it("a batch whose function is under way is in no snapshot's state, however many of its rows are done, and comes again whole (V5)", async () => {
    const held = gate();
    const node = reduceNode({
      emit: "changes",
      fn: async (accumulator, one) => {
        if ((one as Input).value === 3) await held.promise;
        return add(accumulator as Sum | undefined, one as Input);
      },
    });
    const { made, process, emitted, runtime, parking } = setUp(node);
    await process(batch(row("a", 1)));
    const given = process(batch(row("a", 2), row("a", 13), row("a", 3), row("a", 4)));
    await turns();
    await runtime.gate.close();
    const snapshot = await encoded(made.cut());
    const parked = parking.list.map((one) => one.batch);
    runtime.gate.open();
    assert.deepEqual([emitted().length, runtime.refused], [1, []]);
    held.open();
    await given;
    const restored = setUp(node);
    restore(restored.made, snapshot);
    for (const one of parked) await restored.process(one);
    for (const { emitted: after, runtime: own, from } of [
      { emitted, runtime, from: 1 },
      { ...restored, from: 0 },
    ]) {
      assert.deepEqual(
        after()
          .slice(from)
          .map(({ values }) => values),
        [
          [1, 2],
          [1, 2, 3],
          [1, 2, 3, 4],
        ],
      );
      assert.deepEqual(
        own.refused.map((one) => one.row),
        [row("a", 13)],
      );
    }
  });

  it("a stopped operator emits nothing any more", async () => {
    const { made, process, out, runtime } = setUp();
    await process(batch(row("a", 1)));
    runtime.stop();
    await assert.rejects(made.end(), { code: "MILL_JOB_FAILED" });
    assert.equal(out.length, 0);
  });
});

describe("actors/keyed-operator: process", () => {
  it("keeps a row for each key, emits what it likes, and forgets when told", async () => {
    // Every third row of a key comes through.
    const node = processNode((one, kept) => {
      const { sum, values } = kept.get() ?? { sum: 0n, values: [] };
      if (values.length < 2) {
        kept.set({ sum, values: [...values, one.value] });
        return [];
      }
      kept.clear();
      assert.equal(kept.get(), undefined);
      return [one];
    });
    const { made, process, emitted } = setUp(node);
    await process(batch(row("a", 1), row("b", 2), row("a", 3), row("a", 4), row("b", 5)));
    const snapshot = await encoded(made.cut());
    const restored = setUp(node);
    restore(restored.made, snapshot);
    await restored.process(batch(row("b", 6), row("a", 7)));
    assert.deepEqual([...emitted(), ...restored.emitted()], [row("a", 4), row("b", 6)]);
    await restored.made.end();
    assert.equal(restored.made.cut(), undefined);
  });

  for (const [what, fn, code] of [
    ["throws", () => assert.fail("thrown"), "MILL_OPERATOR_FAILED"],
    ["returns a row that does not fit", () => [row("a", 1), { key: "a", part: 0, value: "1" }], "MILL_RECORD_INVALID"],
    ["returns no rows at all", () => undefined, "MILL_OPERATOR_FAILED"],
    ["is async and rejects", () => Promise.reject(new Error("rejected")), "MILL_OPERATOR_FAILED"],
    [
      "sets a state that does not fit",
      (kept: KeyState<Sum>) => kept.set({ sum: 1n, values: ["x" as unknown as number] }),
      "MILL_RECORD_INVALID",
    ],
  ] as const) {
    it(`a function that ${what} refuses its row alone, whole, and leaves the state as it was (V1)`, async () => {
      const node = processNode((one, kept) => {
        const { sum } = kept.get() ?? { sum: 0n };
        kept.set({ sum: sum + BigInt(one.value), values: [] });
        return one.value === 13 ? fn(kept) : [{ ...one, value: Number(kept.get()!.sum) }];
      });
      const { process, emitted, runtime } = setUp(node);
      await process(batch(row("a", 1), row("a", 13), row("a", 2), row("b", 13)));
      assert.deepEqual(emitted(), [row("a", 1), row("a", 3)]);
      assert.deepEqual(
        runtime.refused.map((one) => [one.row, one.code]),
        [
          [row("a", 13), code],
          [row("b", 13), code],
        ],
      );
    });
  }

  it("the state cannot be changed from outside, nor after the function has returned (V2)", async () => {
    let kept: KeyState<Sum> | undefined;
    const mine: Sum = { sum: 1n, values: [1] };
    const node = processNode((one, handle) => {
      if (one.value === 1) handle.set(mine);
      handle.get()?.values.push(7);
      kept = handle;
      return [{ ...one, value: handle.get()!.values.length }];
    });
    const { process, emitted } = setUp(node);
    await process(batch(row("a", 1)));
    mine.values.push(8);
    assert.throws(() => kept!.set({ sum: 2n, values: [] }), { code: "MILL_OPERATOR_FAILED", message: /had returned/ });
    assert.throws(() => kept!.clear(), { code: "MILL_OPERATOR_FAILED" });
    await process(batch(row("a", 2)));
    assert.deepEqual(emitted(), [row("a", 1), row("a", 1)]);
  });
});

describe("actors/keyed-state: snapshots", () => {
  it("a cut is of its moment, however late it is encoded, and a later one is of its own (Y1)", async () => {
    const { made, process } = setUp();
    const cuts: (Encode | undefined)[] = [];
    for (const value of [1, 2, 3]) {
      await process(batch(row("a", value), row(`b${value}`, value)));
      cuts.push(made.cut());
    }
    const sums: unknown[] = [];
    for (const encode of cuts.reverse()) {
      const restored = setUp();
      restore(restored.made, await encoded(encode));
      await restored.made.end();
      sums.push(
        restored
          .emitted()
          .map(({ key, sum }) => [key, sum])
          .sort(),
      );
    }
    assert.deepEqual(sums, [
      [
        ["a", 6n],
        ["b1", 1n],
        ["b2", 2n],
        ["b3", 3n],
      ],
      [
        ["a", 3n],
        ["b1", 1n],
        ["b2", 2n],
      ],
      [
        ["a", 1n],
        ["b1", 1n],
      ],
    ]);
  });

  it("say which groups they hold and of how many, ascending, and only those with keys", async () => {
    const { made, process } = setUp(reduceNode(), { subtask: 1, parallelism: 2 });
    const all = range(0, 40).map((i) => row(`key-${i}`, 1));
    for (const [receiver, part] of partsByHash(batch(...all), keys, 2)) if (receiver === 1) await process(part);
    const { header } = keyedStateFrame.decode((await encoded(made.cut()))!.state);
    assert.deepEqual(
      [header.keyGroups, header.first, header.end],
      [limits.keyGroups, limits.keyGroups / 2, limits.keyGroups],
    );
    const groups = header.groups.map(({ group }) => group);
    assert.ok(groups.length > 5 && groups.every((group) => group >= header.first && group < header.end));
    assert.deepEqual(
      groups,
      [...new Set(groups)].sort((a, b) => a - b),
    );
  });

  it("another instance's is refused, and so is a row of a key that another owns (Y4)", async () => {
    const { made, process } = setUp();
    const all = range(0, 40).map((i) => row(`key-${i}`, 1));
    await process(batch(...all));
    const snapshot = await encoded(made.cut());
    const half = setUp(reduceNode(), { subtask: 1, parallelism: 2 });
    assert.throws(() => restore(half.made, snapshot), { code: "MILL_STORE_CORRUPT", message: /owns 64 to 127/ });
    await assert.rejects(half.process(batch(...all)), { code: "MILL_INTERNAL", message: /owner of its key group/ });
  });

  it("of another number of key groups are refused (Y4)", async () => {
    const { made, process } = setUp();
    await process(batch(row("a", 1)));
    const snapshot = (await encoded(made.cut()))!;
    const { header } = keyedStateFrame.decode(snapshot.state);
    const other = keyedStateFrame.encode({ ...header, keyGroups: 64 });
    assert.throws(() => restore(setUp().made, { ...snapshot, state: other }), {
      code: "MILL_STORE_CORRUPT",
      message: /it has 64 key groups/,
    });
  });
});

/** Snapshots of `p` instances as those of `q`: whole key groups move, their batches as they are. */
function moved(snapshots: readonly (Snapshot | undefined)[], p: number, q: number): Snapshot[] {
  const holders = snapshots.map((snapshot, subtask) => {
    const empty = {
      first: Math.ceil((subtask * limits.keyGroups) / p),
      end: Math.ceil(((subtask + 1) * limits.keyGroups) / p),
    };
    if (snapshot === undefined) return { ...empty, groups: [] };
    const { header } = keyedStateFrame.decode(snapshot.state);
    return { ...header, groups: header.groups.map((group) => ({ ...group, from: reader(snapshot) })) };
  });
  const keySchema = arrowSchema({ key: input.key, part: input.part });
  return redistribute(holders, q, limits.keyGroups).map(({ first, end, groups }) => {
    const blobs = new BlobWriter();
    const copied = groups.map(({ group, keys: keyBlob, states, from }) => ({
      group,
      keys: blobs.add(from.get(keyBlob, keySchema)),
      states: blobs.add(from.get(states, arrowSchema(state))),
    }));
    return { state: keyedStateFrame.encode({ keyGroups: limits.keyGroups, first, end, groups: copied }), blobs };
  });
}
