import assert from "node:assert/strict";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { arrow } from "../../../src/connectors/arrow-file.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema } from "../../../src/types/columns.js";
import { anyRows } from "../types/arbitrary.js";
import { published } from "./writing.js";

describe("connectors/arrow-file: rows as files", () => {
  it("any rows come back with their types, in batches of any size and cut anywhere", async () => {
    const someRows = anyRows.filter(({ rows }) => rows.length > 0);
    await fc.assert(
      fc.asyncProperty(someRows, fc.nat(12), async ({ columns, rows }, cut) => {
        const whole = batchFromRows(columns, rows);
        const at = Math.min(cut, rows.length);
        const bytes = await published(arrow("out"), columns, [whole.slice(0, at), whole.slice(at)]);
        const { schema, batches } = tableFromIPC(bytes);
        assert.deepEqual(
          batches.flatMap((batch) => rowsOf(columns, batch as never)),
          rows,
        );
        assert.deepEqual(
          schema.fields.map(({ metadata }) => [...metadata]),
          arrowSchema(columns).fields.map(({ metadata }) => [...metadata]),
        );
      }),
      { numRuns: 40 },
    );
  });
});
