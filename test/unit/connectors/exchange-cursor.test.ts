import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { ExchangeCursor } from "../../../src/connectors/exchange-cursor.js";
import { encodeEntries, type PartitionCut } from "../../../src/connectors/exchange-entry.js";
import { exchangeEntryFrame } from "../../../src/wire/exchange-frames.js";
import { numbered, numbers, rows } from "../actors/support.js";

const WRITERS = ["a-0", "a-1"];

/**
 * Entries of a writer in the order of their publication: some checkpoints have none, some several, the last one ends. Every
 * other batch is in two parts, as earlier versions cut what was too large for one entry.
 */
function entriesOf(writer: number, sizes: readonly number[]): Uint8Array[] {
  let previous = 0n;
  return sizes.flatMap((size, i) => {
    const checkpoint = BigInt(2 * i + 1); // some numbers belong to fences
    const batches = Array.from({ length: size }, (_, k) => numbers(1000 * writer + 10 * i + k));
    const pieces = batches.flatMap((batch, k) => piecesOf(batch, k % 2 === 1));
    if (i === sizes.length - 1) pieces.push(...encoded({ previous, batches: [], end: true }));
    const entries = pieces.map(({ header, payload }, index) =>
      exchangeEntryFrame.encode(
        { ...header, writer: WRITERS[writer]!, checkpoint, index, last: index === pieces.length - 1, previous },
        payload,
      ),
    );
    if (entries.length > 0) previous = checkpoint;
    return entries;
  });
}

function encoded(cut: PartitionCut) {
  return encodeEntries("", 1n, cut).map((bytes) => exchangeEntryFrame.decode(bytes));
}

function piecesOf(batch: RecordBatch, inTwo: boolean) {
  const [whole] = encoded({ previous: 0n, batches: [batch], end: false });
  const { header, payload } = whole!;
  if (!inTwo) return [whole!];
  const middle = payload.length >> 1;
  return [
    { header: { ...header, more: true }, payload: payload.subarray(0, middle) },
    { header: { ...header, schema: null }, payload: payload.subarray(middle) },
  ];
}

interface Read {
  readonly value: number;
  readonly position: Uint8Array;
}

function readAll(log: readonly Uint8Array[], cursor: ExchangeCursor): Read[] {
  const read: Read[] = [];
  for (let sequence = cursor.next; sequence <= BigInt(log.length); sequence++) {
    for (const batch of cursor.take(sequence, log[Number(sequence) - 1]!)) {
      const { position } = cursor;
      for (const { n } of rows(numbered, [batch])) read.push({ value: n, position });
    }
  }
  return read;
}

/**
 * A log as writers may leave it: each writer's entries in order, the two mixed, and runs of what a writer has published
 * published again at any later place.
 */
const logs = fc
  .record({
    sizes: fc.tuple(
      fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }),
    ),
    turns: fc.array(fc.record({ writer: fc.nat(1), again: fc.nat(20), run: fc.nat(4) }), { maxLength: 40 }),
  })
  .map(({ sizes, turns }) => {
    const own = [entriesOf(0, sizes[0]), entriesOf(1, sizes[1])];
    const published = [0, 0];
    const log: Uint8Array[] = [];
    const publishNext = (writer: number) => {
      const entry = own[writer]![published[writer]!];
      if (entry === undefined) return;
      log.push(entry);
      published[writer]! += 1;
    };
    for (const { writer, again, run } of turns) {
      publishNext(writer);
      const from = again % (published[writer]! + 1);
      if (run > 1) log.push(...own[writer]!.slice(from, Math.min(from + run, published[writer]!)));
    }
    for (const writer of [0, 1]) while (published[writer]! < own[writer]!.length) publishNext(writer);
    const expected = [0, 1].map((writer) =>
      sizes[writer as 0 | 1].flatMap((size, i) => Array.from({ length: size }, (_, k) => 1000 * writer + 10 * i + k)),
    );
    return { log, expected };
  });

const of = (read: readonly Read[], writer: number) =>
  read.map(({ value }) => value).filter((value) => Math.floor(value / 1000) === writer);

describe("connectors/exchange-cursor: logs with entries that are there again", () => {
  it("hands on each writer's rows once and in order, and ends (C1)", () => {
    fc.assert(
      fc.property(logs, ({ log, expected }) => {
        const cursor = new ExchangeCursor(WRITERS, undefined);
        const read = readAll(log, cursor);
        for (const writer of [0, 1]) assert.deepEqual(of(read, writer), expected[writer]);
        assert.ok(cursor.ended);
      }),
    );
  });

  it("goes on from any position as without a break (C3)", () => {
    fc.assert(
      fc.property(logs, ({ log }) => {
        const values = readAll(log, new ExchangeCursor(WRITERS, undefined));
        for (const [i, { position }] of values.entries()) {
          if (values[i + 1]?.position === position) continue; // in the middle of a batch
          const cursor = new ExchangeCursor(WRITERS, position);
          const rest = readAll(log, cursor);
          assert.deepEqual(
            rest.map(({ value }) => value),
            values.slice(i + 1).map(({ value }) => value),
          );
          assert.ok(cursor.ended);
        }
      }),
    );
  });

  it("waits for a predecessor, whatever order the entries come in (C2)", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }), fc.infiniteStream(fc.nat()), (sizes, random) => {
        const entries = entriesOf(0, sizes);
        const shuffled = [...entries].map((entry) => ({ entry, at: random.next().value as number }));
        shuffled.sort((a, b) => a.at - b.at);
        const cursor = new ExchangeCursor(["a-0"], undefined);
        const read = readAll(
          shuffled.map(({ entry }) => entry),
          cursor,
        );
        const expected = readAll(entries, new ExchangeCursor(["a-0"], undefined));
        assert.deepEqual(of(read, 0), of(expected, 0));
        assert.ok(cursor.ended);
        assert.deepEqual(cursor.gaps, []);
      }),
    );
  });

  it("names the writer that waits, after which entry, and what came behind it", () => {
    const entries = entriesOf(0, [1, 1, 1]);
    const cursor = new ExchangeCursor(["a-0"], undefined);
    readAll([entries[0]!, entries[2]!], cursor);
    const [gap] = cursor.gaps;
    assert.equal(gap?.writer, "a-0");
    assert.equal(gap?.after.checkpoint, 1n);
    assert.ok((gap?.heldBytes ?? 0) > 0);
    assert.equal(cursor.next, 2n, "a restored reader reads the held entry again");
  });

  it("has not ended before every writer has", () => {
    const cursor = new ExchangeCursor(WRITERS, undefined);
    readAll(entriesOf(0, [1]), cursor);
    assert.equal(cursor.ended, false);
  });

  it("keeps an entry that came too early once, however often it comes (C2)", () => {
    const [one, two, three] = entriesOf(0, [1, 1, 1]);
    const cursor = new ExchangeCursor(["a-0"], undefined);
    readAll([one!, three!, three!, two!], cursor);
    assert.deepEqual(cursor.gaps, []);
    assert.equal(cursor.next, 5n, "nothing is kept");
  });

  it("drops what comes of a writer after its end", () => {
    const log = entriesOf(0, [1]);
    log.push(...encodeEntries("a-0", 9n, { previous: 1n, batches: [numbers(7)], end: false }));
    const cursor = new ExchangeCursor(["a-0"], undefined);
    assert.deepEqual(
      readAll(log, cursor).map(({ value }) => value),
      [0],
    );
    assert.ok(cursor.ended);
  });
});
