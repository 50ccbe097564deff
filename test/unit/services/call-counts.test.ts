import assert from "node:assert/strict";
import { countsText, noCounts, serviceCounts, sumOfCounts } from "../../../src/services/call-counts.js";
import { within } from "../actors/support.js";
import { batch, owner, setUp } from "./fake-instance.js";

const asIs = undefined;

describe("services/call-counts: what a client counts", () => {
  it("calls with every try, answered rows, retries, and rows that the model refused", async () => {
    const { client, clock, instance } = await setUp(asIs, { retry: { attemptsMax: 3, pauseMs: 1_000 } });
    const a = await instance("a");
    await a.says("READY");
    const answer = client.call(batch(1, 2), owner);
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await clock.advance(1_200);
    await a.answers("OK", { rejected: [1] });
    await within("the answer", answer);
    assert.deepEqual(client.counts, { ...noCounts(), calls: 2, rows: 2, retries: 1, refusedRows: 1 });
  });

  it("rows that went with an instance, as duplicate calls", async () => {
    const { client, clock, instance } = await setUp(asIs, { persistAfterMs: 0 });
    const [a, b] = [await instance("a"), await instance("b")];
    await a.says("READY");
    const answer = client.call(batch(1, 2), owner);
    await clock.settle();
    await b.says("READY");
    await a.says("STOPPED");
    await b.answers();
    await within("the answer", answer);
    assert.deepEqual(client.counts, { ...noCounts(), calls: 2, rows: 2, duplicateCalls: 2 });
  });

  it("tries that were too slow, and rows that nobody could answer", async () => {
    const { client, clock, instance } = await setUp(asIs, { retry: { attemptsMax: 1 } });
    const a = await instance("a");
    await a.says("READY");
    const answer = client.call(batch(1), owner);
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_SERVICE_TIMEOUT" });
    await assert.rejects(within("the answer", answer), { code: "MILL_SERVICE_TIMEOUT" });
    assert.deepEqual(client.counts, { ...noCounts(), calls: 1, rows: 1, timeouts: 1, refusedRows: 1 });
  });

  it("are summed by service", () => {
    const one = serviceCounts("a", { ...noCounts(), rows: 3 });
    const other = serviceCounts("b", { ...noCounts(), rows: 4, retries: 1 });
    assert.deepEqual(
      sumOfCounts([one, other, one]).map(({ service, rows, retries }) => [service, rows, retries]),
      [
        ["a", 6n, 0n],
        ["b", 4n, 1n],
      ],
    );
  });

  it("are told in the names of the documentation, and only if something cost more than it had to", () => {
    const counts = { ...noCounts(), calls: 4, rows: 6 };
    assert.equal(countsText(serviceCounts("a", counts)), "");
    const text = countsText(serviceCounts("a", { ...counts, duplicateCalls: 2, fallbackRows: 1 }));
    assert.equal(text, "6 rows in 4 calls, duplicate_calls 2, fallback_rows 1");
  });
});
