/** State of a savepoint, shared out over other numbers of instances: none dropped, none doubled, each where it can go on. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { partsByHash } from "../../../src/actors/exchange.js";
import { redistributeJob, type SavedActor } from "../../../src/actors/saved-state.js";
import { limits } from "../../../src/base/limits.js";
import { keyGroupRange } from "../../../src/checkpoint/key-groups.js";
import { operatorsOf } from "../../../src/cli/submission.js";
import { planTopology } from "../../../src/plan/plan.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";
import {
  actorSnapshotFrame,
  inferStateFrame,
  keyedStateFrame,
  type SourceState,
  sourceStateFrame,
} from "../../../src/wire/stored.js";
import { built, nowhere, serviceOf, sourceOf } from "../topology/support.js";

const words = { word: t.utf8 };
const ask = serviceOf("ask", words, { answer: t.utf8 });
const topology = built((job) =>
  job
    .read(sourceOf(words), { id: "in" })
    .infer(ask, { id: "ask" })
    .keyBy("word")
    .reduce({ id: "count", to: { n: t.int64 }, initial: { n: 0n } }, ({ n }) => ({ n: n + 1n }))
    .to(nowhere, { id: "out" }),
);
const read = { ...words, answer: t.utf8 };

function jobOf(parallelism: number) {
  const plan = planTopology(topology, { parallelism });
  return { topology, plan, operators: operatorsOf({ topology, plan }) };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (from: Uint8Array) => new TextDecoder().decode(from);
const split = (id: string) => ({ id, payload: bytes(id), rows: 1 });
const rows = (...all: string[]): RecordBatch =>
  batchFromRows(
    read,
    all.map((word) => ({ word, answer: word })),
  ) as unknown as RecordBatch;
const encoded = (batch: RecordBatch) => Buffer.concat(encodeBatch(batch));

interface Reader {
  readonly split: string | undefined;
  readonly taken: number;
  readonly ended: boolean;
  readonly calls: readonly string[];
  /** Words of batches that wait for room in the channel to each counter. */
  readonly parked: readonly string[];
}
interface Counter {
  readonly groups: readonly number[];
  /** Words of a batch that was captured. */
  readonly captured: readonly string[];
}

/** The snapshot of one reader's actor: `in`, `ask` and `keyBy`, with batches on their way to the counters of `parallelism`. */
function readerSnapshot(reader: Reader, subtask: number, parallelism: number): SavedActor {
  const blobs: Uint8Array[] = [];
  const add = (blob: Uint8Array) => blobs.push(blob) - 1;
  const state: SourceState = {
    taken: BigInt(reader.taken),
    ended: reader.ended,
    split: reader.split === undefined ? null : split(reader.split),
    batches: reader.split === undefined ? 0n : 3n,
    position: null,
    started: [],
  };
  const entries = reader.calls.map((call) => ({
    batch: add(bytes(`batch ${call}`)),
    done: 0,
    calls: [{ start: 0, rows: 1, answer: add(bytes(`answer ${call}`)), rejected: [], code: "", message: "" }],
  }));
  const operators = [{ operator: "in", state: sourceStateFrame.encode(state) }];
  if (entries.length > 0) operators.push({ operator: "ask", state: inferStateFrame.encode({ entries }) });
  const parked = reader.parked.flatMap((word) =>
    partsByHash(rows(word), ["word"], parallelism).map(([to, part]) => ({
      place: `>keyBy-1-${subtask}--count-${to}`,
      blob: add(encoded(part)),
    })),
  );
  return snapshot(`in-${subtask}`, subtask, operators, parked, blobs);
}

function counterSnapshot(counter: Counter, subtask: number, parallelism: number): SavedActor {
  const blobs: Uint8Array[] = [];
  const add = (blob: Uint8Array) => blobs.push(blob) - 1;
  const range = keyGroupRange(subtask, parallelism, limits.keyGroups);
  const groups = counter.groups
    .filter((group) => group >= range.first && group < range.end)
    .map((group) => ({ group, keys: add(bytes(`keys ${group}`)), states: add(bytes(`states ${group}`)) }));
  const operators: { operator: string; state: Uint8Array }[] = [{ operator: "out", state: bytes("what is published") }];
  if (groups.length > 0) {
    operators.push({
      operator: "count",
      state: keyedStateFrame.encode({ keyGroups: limits.keyGroups, ...range, groups }),
    });
  }
  const own = counter.captured.filter((word) => partsByHash(rows(word), ["word"], parallelism)[0]![0] === subtask);
  const parked = own.map((word) => ({ place: "count", blob: add(encoded(rows(word))) }));
  return snapshot(`count-${subtask}`, subtask, operators, parked, blobs);
}

function snapshot(
  actor: string,
  subtask: number,
  operators: readonly { operator: string; state: Uint8Array }[],
  parked: readonly { place: string; blob: number }[],
  blobs: readonly Uint8Array[],
): SavedActor {
  const lengths = blobs.map(({ length }) => BigInt(length));
  const header = { operators, parked, rowsRead: 1n, rowsWritten: 0n, deadLetters: 0n, blobs: lengths, contents: -1 };
  return { actor, subtask, snapshot: actorSnapshotFrame.encode(header, blobs) };
}

/** A new snapshot in words. */
function opened(bytesOf: Uint8Array) {
  const { header, payload } = actorSnapshotFrame.decode(bytesOf);
  let at = 0;
  const blobs = header.blobs.map((length) => {
    at += Number(length);
    return payload.subarray(at - Number(length), at);
  });
  const stateOf = (id: string) => header.operators.find(({ operator }) => operator === id)?.state;
  const [source, infer, keyed] = [stateOf("in"), stateOf("ask"), stateOf("count")];
  return {
    rowsRead: header.rowsRead,
    sinks: header.operators.filter(({ operator }) => operator === "out" || operator === "").length,
    source: source && sourceStateFrame.decode(source).header,
    calls: (infer === undefined ? [] : inferStateFrame.decode(infer).header.entries).map(({ batch, calls }) => {
      return [text(blobs[batch]!), text(blobs[calls[0]!.answer!]!)];
    }),
    keyed: keyed && keyedStateFrame.decode(keyed).header,
    groups: (keyed === undefined ? [] : keyedStateFrame.decode(keyed).header.groups).map(({ group, keys, states }) => {
      return [group, text(blobs[keys]!), text(blobs[states]!)] as const;
    }),
    parked: header.parked.map(({ place, blob }) => {
      const batch = decodeBatch(arrowSchema(read), blobs[blob]!);
      return { place, words: (rowsOf(read, batch as never) as { word: string }[]).map(({ word }) => word) };
    }),
  };
}

function move(readers: readonly Reader[], counters: readonly Counter[], from: number, to: number) {
  const actors = [
    ...readers.slice(0, from).map((reader, i) => readerSnapshot(reader, i, from)),
    ...counters.slice(0, from).map((counter, i) => counterSnapshot(counter, i, from)),
  ];
  // Chained where there is one instance: then both states are one actor's.
  const saved = { operators: jobOf(from).operators, actors };
  const { snapshots, taken } = redistributeJob(saved, jobOf(to), false);
  return { made: [...snapshots].map(([actor, one]) => ({ actor, ...opened(one) })), taken };
}

const instances = fc.integer({ min: 2, max: 6 });
const word = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom(..."abcdefgh") });
const reader = fc.record({
  split: fc.option(fc.string({ minLength: 1, maxLength: 8 }), { nil: undefined }),
  taken: fc.nat(9),
  ended: fc.boolean(),
  calls: fc.array(word, { maxLength: 4 }),
  parked: fc.array(word, { maxLength: 4 }),
});
const counter = fc.record({
  groups: fc.uniqueArray(fc.nat(limits.keyGroups - 1), { maxLength: 30 }),
  captured: fc.array(word, { maxLength: 4 }),
});
const six = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 6, maxLength: 6 });

describe("actors/saved-state: a batch on its way into a sink", () => {
  it("goes on, beside what the sink had prepared: that is published (J1)", () => {
    const [one] = [counterSnapshot({ groups: [], captured: [] }, 0, 2)];
    const parked = [{ place: "out", blob: 0 }];
    const operators = [{ operator: "out", state: bytes("what is published") }];
    const actors = [snapshot("count-0", 0, operators, parked, [encoded(rows("late"))]), { ...one!, subtask: 1 }];
    const { snapshots } = redistributeJob({ operators: jobOf(2).operators, actors }, jobOf(2), false);
    const found = [...snapshots.values()].map((made) => actorSnapshotFrame.decode(made).header);
    assert.deepEqual(
      found.flatMap((header) => header.parked.map(({ place }) => place)),
      ["out"],
    );
    assert.ok(found.every(({ operators: kept }) => kept.every(({ operator }) => operator !== "out")));
  });
});

describe("actors/saved-state: state that moves to other instances", () => {
  it("is all there, once, in the order in which one instance had it (J1, M2)", () => {
    fc.assert(
      fc.property(
        six(reader),
        six(counter),
        instances,
        fc.integer({ min: 1, max: 6 }),
        (readers, counters, from, to) => {
          const { made, taken } = move(readers, counters, from, to);
          const old = readers.slice(0, from);
          const splits = made.flatMap(({ source }) =>
            source?.split ? [source.split.id, ...source.started.map(({ id }) => id)] : [],
          );
          assert.deepEqual(splits.sort(), old.flatMap((one) => one.split ?? []).sort(), "splits that were begun");
          const begunOn = made.flatMap(({ source }) => [
            source?.split ? source.batches : 3n,
            ...(source?.started ?? []).map(({ batches }) => batches),
          ]);
          assert.ok(
            begunOn.every((batches) => batches === 3n),
            "each where it was",
          );
          assert.deepEqual(
            [...taken.get("in")!.values()],
            old.map((one) => BigInt(one.taken)),
          );
          const calls = old.flatMap((one) => one.calls.map((call) => [`batch ${call}`, `answer ${call}`]));
          assert.deepEqual(
            made.flatMap((one) => one.calls),
            calls,
            "requests, with their answers, in order",
          );
          assert.equal(
            made.reduce((sum, { rowsRead }) => sum + rowsRead, 0n),
            BigInt(from * (to >= 1 ? 2 : 1)),
          );
          assert.ok(
            made.every(({ sinks }) => sinks === 0),
            "sinks begin empty",
          );
        },
      ),
    );
  });

  it("of keys is at the owner of their group, and so are batches on their way (J2, K2, K3)", () => {
    fc.assert(
      fc.property(
        six(reader),
        six(counter),
        instances,
        fc.integer({ min: 1, max: 6 }),
        (readers, counters, from, to) => {
          const { made } = move(readers, counters, from, to);
          const wanted: number[] = [];
          for (const [i, { groups }] of counters.slice(0, from).entries()) {
            const { first, end } = keyGroupRange(i, from, limits.keyGroups);
            wanted.push(...groups.filter((group) => group >= first && group < end));
          }
          const found = made.flatMap(({ groups }) => groups);
          assert.deepEqual(found.map(([group]) => group).sort(), wanted.sort());
          for (const [group, keys, states] of found)
            assert.deepEqual([keys, states], [`keys ${group}`, `states ${group}`]);
          const wordsOf = (all: readonly { words: readonly string[] }[]) => all.flatMap((one) => one.words);
          const captured = counters
            .slice(0, from)
            .flatMap((one, i) => one.captured.filter((w) => ownerOf(w, from) === i));
          const parked = readers.slice(0, from).flatMap((one) => one.parked);
          assert.deepEqual(made.flatMap((one) => wordsOf(one.parked)).sort(), [...captured, ...parked].sort());
          for (const one of made) {
            const subtask = Number(/\d+$/.exec(one.actor)![0]);
            for (const w of wordsOf(one.parked)) assert.equal(ownerOf(w, to), subtask, `${w} is at its owner`);
            if (one.actor.startsWith("in") && to > 1) continue;
            // What the receiver had comes before what its senders had.
            const own = wordsOf(one.parked);
            const first = captured.filter((w) => ownerOf(w, to) === subtask);
            assert.deepEqual(own.slice(0, first.length).sort(), first.sort());
          }
        },
      ),
    );
  });

  it("readers begin anew with the enumerator, and none has ended (J3)", () => {
    const one = { split: "a", taken: 4, ended: true, calls: [], parked: [] };
    const { made } = move(
      [one, { ...one, split: undefined }],
      [
        { groups: [], captured: [] },
        { groups: [], captured: [] },
      ],
      2,
      2,
    );
    for (const { source } of made) if (source) assert.deepEqual([source.taken, source.ended], [0n, false]);
  });

  it("two instances that become one read on in both splits, one after the other (M3)", () => {
    const one = { taken: 4, ended: false, calls: [], parked: [] };
    const none = { groups: [], captured: [] };
    const { made } = move(
      [
        { ...one, split: "a" },
        { ...one, split: "b" },
      ],
      [none, none],
      2,
      1,
    );
    assert.deepEqual(made[0]!.source?.split?.id, "a");
    assert.deepEqual(
      made[0]!.source?.started.map(({ id, batches }) => [id, batches]),
      [["b", 3n]],
    );
  });
});

function ownerOf(one: string, parallelism: number): number {
  return partsByHash(rows(one), ["word"], parallelism)[0]![0];
}
