import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { BlobWriter } from "../../../src/actors/blobs.js";
import { DeadLetters } from "../../../src/actors/dead-letters.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { Sink } from "../../../src/topology/endpoints.js";
import { batchFromRows, columnOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { lineageFrom, lineageOf, withLineage } from "../../../src/types/lineage.js";
import { decodeBatch } from "../../../src/wire/arrow.js";
import { decodeRow } from "../../../src/wire/arrow-row.js";
import { numbers } from "./support.js";

const NOTHING = new Uint8Array();
const CLOCK = { nowMs: () => 1_700_000_000_000.5 };

/** The row as a dead letter shows it. */
async function shown(row: Readonly<Record<string, unknown>>): Promise<unknown> {
  const written: RecordBatch[] = [];
  const sink = {
    open: () => ({ write: (batch: RecordBatch) => void written.push(batch) }),
  } as unknown as Sink;
  const letters = new DeadLetters(sink, { operator: "o", subtask: 0, attempt: 1, log: silentLog } as never, CLOCK);
  await letters.write({ operator: "o", code: "MILL_RECORD_INVALID", message: "no", row, batch: numbers(7) });
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

describe("actors/dead-letters: the row as it came", () => {
  const written: RecordBatch[] = [];
  const sink = { open: () => ({ write: (batch: RecordBatch) => void written.push(batch) }) } as unknown as Sink;
  const context = { operator: "o", subtask: 0, attempt: 1, log: silentLog } as never;
  const letter = { operator: "o", code: "MILL_RECORD_INVALID", message: "no", row: {} };
  const one = (name: string) => columnOf(written.at(-1)!, name).get(0);
  const decoded = (bytes: Uint8Array) => {
    const { schema, batch } = decodeRow(bytes);
    return decodeBatch(schema, batch);
  };

  it("is kept whole, with where it is from, and the time of the refusal", async () => {
    const batch = withLineage(numbers(7), lineageFrom("read/a/0", 3));
    await new DeadLetters(sink, context, CLOCK).write({ ...letter, batch });
    const kept = decoded(Buffer.from(one("row") as string, "base64"));
    assert.deepEqual(columnOf(kept, "n").toArray(), Int32Array.of(7));
    assert.deepEqual(lineageOf(kept), { origin: "read/a/0", first: 3 });
    assert.equal(one("atMs"), 1_700_000_000_000);
  });

  it("a large one becomes content of the job, which the letter keeps alive", async () => {
    const large = { text: "x".repeat(limits.inlineLimitBytes) };
    const batch = batchFromRows({ text: t.utf8 }, [large]) as unknown as RecordBatch;
    const hash = "ab".repeat(32);
    const puts: Uint8Array[] = [];
    const put = async (bytes: Uint8Array) => {
      puts.push(bytes);
      return { ...inline(bytes, ""), uri: `s3://b/content/${hash}`, bytes: null };
    };
    const recorded: string[] = [];
    const record = async (_: bigint, __: string | undefined, contents: readonly string[]) =>
      void recorded.push(...contents);
    const preparing = {
      open: () => ({ write: (b: RecordBatch) => void written.push(b), prepare: async () => NOTHING }),
    };
    const output = { ownedIn: () => [], record };
    const kept = { content: { put }, prefix: "s3://b/content/" };
    const letters = new DeadLetters(preparing as unknown as Sink, context, CLOCK, output, kept);
    await letters.write({ ...letter, batch });
    assert.equal(one("row"), `s3://b/content/${hash}#${puts[0]!.length}`);
    assert.equal(columnOf(decoded(puts[0]!), "text").get(0), large.text);
    await letters.output.cut(1n)!(new BlobWriter());
    assert.deepEqual(recorded, [hash]);
  });
});
