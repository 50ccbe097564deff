/** What lay between writers and readers of a durable exchange when a savepoint was taken, shared out over other readers. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { receiverOf } from "../../../src/actors/exchange.js";
import type { SavedEnds } from "../../../src/actors/saved-state.js";
import { seedExchange } from "../../../src/actors/seed-exchange.js";
import { ExchangeCursor } from "../../../src/connectors/exchange-cursor.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import { encodePending } from "../../../src/connectors/exchange-pending.js";
import { seededBatches } from "../../../src/connectors/exchange-seed.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { packEntries, unpackEntries } from "../../../src/wire/exchange-frames.js";
import type { KeptEntries, SavepointExchange } from "../../../src/wire/stored.js";
import { built, nowhere, sourceOf } from "../topology/support.js";

const columns = { key: t.utf8, writer: t.int32, n: t.int32 };
type Row = { key: string; writer: number; n: number };
const keyed = built((job) =>
  job.read(sourceOf(columns), { id: "in" }).keyBy("key").durable({ id: "between" }).to(nowhere, { id: "out" }),
);
const inTurn = built((job) =>
  job.read(sourceOf(columns), { id: "in" }).durable({ id: "between" }).to(nowhere, { id: "out" }),
);
const KEYS = [..."abcdefgh"];
const batchOf = (rows: readonly Row[]) => batchFromRows(columns, rows) as unknown as RecordBatch;

interface Shape {
  /** Of each writer: rows in each of its checkpoints. */
  readonly writers: readonly (readonly number[])[];
  readonly from: number;
  readonly to: number;
  /** Entries of each partition that the reader has handed on, and those that a writer has published twice. */
  readonly read: readonly number[];
  readonly twice: number;
  /** Checkpoints, from the newest, that no writer has published. */
  readonly pending: number;
}

/** The exchange as writers, logs and readers left it. @returns rows that no reader has had, by old partition, in log order */
function leave({ writers, from, read, twice, pending }: Shape) {
  const logs: Uint8Array[][] = Array.from({ length: from }, () => []);
  const late: Uint8Array[][] = Array.from({ length: from }, () => []);
  const ends = { positions: new Map<number, Uint8Array | undefined>(), pending: [] as Uint8Array[] };
  for (const [writer, checkpoints] of writers.entries()) {
    const previous = Array.from({ length: from }, () => 0n);
    let n = 0;
    for (const [i, count] of checkpoints.entries()) {
      const rows = Array.from({ length: count }, (): Row => {
        n += 1;
        return { key: KEYS[(n * 7 + writer) % KEYS.length]!, writer, n };
      });
      const checkpoint = BigInt(2 * i + 1);
      const entries = Array.from({ length: from }, (_, partition) => {
        const own = rows.filter((row) => receiverOf(batchOf([row]), ["key"], from)(0) === partition);
        const batches = own.map((row) => batchOf([row]));
        const made = encodeEntries(`in-${writer}`, checkpoint, { previous: previous[partition]!, batches, end: false });
        if (made.length > 0) previous[partition] = checkpoint;
        return made;
      });
      const isPending = i >= checkpoints.length - pending;
      for (const [partition, some] of entries.entries()) {
        (isPending ? late : logs)[partition]!.push(...some);
        if (!isPending && i < twice) logs[partition]!.push(...some);
      }
      if (!isPending && i < checkpoints.length - 1) continue;
      const partitions = previous.map((at) => ({ previous: at, published: 0n }));
      ends.pending.push(encodePending({ writer: `in-${writer}`, checkpoint, ended: false, partitions }, entries));
    }
  }
  const left: Row[][] = [];
  for (const [partition, log] of logs.entries()) {
    const cursor = new ExchangeCursor([], undefined);
    const rest: Row[] = [];
    const all = [...log, ...late[partition]!];
    let position: Uint8Array | undefined;
    const until = Math.min(read[partition]!, log.length);
    for (const [i, entry] of all.entries()) {
      for (const batch of cursor.take(BigInt(i + 1), entry)) {
        if (i >= until) rest.push(...(rowsOf(columns, batch as never) as unknown as Row[]));
      }
      if (i === until - 1) position = cursor.position;
    }
    ends.positions.set(partition, position);
    left.push(rest);
  }
  return { logs, ends, left, next: (partition: number) => Math.min(read[partition]!, logs[partition]!.length) };
}

async function seeded(
  topology: typeof keyed,
  to: number,
  { logs, ends, next }: Pick<ReturnType<typeof leave>, "logs" | "next"> & { readonly ends: SavedEnds },
): Promise<Row[][]> {
  const store = new Map<string, Uint8Array>();
  const kept: SavepointExchange = {
    operator: "between",
    partitions: logs.map((log, partition) => {
      const objects = log.slice(next(partition)).map((entry, i): KeptEntries => {
        const key = `${partition}/${i}`;
        store.set(key, packEntries({ operator: "between", partition, number: BigInt(i + 1), last: false }, [entry]));
        return { key, sha256: "", sizeBytes: 0n };
      });
      return { next: BigInt(next(partition) + 1), last: BigInt(log.length), objects, seeds: 0 };
    }),
  };
  const made: Row[][] = Array.from({ length: to }, () => []);
  const lasts: boolean[][] = Array.from({ length: to }, () => []);
  await seedExchange({
    topology,
    partitions: to,
    kept,
    ends,
    read: async ({ key }) => store.get(key)!,
    put: async (partition, number, bytes) => {
      const { header, entries } = unpackEntries(bytes);
      assert.deepEqual([header.partition, header.number], [partition, number]);
      lasts[partition]!.push(header.last);
      for (const batch of seededBatches(entries)) {
        made[partition]!.push(...(rowsOf(columns, batch as never) as unknown as Row[]));
      }
    },
  });
  for (const all of lasts)
    assert.deepEqual([all.at(-1), all.indexOf(true)], [true, all.length - 1], "the last says so");
  return made;
}

const instances = fc.integer({ min: 1, max: 5 });
const shapes: fc.Arbitrary<Shape> = fc.record({
  writers: fc.array(fc.array(fc.nat(4), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
  from: instances,
  to: instances,
  read: fc.array(fc.nat(6), { minLength: 5, maxLength: 5 }),
  twice: fc.nat(3),
  pending: fc.nat(3),
});

describe("actors/seed-exchange: what lay between writers and readers", () => {
  it("comes to the owner of its key, once, each key in its order, whatever was published, twice or not yet (J5, J7)", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async (shape) => {
        const world = leave(shape);
        const made = await seeded(keyed, shape.to, world);
        for (const [partition, rows] of made.entries()) {
          for (const row of rows) assert.equal(receiverOf(batchOf([row]), ["key"], shape.to)(0), partition);
        }
        for (const key of KEYS) {
          const of = (rows: Row[][]) => rows.flat().filter((row) => row.key === key);
          assert.deepEqual(of(made), of(world.left), `key ${key}`);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("goes as a whole to the successor of its partition where rows have no key (J7)", async () => {
    const world = leave({ writers: [[4, 4], [3]], from: 4, to: 2, read: [0, 0, 0, 0, 0], twice: 0, pending: 1 });
    const made = await seeded(inTurn, 2, world);
    assert.deepEqual(made, [
      [...world.left[0]!, ...world.left[1]!],
      [...world.left[2]!, ...world.left[3]!],
    ]);
  });

  it("is none where a partition was read to its end", async () => {
    const world = leave({ writers: [[4]], from: 1, to: 1, read: [0, 0, 0, 0, 0], twice: 0, pending: 0 });
    world.ends.positions.clear();
    assert.deepEqual(await seeded(keyed, 2, world), [[], []]);
  });

  it("is refused where a writer's chain does not reach what its snapshot names (J6)", async () => {
    const world = leave({ writers: [[4, 4]], from: 1, to: 1, read: [0, 0, 0, 0, 0], twice: 0, pending: 0 });
    world.logs[0]!.splice(0, 1);
    await assert.rejects(seeded(keyed, 1, world), {
      code: "MILL_STORE_CORRUPT",
      message: /"between": partition 0 .* "in-0" wrote up to checkpoint 3/,
    });
  });

  it("begins with what was left of the seeds of the job itself", async () => {
    const rows = [1, 2, 3].map((n): Row => ({ key: "a", writer: 0, n }));
    const put = new Map<string, Uint8Array>();
    const entries = rows.flatMap((row, index) =>
      encodeEntries("seed", BigInt(index + 1), { previous: BigInt(index), batches: [batchOf([row])], end: false }),
    );
    put.set("s", packEntries({ operator: "between", partition: 0, number: 4n, last: true }, entries));
    const position = new ExchangeCursor([], undefined).positionIn(4n, 2);
    const made: Row[] = [];
    await seedExchange({
      topology: keyed,
      partitions: 1,
      kept: {
        operator: "between",
        partitions: [{ next: 1n, last: 0n, objects: [{ key: "s", sha256: "", sizeBytes: 0n }], seeds: 1 }],
      },
      ends: { positions: new Map([[0, position]]), pending: [] },
      read: async ({ key }) => put.get(key)!,
      put: async (_partition, _number, bytes) => {
        for (const batch of seededBatches(unpackEntries(bytes).entries)) {
          made.push(...(rowsOf(columns, batch as never) as unknown as Row[]));
        }
      },
    });
    assert.deepEqual(made, [rows[2]]);
  });
});
