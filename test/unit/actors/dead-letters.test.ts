import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { DeadLetters } from "../../../src/actors/dead-letters.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { Sink } from "../../../src/topology/endpoints.js";
import { columnOf } from "../../../src/types/batches.js";
import { inline } from "../../../src/types/content-types.js";

/** The row as a dead letter shows it. */
async function shown(row: Readonly<Record<string, unknown>>): Promise<unknown> {
  const written: RecordBatch[] = [];
  const sink = {
    open: () => ({ write: (batch: RecordBatch) => void written.push(batch) }),
  } as unknown as Sink;
  const letters = new DeadLetters(sink, { operator: "o", subtask: 0, attempt: 1, log: silentLog } as never);
  await letters.write({ operator: "o", code: "MILL_RECORD_INVALID", message: "no", row });
  return JSON.parse(columnOf(written[0]!, "record").get(0) as string);
}

describe("actors/dead-letters: how a row is shown", () => {
  it("content is its reference and its size, however large it is", async () => {
    const page = { ...inline(new Uint8Array(5_000_000), "image/png"), width: 2, height: 3, channels: 1 };
    const place = { offset: "0", sizeBytes: "5000000", sha256: "", mediaType: "image/png" };
    assert.deepEqual(await shown({ pages: [page, { ...page, uri: "file:///a", bytes: null }] }), {
      pages: [
        { ...place, uri: "", bytes: "5000000 bytes", width: 2, height: 3, channels: 1 },
        { ...place, uri: "file:///a", bytes: null, width: 2, height: 3, channels: 1 },
      ],
    });
  });

  it("of a tensor and an embedding the first elements are there", async () => {
    assert.deepEqual(
      await shown({
        e: new Float32Array(384).fill(0.5),
        few: BigInt64Array.of(1n, -2n),
        free: { data: Float64Array.of(Number.NaN), shape: [1, 1] },
      }),
      {
        e: "Float32Array(384) [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...]",
        few: "BigInt64Array(2) [1, -2]",
        free: { data: "Float64Array(1) [NaN]", shape: [1, 1] },
      },
    );
  });

  it("bytes are base64, and their number where they would fill the letter", async () => {
    const bytes = Uint8Array.of(1);
    const large = new Uint8Array(limits.inlineLimitBytes + 1);
    assert.deepEqual(await shown({ bytes, large }), { bytes: "AQ==", large: `${large.length} bytes` });
  });
});
