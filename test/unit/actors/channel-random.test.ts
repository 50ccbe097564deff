import assert from "node:assert/strict";
import fc from "fast-check";
import { silentLog } from "../../../src/base/real/ports.js";
import { type Faults, FaultyBus, seeded, VirtualClock } from "./channel-faults.js";
import { batch, ends, nOf, shown } from "./channel-support.js";
import { range } from "./support.js";

/** What the sender does in turn; `capture`: when the receiver cuts at that barrier, in ms after it hears of it, or never. */
type Step = { readonly kind: "batch" } | { readonly kind: "barrier"; readonly capture: number | "early" | undefined };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ kind: "batch" } as const) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("barrier" as const),
      capture: fc.oneof(fc.constant(undefined), fc.constant("early" as const), fc.integer({ min: 0, max: 300 })),
    }),
  },
);

const chance = (max: number) => fc.oneof(fc.constant(0), fc.double({ min: 0, max, noNaN: true }));
const faults: fc.Arbitrary<Faults> = fc.record({
  lost: chance(0.4),
  doubled: chance(0.4),
  broken: chance(0.1),
  pressed: chance(0.3),
  delayMsMax: fc.constantFrom(0, 5, 100, 1_000),
});

const schedule = fc.record({
  seed: fc.nat(),
  steps: fc.array(step, { maxLength: 200, size: "max" }),
  faults,
  sendPauseMs: fc.constantFrom(0, 1, 100),
  takePauseMs: fc.constantFrom(0, 1, 100),
  /** The receiver's host does nothing for a while, from then on. */
  blocked: fc.option(
    fc.record({ fromMs: fc.integer({ min: 0, max: 500 }), forMs: fc.integer({ min: 1, max: 5_000 }) }),
    {
      nil: undefined,
    },
  ),
});
type Schedule = typeof schedule extends fc.Arbitrary<infer S> ? S : never;

interface Captured {
  readonly checkpoint: number;
  /** Batches that were handed on when the capture began. */
  readonly from: number;
  readonly batches: number[];
}

async function run({ seed, steps, faults: given, sendPauseMs, takePauseMs, blocked }: Schedule) {
  const clock = new VirtualClock();
  const random = seeded(seed);
  const bus = new FaultyBus(clock, random, given);
  const { sender, receiver } = ends(bus, bus, { clock, log: silentLog });
  await Promise.all([sender.open(), receiver.open()]);

  const taken: (number | string)[] = [];
  const captured: Captured[] = [];
  let captures = 0;
  let mostAhead = 0;
  let sent = 0;
  const handed = () => taken.filter((item) => typeof item === "number").length;
  const capture = (checkpoint: number) => {
    captures++;
    const from = handed();
    void receiver.capture(BigInt(checkpoint)).then((batches) => {
      captured.push({ checkpoint, from, batches: batches.map(nOf) });
    });
  };
  const planned = steps.filter((one) => one.kind === "barrier").map((one) => one.capture);

  const sending = (async () => {
    let barriers = 0;
    for (const one of steps) {
      if (random() < 0.3) await clock.sleep(random() * sendPauseMs);
      if (one.kind === "barrier") {
        sender.barrier(BigInt(++barriers));
        continue;
      }
      const next = batch(sent);
      while (!sender.offer(next)) await sender.room();
      sent++;
      mostAhead = Math.max(mostAhead, sent - handed());
    }
    sender.end();
    await sender.delivered();
  })();

  let over = false;
  const taking = (async () => {
    receiver.start((heard) => {
      const when = planned[Number(heard) - 1];
      if (typeof when === "number") void clock.sleep(when).then(() => capture(Number(heard)));
    });
    for (const [i, when] of planned.entries()) if (when === "early" && i % 2 === 0) capture(i + 1);
    for (;;) {
      if (random() < 0.3) await clock.sleep(random() * takePauseMs);
      const item = shown(await receiver.next());
      taken.push(item);
      if (item === "end") return;
    }
  })();
  if (blocked !== undefined) {
    void clock.sleep(blocked.fromMs).then(() => {
      bus.block();
      void clock.sleep(blocked.forMs).then(() => bus.unblock());
    });
  }
  const wanted = () =>
    planned.filter((when, i) => typeof when === "number" || (when === "early" && i % 2 === 0)).length;
  let failure: unknown;
  Promise.all([sending, taking]).then(
    () => {
      over = true;
    },
    (error: unknown) => {
      failure = error;
    },
  );
  const done = () => over && captures === wanted() && captured.length === captures;
  await clock.until("both ends to finish, and every capture", () => done() || failure !== undefined);
  if (failure !== undefined) throw failure;
  await clock.advance(10_000);
  return { taken, captured, mostAhead, left: [clock.timers, sender.keptBytes, receiver.heldBytes], bus };
}

/** What the taker must have seen, from what it captured: a barrier is left out if it was captured before its turn came. */
function expected(steps: readonly Step[], taken: readonly (number | string)[], captured: readonly Captured[]) {
  const items: (number | string)[] = [];
  const before = new Map<number, number>();
  let batches = 0;
  let barriers = 0;
  for (const one of steps) {
    if (one.kind === "batch") items.push(batches++);
    else {
      before.set(++barriers, batches);
      items.push(`barrier ${barriers}`);
    }
  }
  items.push("end");
  const left = new Set(taken);
  const maySkip = new Set(captured.map(({ checkpoint }) => `barrier ${checkpoint}`));
  return { before, items: items.filter((item) => left.has(item) || !maySkip.has(String(item))) };
}

describe("actors/channel-sender, channel-receiver: any schedule, on a bus that does what it likes", () => {
  it("batches and barriers come once and in order, captures are exact, and then no timer is left (N1, N2, N3)", async function () {
    this.timeout(120_000);
    const seen = { lost: 0, doubled: 0, broken: 0, pressed: 0, captures: 0, skipped: 0 };
    const property = fc.asyncProperty(schedule, async (one) => {
      const { taken, captured, mostAhead, left, bus } = await run(one);
      const { before, items } = expected(one.steps, taken, captured);
      assert.deepEqual(taken, items);
      for (const { checkpoint, from, batches } of captured) {
        const k = before.get(checkpoint)!;
        assert.deepEqual(
          batches,
          range(from, Math.max(from, k)),
          `capture of barrier ${checkpoint}, before batch ${k}`,
        );
        if (from < k) assert.ok(!taken.includes(`barrier ${checkpoint}`), `barrier ${checkpoint} was captured`);
      }
      assert.ok(mostAhead <= 64, `${mostAhead} batches ahead`);
      assert.deepEqual(left, [0, 0, 0], "timers, and bytes at both ends, left after everything was delivered");
      for (const kind of ["lost", "doubled", "broken", "pressed"] as const) seen[kind] += bus.counts[kind];
      seen.captures += captured.length;
      seen.skipped += captured.filter(({ batches }) => batches.length > 0).length;
    });
    await fc.assert(property, { numRuns: 150 });
    for (const [kind, count] of Object.entries(seen)) assert.ok(count > 10, `${kind}: only ${count}`);
  });
});
