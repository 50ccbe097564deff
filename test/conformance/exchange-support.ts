/** A durable exchange of two partitions on a bus, as the suites of its ends drive it. */
import { randomUUID } from "node:crypto";
import type { RecordBatch } from "apache-arrow";
import type { Ports } from "../../src/base/ports.js";
import { realPorts } from "../../src/base/real/ports.js";
import type { Bus, DurableLog } from "../../src/bus/bus.js";
import { type Exchange, exchangeWriterId } from "../../src/connectors/exchange.js";
import { ExchangeCursor } from "../../src/connectors/exchange-cursor.js";
import { openExchangeWriter, type Routed } from "../../src/connectors/exchange-writer.js";
import type { SinkWriter } from "../../src/topology/endpoints.js";
import { rowsOf } from "../../src/types/batches.js";
import { ContentInMemory } from "../unit/connectors/content-in-memory.js";
import { type SinkPlace, sinkColumns } from "./sink.js";
import { Guard } from "./sink-guard.js";

export const PARTITIONS = 2;
export const OPERATOR = "out";

export interface ExchangePlaceOptions {
  readonly writers?: number;
  readonly bytesMax?: number;
  readonly ports?: Ports;
}

export class ExchangePlace {
  /** Rows beside the logs. */
  readonly content = new ContentInMemory();
  readonly #name = `exchange-${randomUUID()}`;

  constructor(
    private readonly bus: Bus,
    private readonly options: ExchangePlaceOptions = {},
  ) {}

  /** The exchange as one process sees it. */
  exchange(guard = new Guard()): Exchange<typeof sinkColumns> {
    const { writers = 1, ports = realPorts() } = this.options;
    return {
      id: OPERATOR,
      columns: sinkColumns,
      ...(this.options.bytesMax !== undefined && { bytesMax: this.options.bytesMax }),
      content: {
        put: (...bytes) => guard.pass("put", () => this.content.access.put(...bytes)),
        bytes: (value) => guard.pass("bytes", () => this.content.access.bytes(value)),
      },
      partitions: PARTITIONS,
      writers: Array.from({ length: writers }, (_, subtask) => exchangeWriterId(OPERATOR, subtask)),
      log: async (partition) => guardedLog(await this.log(partition), guard),
      ports,
    };
  }

  logName(partition: number): string {
    return `${this.#name}-${partition}`;
  }

  log(partition: number): Promise<DurableLog> {
    const { bytesMax } = this.options;
    return this.bus.log(this.logName(partition), bytesMax === undefined ? {} : { bytesMax });
  }

  writer(subtask = 0, guard = new Guard()): Promise<SinkWriter> {
    return openExchangeWriter({ exchange: this.exchange(guard), operator: OPERATOR, subtask, route: byNumber });
  }

  /** Rows of a partition as its reader takes them, from what is in the log now. */
  async rowsNow(partition: number): Promise<number[]> {
    const log = await this.log(partition);
    const last = await log.last();
    const cursor = new ExchangeCursor(this.exchange().writers, undefined);
    const rows: number[] = [];
    if (last === 0n) return rows;
    for await (const { sequence, payload } of log.read(1n, new AbortController().signal)) {
      const lacks = cursor.lacks(payload);
      const row = lacks && (await this.content.access.bytes({ ...lacks, offset: 0n, mediaType: "" }));
      for (const batch of cursor.take(sequence, payload, row)) rows.push(...numbersOf(batch));
      if (sequence === last) break;
    }
    return rows;
  }
}

export function numbersOf(batch: RecordBatch): number[] {
  return rowsOf(sinkColumns, batch as never).map(({ n }) => n);
}

/** Even and odd rows. */
function* byNumber(batch: RecordBatch): Generator<Routed> {
  const numbers = batch.getChild("n")!;
  for (let row = 0; row < batch.numRows; row++) {
    yield { partition: Number(numbers.get(row)) % PARTITIONS, batch: batch.slice(row, row + 1) };
  }
}

function guardedLog(log: DurableLog, guard: Guard): DurableLog {
  return {
    append: (payload, options) => guard.pass("append", () => log.append(payload, options)),
    async *read(from, signal) {
      for await (const entry of log.read(from, signal)) {
        await guard.pass("an entry is read");
        yield entry;
      }
    },
    last: () => guard.pass("last", () => log.last()),
    first: () => guard.pass("first", () => log.first()),
    incarnation: () => guard.pass("incarnation", () => log.incarnation()),
    purgeBelow: (sequence) => guard.pass("purge", () => log.purgeBelow(sequence)),
  };
}

/** The writing end alone, for the suite that every sink passes. */
export function exchangeSinkPlace(bus: Bus): SinkPlace {
  const place = new ExchangePlace(bus);
  return {
    open: (_attempt, guard) => place.writer(0, guard),
    async published() {
      const rows: number[] = [];
      for (let partition = 0; partition < PARTITIONS; partition++) rows.push(...(await place.rowsNow(partition)));
      return rows;
    },
    leftovers: async () => [],
    close: async () => {},
  };
}
