import assert from "node:assert/strict";
import fc from "fast-check";
import { nextCall, type QueuedRequest } from "../../../src/services/batching.js";

const request = fc.record({
  rows: fc.integer({ min: 1, max: 6 }),
  bucket: fc.constantFrom("x", "y"),
  arrivedMs: fc.constant(0),
});
const queues = fc
  .array(fc.tuple(request, fc.nat(20)), { minLength: 1, maxLength: 12 })
  .map((pairs): QueuedRequest[] => {
    let now = 0;
    return pairs.map(([one, laterMs]) => {
      now += laterMs;
      return { ...one, arrivedMs: now };
    });
  });
const rules = fc.record({ rowsMax: fc.integer({ min: 1, max: 8 }), delayMsMax: fc.nat(50) });

describe("services/batching: which requests make the next call", () => {
  it("no requests, no call", () => {
    assert.deepEqual(nextCall([], { rowsMax: 4, delayMsMax: 10 }, 0), { kind: "idle" });
  });

  it("a call has at most rowsMax rows or one request, of one bucket, with the oldest, in order (D1, D2, D3)", () => {
    fc.assert(
      fc.property(queues, rules, fc.nat(300), (queue, rule, now) => {
        const decision = nextCall(queue, rule, now);
        if (decision.kind !== "call") return;
        const taken = decision.take.map((i) => queue[i]!);
        const rows = taken.reduce((sum, one) => sum + one.rows, 0);
        assert.ok(rows <= rule.rowsMax || taken.length === 1, `${rows} rows (D1)`);
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
