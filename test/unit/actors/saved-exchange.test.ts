/** A job with a durable exchange, `infer` behind it, that goes on with other writers and readers. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { receiverOf } from "../../../src/actors/exchange.js";
import { redistributeJob, type SavedActor } from "../../../src/actors/saved-state.js";
import { operatorsOf } from "../../../src/cli/submission.js";
import { planTopology } from "../../../src/plan/plan.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";
import { exchangePositionFrame } from "../../../src/wire/exchange-frames.js";
import {
  actorSnapshotFrame,
  inferStateFrame,
  type OperatorState,
  type ParkedBatch,
  sinkStateFrame,
  sourceStateFrame,
} from "../../../src/wire/stored.js";
import { built, nowhere, serviceOf, sourceOf } from "../topology/support.js";

const words = { word: t.utf8 };
const WORDS = [..."abcdefghijklmnop"];
const topology = built((job) =>
  job
    .read(sourceOf(words), { id: "in" })
    .keyBy("word")
    .durable({ id: "between" })
    .infer(serviceOf("ask", words, { answer: t.utf8 }), { id: "ask" })
    .to(nowhere, { id: "out" }),
);

function jobOf(parallelism: number) {
  const plan = planTopology(topology, { parallelism });
  return { topology, plan, operators: operatorsOf({ topology, plan }) };
}

const batchOf = (all: readonly string[]) =>
  batchFromRows(
    words,
    all.map((word) => ({ word })),
  ) as unknown as RecordBatch;
const encoded = (all: readonly string[]) => Buffer.concat(encodeBatch(batchOf(all)));
const ownerOf = (word: string, parallelism: number) => receiverOf(batchOf([word]), ["word"], parallelism)(0);
const wordsIn = (blob: Uint8Array) =>
  (rowsOf(words, decodeBatch(arrowSchema(words), blob) as never) as { word: string }[]).map(({ word }) => word);

function snapshot(
  actor: string,
  subtask: number,
  operators: readonly OperatorState[],
  parked: readonly ParkedBatch[],
  blobs: readonly Uint8Array[],
): SavedActor {
  const lengths = blobs.map(({ length }) => BigInt(length));
  const counts = { rowsRead: 0n, rowsWritten: 0n, deadLetters: 0n };
  return {
    actor,
    subtask,
    snapshot: actorSnapshotFrame.encode({ operators, parked, ...counts, blobs: lengths, contents: -1 }, blobs),
  };
}

/** Writers with something prepared and something on its way; readers with a request in flight, one of which has read to the end. */
function saved(): SavedActor[] {
  const writers = [0, 1].map((subtask) => {
    const pending = [{ checkpoint: 4n, prepared: Uint8Array.of(subtask), blob: -1, contents: -1 }];
    const state = { operator: "between", state: sinkStateFrame.encode({ pending }) };
    return snapshot(`in-${subtask}`, subtask, [state], [{ place: "between", blob: 0 }], [encoded([`w${subtask}`])]);
  });
  const readers = [0, 1].map((subtask) => {
    const own = WORDS.filter((word) => ownerOf(word, 2) === subtask);
    const calls = [{ start: 0, rows: own.length, answer: null, rejected: [], code: "", message: "" }];
    const split = { id: `between-${subtask}`, payload: new Uint8Array(), rows: 0 };
    const position = Uint8Array.of(9);
    const at = { taken: 1n, ended: false, split: subtask === 0 ? split : null, batches: 2n, position, started: [] };
    const operators = [
      { operator: "between", state: sourceStateFrame.encode(at) },
      { operator: "ask", state: inferStateFrame.encode({ entries: [{ batch: 0, done: 0, calls }] }) },
    ];
    const parked = own.map((_, i) => ({ place: "ask", blob: 1 + i }));
    return snapshot(`between-${subtask}`, subtask, operators, parked, [
      encoded(own),
      ...own.map((word) => encoded([word])),
    ]);
  });
  return [...writers, ...readers];
}

function opened(bytes: Uint8Array) {
  const { header, payload } = actorSnapshotFrame.decode(bytes);
  let at = 0;
  const blobs = header.blobs.map((length) => {
    at += Number(length);
    return payload.subarray(at - Number(length), at);
  });
  const stateOf = (id: string) => header.operators.find(({ operator }) => operator === id)?.state;
  const [source, infer] = [stateOf("between"), stateOf("ask")];
  return {
    source: source && sourceStateFrame.decode(source).header,
    asked: (infer === undefined ? [] : inferStateFrame.decode(infer).header.entries).flatMap(({ batch }) =>
      wordsIn(blobs[batch]!),
    ),
    parked: header.parked.map(({ place, blob }) => [place, ...wordsIn(blobs[blob]!)]),
  };
}

describe("actors/saved-state: both ends of a durable exchange", () => {
  const { operators } = jobOf(2);

  for (const to of [1, 2, 3]) {
    it(`${to} for 2: readers begin with their first seed, writers with nothing pending (J4)`, () => {
      const { snapshots, exchanges } = redistributeJob({ operators, actors: saved() }, jobOf(to), false);
      for (let subtask = 0; subtask < to; subtask++) {
        const { source } = opened(snapshots.get(`between-${subtask}`)!);
        assert.deepEqual([source?.taken, source?.split?.id, source?.ended], [1n, `between-${subtask}`, false]);
        const { next, seed, seedBatches, writers } = exchangePositionFrame.decode(source!.position!).header;
        assert.deepEqual([next, seed, seedBatches, writers], [1n, 1n, 0, []]);
        assert.equal(opened(snapshots.get(`in-${subtask}`)!).source, undefined);
      }
      const ends = exchanges.get("between")!;
      assert.deepEqual([...ends.positions.keys()], [0], "partition 1 was read to its end");
      assert.deepEqual(
        ends.pending,
        [Uint8Array.of(0), Uint8Array.of(1)].map((one) => Buffer.from(one)),
      );
    });

    it(`${to} for 2: what was on its way into the exchange is with a writer, once`, () => {
      const { snapshots } = redistributeJob({ operators, actors: saved() }, jobOf(to), false);
      const writers = Array.from({ length: to }, (_, subtask) => opened(snapshots.get(`in-${subtask}`)!).parked);
      assert.deepEqual(writers.flat().sort(), [
        ["between", "w0"],
        ["between", "w1"],
      ]);
    });

    it(`${to} for 2: requests in flight of a key, and batches behind them, are at its owner (rule 10, J2)`, () => {
      const { snapshots } = redistributeJob({ operators, actors: saved() }, jobOf(to), false);
      for (let subtask = 0; subtask < to; subtask++) {
        const { asked, parked } = opened(snapshots.get(`between-${subtask}`)!);
        const own = WORDS.filter((word) => ownerOf(word, to) === subtask);
        assert.deepEqual([...asked].sort(), own);
        assert.deepEqual(parked.map(([, word]) => word).sort(), own);
      }
    });
  }
});
