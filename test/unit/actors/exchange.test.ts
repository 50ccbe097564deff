import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { exchange, partsByHash } from "../../../src/actors/exchange.js";
import { Gate } from "../../../src/actors/gate.js";
import type { Emit } from "../../../src/actors/operator.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { lineageFrom, lineageOf, withLineage } from "../../../src/types/lineage.js";
import { numbers, rows } from "./support.js";

const columns = { key: t.optional(t.utf8), part: t.int64, place: t.int32 };

function receivers(count: number): { ways: Emit[]; got: RecordBatch[][] } {
  const got: RecordBatch[][] = Array.from({ length: count }, () => []);
  return { ways: got.map((batches) => (batch) => void batches.push(batch)), got };
}

/** Its sender is inside. */
function entered(): Gate {
  const gate = new Gate();
  gate.fork();
  return gate;
}

describe("actors/exchange: how a batch finds its channels", () => {
  it("hash: no two rows of a batch have one place afterwards, wherever they went (lineage G3)", () => {
    const key = fc.constantFrom("a", "b", "c", "d");
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 4 }), (keys, count) => {
        const made = batchFromRows(
          columns,
          keys.map((one) => ({ key: one, part: 0n, place: 0 })),
        );
        const parts = partsByHash(withLineage(made as never, lineageFrom("pages/0", 7)), ["key"], count);
        const places = parts.flatMap(([, part]) => {
          const { origin, first } = lineageOf(part)!;
          return Array.from({ length: part.numRows }, (_, row) => `${origin} ${first + row}`);
        });
        assert.equal(new Set(places).size, keys.length);
      }),
    );
  });

  it("hash: equal keys meet one receiver, rows of a key keep their order, none is lost or doubled", async () => {
    const key = fc.option(fc.constantFrom("a", "b", "c", "", "null", "é"));
    const row = fc.record({ key, part: fc.bigInt({ min: 0n, max: 2n }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(row, { minLength: 1, maxLength: 20 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 4 }),
        async (batches, count) => {
          const { ways, got } = receivers(count);
          const emit = exchange("hash", ways, ["key", "part"], entered());
          let place = 0;
          const all = batches.map((batch) => batch.map((one) => ({ ...one, place: place++ })));
          for (const batch of all) await emit(batchFromRows(columns, batch) as never);
          const received = got.map((one) => rows(columns, one));
          const owner = new Map<string, number>();
          for (const [i, list] of received.entries()) {
            const last = new Map<string, number>();
            for (const one of list) {
              const name = JSON.stringify([one.key, `${one.part}`]); // null is another key than "null"
              assert.equal(owner.get(name) ?? i, i, `key ${name} met two receivers`);
              owner.set(name, i);
              assert.ok((last.get(name) ?? -1) < one.place, `key ${name} lost its order`);
              last.set(name, one.place);
            }
          }
          const places = received.flat().map((one) => one.place);
          assert.deepEqual(
            places.sort((a, b) => a - b),
            all.flat().map((one) => one.place),
          );
        },
      ),
    );
  });

  it("hash: a receiver without rows is sent nothing", async () => {
    const { ways, got } = receivers(8);
    await exchange("hash", ways, ["n"], entered())(numbers(1, 1, 1));
    assert.equal(got.filter((batches) => batches.length > 0).length, 1);
  });

  it("rebalance takes turns by batch", async () => {
    const { ways, got } = receivers(2);
    const emit = exchange("rebalance", ways, [], entered());
    for (let i = 0; i < 4; i++) await emit(numbers(i));
    assert.deepEqual(
      got.map((batches) => rows({ n: t.int32 }, batches).map((row) => row.n)),
      [
        [0, 2],
        [1, 3],
      ],
    );
  });
});
