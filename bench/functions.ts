/**
 * Decode and resize to a tensor with built-in functions, against a bare loop over sharp with equal settings: as many images under way, the
 * same resize, the same arithmetic, results kept in arrays of the same size.
 *
 * Ours are the operators of a job, handed batches directly, one batch after another: dead letters, types of columns and the copy of pixels into
 * a column are part of it; reading files, channels and checkpoints are not. Two ways: `decodeImage` then `imageToTensor`, and
 * `imageToTensor` alone, which decodes, too.
 *
 * One run is as many images as take some seconds; bare and ours alternate, so that both have the machine's good and bad moments.
 */
import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import type { RecordBatch } from "apache-arrow";
import sharp from "sharp";
import { ApplyOperator } from "../src/actors/apply-operator.js";
import type { Emit } from "../src/actors/operator.js";
import { decodeImageFunction } from "../src/functions/images/decode-image.js";
import { imageToTensorFunction } from "../src/functions/images/image-to-tensor.js";
import type { ColumnFunction } from "../src/topology/column-function.js";
import { batchFromRows, columnOf } from "../src/types/batches.js";
import { type Columns, t } from "../src/types/columns.js";
import { inline } from "../src/types/content-types.js";
import { op, testRuntime } from "../test/unit/actors/support.js";

const IMAGES = 256;
const BATCH_ROWS = 64;
const CONCURRENCY = 4;
const SIDES = [320, 640];
const KERNEL = "lanczos3";

type Loop = (side: number) => Promise<void>;

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  sharp.cache(false);
  sharp.concurrency(1);
  const jpeg = await photo();
  const loops: Readonly<Record<string, Loop>> = {
    bare: bareLoop(jpeg),
    two: ourLoop(jpeg, twoSteps),
    one: ourLoop(jpeg, oneStep),
  };
  const figures: Record<string, unknown> = {};
  const ratios: number[] = [];
  for (const side of SIDES) {
    for (const loop of Object.values(loops)) await loop(side); // warm
    const perSecond: Record<string, number[]> = { bare: [], two: [], one: [] };
    for (let i = 0; i < options.runs; i++) {
      for (const [name, loop] of Object.entries(loops)) {
        const fromMs = performance.now();
        await loop(side);
        perSecond[name]!.push((IMAGES * 1000) / (performance.now() - fromMs));
      }
      const shown = Object.entries(perSecond).map(([name, values]) => `${name} ${values.at(-1)!.toFixed(0)}`);
      options.log(`functions ${side}, run ${i + 1}: ${shown.join(", ")} images/s`);
    }
    for (const [name, values] of Object.entries(perSecond))
      figures[`${name}_images_per_s_${side}`] = Math.round(median(values));
    for (const name of ["two", "one"]) {
      const ratio = median(perSecond[name]!) / median(perSecond.bare!);
      figures[`ratio_${name}_${side}`] = Number(ratio.toFixed(3));
      ratios.push(ratio);
    }
  }
  return { name: "functions", ratio: Number(Math.min(...ratios).toFixed(3)), ...figures };
}

/** 1600 x 1200, about 300 KB. */
async function photo(): Promise<Uint8Array> {
  const noise = { type: "gaussian", mean: 128, sigma: 30 } as const;
  const small = await sharp({ create: { width: 400, height: 300, channels: 3, background: "#808080", noise } })
    .png()
    .toBuffer();
  return sharp(small).resize(1600, 1200).jpeg({ quality: 85 }).toBuffer();
}

/** What one would write by hand. */
function bareLoop(jpeg: Uint8Array): Loop {
  return async (side) => {
    const area = side * side;
    for (let batch = 0; batch < IMAGES / BATCH_ROWS; batch++) {
      const tensors = new Float32Array(BATCH_ROWS * 3 * area);
      let next = 0;
      const lane = async () => {
        while (next < BATCH_ROWS) {
          const at = next++ * 3 * area;
          const image = sharp(jpeg, { failOn: "error", autoOrient: true });
          const data = await image.resize(side, side, { fit: "fill", kernel: KERNEL }).removeAlpha().raw().toBuffer();
          for (let pixel = 0, i = 0; pixel < area; pixel++, i += 3) {
            tensors[at + pixel] = data[i]! * (1 / 255);
            tensors[at + area + pixel] = data[i + 1]! * (1 / 255);
            tensors[at + 2 * area + pixel] = data[i + 2]! * (1 / 255);
          }
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, lane));
      assert.ok(tensors[tensors.length - 1]! > 0);
    }
  };
}

const input = { image: t.image };

function twoSteps(side: number): ColumnFunction[] {
  const resize = { width: side, height: side, fit: "fill", kernel: KERNEL } as const;
  return [
    decodeImageFunction({
      from: "image",
      into: "pixels",
      resize,
      concurrency: CONCURRENCY,
    }) as unknown as ColumnFunction,
    imageToTensorFunction({ from: "pixels", into: "tensor", width: side, height: side }),
  ];
}

function oneStep(side: number): ColumnFunction[] {
  const size = { width: side, height: side, fit: "fill", kernel: KERNEL } as const;
  return [imageToTensorFunction({ from: "image", into: "tensor", ...size, concurrency: CONCURRENCY })];
}

function ourLoop(jpeg: Uint8Array, steps: (side: number) => ColumnFunction[]): Loop {
  const batch = batchFromRows(
    input,
    Array.from({ length: BATCH_ROWS }, () => ({ image: inline(jpeg, "image/jpeg") })),
  );
  return async (side) => {
    let tensors = 0;
    const first = chained(steps(side), (made) => {
      const { values } = columnOf(made, "tensor").data[0]!.children[0]!;
      assert.ok(values[values.length - 1] > 0);
      tensors += made.numRows;
    });
    for (let i = 0; i < IMAGES / BATCH_ROWS; i++) await first(batch as unknown as RecordBatch);
    assert.equal(tensors, IMAGES);
  };
}

/** Operators that hand batches to each other, as an actor chains them. */
function chained(fns: readonly ColumnFunction[], last: Emit): (batch: RecordBatch) => Promise<void> {
  const runtime = testRuntime();
  const content = { ...runtime.content, bytes: async (value: { readonly bytes?: Uint8Array | null }) => value.bytes! };
  const lent = {
    ...runtime,
    content: content as never,
    refuse: ({ message }: { message: string }) => assert.fail(message),
  };
  const columns = fns.reduce<Columns[]>((all, { to }) => [...all, { ...all.at(-1)!, ...to }], [input]);
  const first = fns.reduceRight<Emit>((emit, fn, i) => {
    const place = { id: op(fn.name), inputs: [op("in")], parallelism: undefined, isolated: false };
    const node = { ...place, kind: "apply", columns: columns[i + 1]!, fn } as const;
    const operator = new ApplyOperator(node, columns[i]!, lent, lent, emit);
    return (batch) => operator.process(batch);
  }, last);
  return async (batch) => void (await first(batch));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
