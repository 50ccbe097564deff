import assert from "node:assert/strict";
import fc from "fast-check";
import { type Batchable, nextCall } from "../../../src/services/batching.js";

const request = fc.record({
  rows: fc.integer({ min: 1, max: 6 }),
  bytes: fc.integer({ min: 1, max: 60 }),
  cost: fc.integer({ min: 0, max: 6 }),
  bucket: fc.constantFrom("x", "y"),
  arrivedMs: fc.constant(0),
});
const queues = fc.array(fc.tuple(request, fc.nat(20)), { minLength: 1, maxLength: 12 }).map((pairs): Batchable[] => {
  let now = 0;
  return pairs.map(([one, laterMs]) => {
    now += laterMs;
    return { ...one, arrivedMs: now };
  });
});
const rules = fc.record({
  rowsMax: fc.integer({ min: 1, max: 8 }),
  bytesMax: fc.integer({ min: 40, max: 400 }),
  costMax: fc.constantFrom(8, 40, Number.POSITIVE_INFINITY),
  delayMsMax: fc.nat(50),
});

const sumOf = (requests: readonly Batchable[], what: "rows" | "bytes" | "cost") =>
  requests.reduce((sum, request) => sum + request[what], 0);

describe("services/batching: which requests make the next call", () => {
  it("no requests, no call", () => {
    assert.deepEqual(nextCall([], { rowsMax: 4, bytesMax: 100, costMax: 10, delayMsMax: 10 }, 0), { kind: "idle" });
  });

  it("a call has at most its rows, bytes and cost, or one request, of one bucket, with the oldest, in order (D1, D2, D3)", () => {
    fc.assert(
      fc.property(queues, rules, fc.nat(300), (queue, rule, now) => {
        const decision = nextCall(queue, rule, now);
        if (decision.kind !== "call") return;
        const taken = decision.take.map((i) => queue[i]!);
        const [rows, bytes, cost] = [sumOf(taken, "rows"), sumOf(taken, "bytes"), sumOf(taken, "cost")];
        const fits = rows <= rule.rowsMax && bytes <= rule.bytesMax && cost <= rule.costMax;
        assert.ok(fits || taken.length === 1, `${rows} rows, ${bytes} bytes, ${cost} cost (D1)`);
        assert.equal(new Set(taken.map((one) => one.bucket)).size, 1, "D2");
        assert.equal(decision.take[0], 0, "D3: the oldest is in it");
        const bucket = queue.flatMap((one, i) => (one.bucket === queue[0]!.bucket ? [i] : []));
        assert.deepEqual(decision.take, bucket.slice(0, decision.take.length), "D3: none of its bucket is passed over");
      }),
    );
  });

  it("a call waits only while it has room, and at most until its oldest request has waited delayMsMax (D4)", () => {
    fc.assert(
      fc.property(queues, rules, fc.nat(300), (queue, rule, now) => {
        const decision = nextCall(queue, rule, now);
        const due = queue[0]!.arrivedMs + rule.delayMsMax;
        if (now >= due) assert.equal(decision.kind, "call");
        if (decision.kind !== "wait") return;
        assert.equal(decision.untilMs, due);
        const rows = queue.filter((one) => one.bucket === queue[0]!.bucket).reduce((sum, one) => sum + one.rows, 0);
        assert.ok(rows < rule.rowsMax, `waits with ${rows} of ${rule.rowsMax} rows`);
      }),
    );
  });

  it("calling again until nothing is left takes every request once (D1 to D4)", () => {
    fc.assert(
      fc.property(queues, rules, (queue, rule) => {
        let left = queue.map((one, id) => ({ ...one, id }));
        const taken: number[] = [];
        while (left.length > 0) {
          const decision = nextCall(left, rule, 10_000);
          assert.equal(decision.kind, "call");
          if (decision.kind !== "call") return;
          taken.push(...decision.take.map((i) => left[i]!.id));
          left = left.filter((_, i) => !decision.take.includes(i));
        }
        assert.deepEqual(
          taken.sort((a, b) => a - b),
          queue.map((_, id) => id),
        );
      }),
    );
  });
});
