import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeFrame } from "../../../src/wire/frames.js";
import { packageRoot, readHex } from "./hex-file.js";

const folder = join(packageRoot, "test", "golden", "earlier");

/** What a frame of an earlier schema says of the fields that came later; of a nested record's own ones, too. */
const LATER: Readonly<Record<string, object>> = {
  "data.1": { barriers: 0, traceparent: "" },
  "data-next.1": { barriers: 0, traceparent: "" },
  "data.2": { traceparent: "" },
  "data-next.2": { traceparent: "" },
  "barrier.1": { index: 0 },
  "end.1": { barriers: 0 },
  "request.1": { rowIds: "", traceparent: "" },
  "request.2": { traceparent: "" },
  "answer.1": { retryAfterMs: 0, repeatedRows: 0, load: { enteredMs: 0 }, traceparent: "" },
  "answer.2": { traceparent: "" },
  "answer-failed.1": { retryAfterMs: 0, repeatedRows: 0, load: { enteredMs: 0 }, traceparent: "" },
  "answer-failed.2": { traceparent: "" },
  "load-report.1": { enteredMs: 0 },
  "exchange-entry.1": { content: null, traceparent: "" },
  "exchange-position.1": { seed: 0, seedBatches: 0, incarnation: "" },
  "ask.1": { round: 0 },
  "holding.1": { round: 0 },
  "release.1": { requests: [] },
  "credit.1": { arrived: 0, barriers: 0, ended: false },
};

const plain = (_key: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);

function merged(header: object, later: object): object {
  const both: Record<string, unknown> = { ...header };
  for (const [field, value] of Object.entries(later)) {
    const earlier = both[field];
    both[field] = typeof earlier === "object" && earlier !== null ? { ...earlier, ...value } : value;
  }
  return both;
}

describe("wire/golden: frames of earlier schemas", () => {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith(".hex"))
    .map((file) => file.slice(0, -".hex".length));

  it("there are some", () => assert.deepEqual(names.sort(), Object.keys(LATER).sort()));

  for (const name of names) {
    it(`${name}: is read as a frame of today, later fields with their defaults (F5)`, () => {
      const expected = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as {
        kind: string;
        header: object;
      };
      const { kind, header } = decodeFrame(readHex(join(folder, `${name}.hex`)));
      const shown = Object.fromEntries(
        Object.entries(header as object).map(([field, value]) => [
          field,
          value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
        ]),
      );
      assert.equal(kind, expected.kind);
      assert.deepEqual(JSON.parse(JSON.stringify(shown, plain)), merged(expected.header, LATER[name]!));
    });
  }
});
