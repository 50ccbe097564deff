import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import sharp from "sharp";
import { ApplyOperator } from "../../../../src/actors/apply-operator.js";
import { decodeImageFunction } from "../../../../src/functions/images/decode-image.js";
import { imageToTensorFunction } from "../../../../src/functions/images/image-to-tensor.js";
import type { ColumnFunction } from "../../../../src/topology/column-function.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import { t } from "../../../../src/types/columns.js";
import { inline } from "../../../../src/types/content-types.js";
import { noContent, op, testRuntime } from "../../actors/support.js";
import { type Mutant, mutants } from "./mutations.js";
import { encoded, picture } from "./pictures.js";

const COUNT = 200;
const SEED = Number(process.env.MILLRACE_SEED ?? 20_260_731);
const columns = { name: t.utf8, image: t.image };
const LIMITS = { pixelsMax: 2_000_000, timeoutMs: 5_000, concurrency: 4 };
/** Decoded pixels of all lanes and of the results, and room for the libraries. */
const MEMORY_BYTES_MAX = 128 * 1024 * 1024;

/** Runs the operator on one batch, as an actor does. */
async function applied(fn: ColumnFunction, images: readonly Mutant[]) {
  const bytesOf = async (value: { readonly bytes?: Uint8Array | null }) => value.bytes!;
  const runtime = { ...testRuntime(), content: { ...noContent, bytes: bytesOf as never } };
  const out: RecordBatch[] = [];
  const place = { id: op("apply"), inputs: [op("in")], parallelism: undefined, isolated: false };
  const merged = { ...columns, ...fn.to };
  const operator = new ApplyOperator(
    { ...place, kind: "apply", columns: merged, fn },
    columns,
    runtime,
    runtime,
    (batch) => void out.push(batch),
  );
  const rows = images.map(({ what, bytes }) => ({ name: what, image: inline(bytes, "image/png") }));
  await operator.process(batchFromRows(columns, rows) as never);
  const made = out.flatMap((batch) => rowsOf(merged, batch as never)) as Record<string, unknown>[];
  return { made, refused: runtime.refused };
}

describe(`functions/images: ${COUNT} damaged images, seed ${SEED}`, () => {
  let images: Mutant[];
  before(async () => {
    images = await mutants(COUNT, SEED);
  });

  const functions: Readonly<Record<string, ColumnFunction>> = {
    decodeImage: decodeImageFunction({ from: "image", into: "out", ...LIMITS }) as unknown as ColumnFunction,
    imageToTensor: imageToTensorFunction({ from: "image", into: "out", width: 64, height: 64, fit: "fill", ...LIMITS }),
  };
  for (const [name, fn] of Object.entries(functions)) {
    it(`${name}: each is a dead letter with its reason, or what the decoder accepted; memory and time are bounded`, async () => {
      const before = process.memoryUsage().rss;
      let most = before;
      const look = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss);
      }, 5);
      const fromMs = performance.now();
      const { made, refused } = await applied(fn, images).finally(() => clearInterval(look));
      const tookMs = performance.now() - fromMs;
      const names = [...made, ...refused.map(({ row }) => row)].map((row) => row.name as string);
      assert.deepEqual(names.sort(), images.map(({ what }) => what).sort());
      for (const { code, message, row } of refused) {
        assert.match(code, /^MILL_IMAGE_(INVALID|TOO_LARGE)$/, `${row.name}: ${message}`);
        assert.ok(message.length > 20, `${row.name}: ${message}`);
      }
      for (const row of made) {
        if (name !== "decodeImage") continue;
        const { width, height, bytes } = row.out as { width: number; height: number; bytes: Uint8Array };
        assert.ok(
          width * height <= LIMITS.pixelsMax && bytes.length === width * height * 3,
          `${row.name}: ${width} x ${height}`,
        );
      }
      assert.ok(refused.length > COUNT / 3, `${refused.length} were refused`);
      assert.ok(made.length > COUNT / 20, `${made.length} were accepted`);
      assert.ok(most - before < MEMORY_BYTES_MAX, `${Math.round((most - before) / 1e6)} MB more than before`);
      assert.ok(tookMs < LIMITS.timeoutMs * 4, `took ${Math.round(tookMs)} ms`);
    });
  }

  it("bombs are refused by their headers, and cost nothing", async () => {
    const bombs: Mutant[] = [];
    for (const [format, side] of [
      ["png", 5_000],
      ["webp", 5_000],
      ["jpeg", 5_000],
      ["gif", 4_000],
    ] as const) {
      const flat = sharp({ create: { width: side, height: side, channels: 3, background: "#123456" } });
      bombs.push({
        what: `${format} of ${side} x ${side}`,
        bytes: await flat.toFormat(format, { effort: 1 } as never).toBuffer(),
      });
    }
    const cpuBefore = process.cpuUsage();
    const before = process.memoryUsage().rss;
    const { made, refused } = await applied(functions.decodeImage!, bombs);
    assert.deepEqual([made.length, refused.map(({ code }) => code)], [0, bombs.map(() => "MILL_IMAGE_TOO_LARGE")]);
    const { user, system } = process.cpuUsage(cpuBefore);
    assert.ok(user + system < 2_000_000 && process.memoryUsage().rss - before < 50e6);
  });

  it("good ones among them are not harmed", async () => {
    const good = { what: "good", bytes: await encoded("png", picture(80, 60)) };
    const { made } = await applied(
      functions.decodeImage!,
      images.slice(0, 20).flatMap((bad, i) => [bad, { ...good, what: `good ${i}` }]),
    );
    const kept = made.filter(({ name }) => (name as string).startsWith("good"));
    assert.equal(kept.length, 20);
    for (const { out } of kept) assert.deepEqual((out as { bytes: Uint8Array }).bytes, picture(80, 60).data);
  });
});
