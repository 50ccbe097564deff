/**
 * What the reader of one partition has taken, and what it takes next: pure, entries in, batches and positions out.
 *
 * Invariants (with X3 and X4 of `exchange.ts`):
 *   C1  An entry that was handed on is dropped when it comes again, however late.
 *   C2  An entry whose predecessor has not come is kept and looked at again when it has.
 *   C3  Reading on from a position gives what reading without a break would have given after it.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant } from "../base/errors.js";
import { withTrace } from "../types/batch-trace.js";
import { decodeBatch, SchemaReceiver } from "../wire/arrow.js";
import {
  type ExchangeContent,
  type ExchangeEntryHeader,
  type ExchangeWriterPosition,
  exchangeEntryFrame,
  exchangePositionFrame,
} from "../wire/exchange-frames.js";

interface Entry {
  readonly sequence: bigint;
  readonly header: ExchangeEntryHeader;
  readonly payload: Uint8Array;
}

interface Writer {
  /** The newest entry taken in order. */
  taken: ExchangeWriterPosition;
  /** The newest entry whose rows have been handed on. */
  handedOn: ExchangeWriterPosition;
  /** Entries of a batch of which more is to come; there are such in what earlier versions have written. */
  parts: Entry[];
  /** Entries that came before their predecessors, in the log's order (C2). */
  held: Entry[];
}

/** A writer that waits for an entry, and what has come behind it. */
export interface Gap {
  readonly writer: string;
  readonly after: ExchangeWriterPosition;
  readonly heldBytes: number;
}

export class ExchangeCursor {
  #writers = new Map<string, Writer>();
  #schemas = new SchemaReceiver();
  #next = 1n;
  /** Of the log that is read; empty: not known. */
  incarnation = "";

  /** @param expected everybody who writes */
  constructor(
    private readonly expected: readonly string[],
    position: Uint8Array | undefined,
  ) {
    if (position === undefined) return;
    const { next, writers, incarnation } = exchangePositionFrame.decode(position).header;
    this.#next = next;
    this.incarnation = incarnation;
    for (const at of writers) this.#writers.set(at.writer, { taken: at, handedOn: at, parts: [], held: [] });
  }

  /** Sequence to read on from. */
  get next(): bigint {
    const kept = [...this.#writers.values()].flatMap(({ parts, held }) => [...parts, ...held]);
    return kept.reduce((least, { sequence }) => (sequence < least ? sequence : least), this.#next);
  }

  /** Every writer has ended, and all they wrote has been handed on. */
  get ended(): boolean {
    return this.expected.every((writer) => this.#writers.get(writer)?.handedOn.ended === true);
  }

  get position(): Uint8Array {
    return this.positionIn(0n, 0);
  }

  /** The position of a reader that has handed on so many batches of a seed, which it reads before the log. */
  positionIn(seed: bigint, seedBatches: number): Uint8Array {
    const writers = [...this.#writers.values()].map(({ handedOn }) => handedOn);
    return exchangePositionFrame.encode({ next: this.next, writers, seed, seedBatches, incarnation: this.incarnation });
  }

  /** The newest entry of a writer whose rows have been handed on; undefined: nothing was heard of it. */
  handedOn(writer: string): ExchangeWriterPosition | undefined {
    return this.#writers.get(writer)?.handedOn;
  }

  get gaps(): Gap[] {
    return [...this.#writers.values()]
      .filter(({ held }) => held.length > 0)
      .map(({ taken, held }) => ({
        writer: taken.writer,
        after: taken,
        heldBytes: held.reduce((sum, { payload }) => sum + payload.byteLength, 0),
      }));
  }

  /** What of the entry is elsewhere, and must be there for `take`; undefined: nothing, or it is dropped. */
  lacks(bytes: Uint8Array): ExchangeContent | undefined {
    const { header } = exchangeEntryFrame.decode(bytes);
    const writer = this.#writers.get(header.writer);
    const drops =
      writer !== undefined &&
      (isOld(writer.taken, header) || writer.held.some((entry) => isSame(entry.header, header)));
    return header.content === null || drops ? undefined : header.content;
  }

  /**
   * The batches that the entry brings; `position` is right for each of them when it is yielded.
   * @param row what the entry lacks
   */
  *take(sequence: bigint, bytes: Uint8Array, row?: Uint8Array): Generator<RecordBatch> {
    const { header, payload: own } = exchangeEntryFrame.decode(bytes);
    this.#next = sequence + 1n;
    const writer = this.#writer(header.writer);
    if (isOld(writer.taken, header) || writer.held.some((entry) => isSame(entry.header, header))) return;
    invariant((header.content === null) === (row === undefined), "an entry is taken with all that it lacks");
    writer.held.push({ sequence, header, payload: row ?? own });
    for (let entry = nextOf(writer); entry !== undefined; entry = nextOf(writer)) {
      writer.held.splice(writer.held.indexOf(entry), 1);
      const batch = this.#accept(writer, entry);
      if (batch !== undefined) yield batch;
    }
  }

  #accept(writer: Writer, entry: Entry): RecordBatch | undefined {
    const { header } = entry;
    const { checkpoint, index, last, end } = header;
    writer.taken = { writer: header.writer, checkpoint, index, last, ended: end };
    writer.parts.push(entry);
    if (header.more) return undefined;
    const [first, ...rest] = writer.parts;
    writer.parts = [];
    writer.handedOn = writer.taken;
    if (end || first === undefined) return undefined;
    const schema = this.#schemas.accept(first.header);
    const bytes = rest.length === 0 ? first.payload : Buffer.concat([first, ...rest].map(({ payload }) => payload));
    return withTrace(decodeBatch(schema, bytes), first.header.traceparent);
  }

  #writer(name: string): Writer {
    let writer = this.#writers.get(name);
    if (writer === undefined) {
      const none = { writer: name, checkpoint: 0n, index: -1, last: true, ended: false };
      writer = { taken: none, handedOn: none, parts: [], held: [] };
      this.#writers.set(name, writer);
    }
    return writer;
  }
}

function isOld(taken: ExchangeWriterPosition, { checkpoint, index }: ExchangeEntryHeader): boolean {
  return taken.ended || checkpoint < taken.checkpoint || (checkpoint === taken.checkpoint && index <= taken.index);
}

function isSame(a: ExchangeEntryHeader, b: ExchangeEntryHeader): boolean {
  return a.checkpoint === b.checkpoint && a.index === b.index;
}

function nextOf({ taken, held }: Writer): Entry | undefined {
  return held.find(({ header: { checkpoint, index, previous } }) =>
    taken.last
      ? previous === taken.checkpoint && index === 0
      : checkpoint === taken.checkpoint && index === taken.index + 1,
  );
}
