/**
 * Decode and resize to a tensor with built-in functions, against a bare loop over sharp with equal settings: as many images under way, the
 * same resize, the same arithmetic, results kept in arrays of the same size.
 *
 * Ours are the operators of a job, handed batches directly, one batch after another: dead letters, types of columns and the copy of pixels into
 * a column are part of it; reading files, channels and checkpoints are not. `ratio` is that of `imageToTensor`, which decodes, resizes and
 * converts in one step. `ratio_two` is that of `decodeImage`, then `imageToTensor`, chained in one actor: there nothing is decoded while pixels
 * are copied into their column and converted; in actors of their own the two overlap.
 *
 * Bare and ours alternate batch by batch, so that both have the machine's good and bad moments. `cpu_ratio` compares processor time, which others on
 * the machine change less.
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

const BATCHES = 4;
const BATCH_ROWS = 64;
const CONCURRENCY = 4;
const SIDES = [320, 640];
const KERNEL = "lanczos3";

/** Works on one batch. */
type Loop = () => Promise<void>;
interface Used {
  wallMs: number;
  cpuMs: number;
}

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  sharp.cache(false);
  sharp.concurrency(1);
  const jpeg = await photo();
  const figures: Record<string, unknown> = {};
  const all: { ratio: number; two: number; cpu: number }[] = [];
  for (const side of SIDES) {
    const loops = { bare: bareLoop(jpeg, side), one: ourLoop(jpeg, oneStep(side)), two: ourLoop(jpeg, twoSteps(side)) };
    for (const loop of Object.values(loops)) await loop(); // warm
    const runs: Record<keyof typeof loops, Used>[] = [];
    for (let i = 0; i < options.runs; i++) {
      const used = { bare: { wallMs: 0, cpuMs: 0 }, one: { wallMs: 0, cpuMs: 0 }, two: { wallMs: 0, cpuMs: 0 } };
      for (let batch = 0; batch < BATCHES; batch++) {
        for (const [name, loop] of Object.entries(loops)) await measured(loop, used[name as keyof typeof loops]);
      }
      runs.push(used);
      const shown = Object.entries(used).map(([name, { wallMs }]) => `${name} ${perSecond(wallMs)}`);
      options.log(`functions ${side}, run ${i + 1}: ${shown.join(", ")} images/s`);
    }
    const ratio = median(runs.map(({ bare, one }) => bare.wallMs / one.wallMs));
    const two = median(runs.map(({ bare, two }) => bare.wallMs / two.wallMs));
    const cpu = median(runs.map(({ bare, one }) => bare.cpuMs / one.cpuMs));
    all.push({ ratio, two, cpu });
    figures[`bare_images_per_s_${side}`] = perSecond(median(runs.map(({ bare }) => bare.wallMs)));
    figures[`ours_images_per_s_${side}`] = perSecond(median(runs.map(({ one }) => one.wallMs)));
    figures[`ratio_${side}`] = rounded(ratio);
    figures[`ratio_two_${side}`] = rounded(two);
  }
  const least = (of: "ratio" | "two" | "cpu") => rounded(Math.min(...all.map((each) => each[of])));
  return { name: "functions", ratio: least("ratio"), ratio_two: least("two"), cpu_ratio: least("cpu"), ...figures };
}

async function measured(loop: Loop, used: Used): Promise<void> {
  const [fromMs, fromCpu] = [performance.now(), process.cpuUsage()];
  await loop();
  const { user, system } = process.cpuUsage(fromCpu);
  used.wallMs += performance.now() - fromMs;
  used.cpuMs += (user + system) / 1000;
}

const perSecond = (wallMs: number) => Math.round((BATCHES * BATCH_ROWS * 1000) / wallMs);
const rounded = (value: number) => Number(value.toFixed(3));

/** 1600 x 1200, about 300 KB. */
async function photo(): Promise<Uint8Array> {
  const noise = { type: "gaussian", mean: 128, sigma: 30 } as const;
  const small = await sharp({ create: { width: 400, height: 300, channels: 3, background: "#808080", noise } })
    .png()
    .toBuffer();
  return sharp(small).resize(1600, 1200).jpeg({ quality: 85 }).toBuffer();
}

/** What one would write by hand. */
function bareLoop(jpeg: Uint8Array, side: number): Loop {
  const area = side * side;
  return async () => {
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

function ourLoop(jpeg: Uint8Array, steps: readonly ColumnFunction[]): Loop {
  const batch = batchFromRows(
    input,
    Array.from({ length: BATCH_ROWS }, () => ({ image: inline(jpeg, "image/jpeg") })),
  );
  let tensors = 0;
  const first = chained(steps, (made) => {
    const { values } = columnOf(made, "tensor").data[0]!.children[0]!;
    assert.ok(values[values.length - 1] > 0);
    tensors += made.numRows;
  });
  return async () => {
    tensors = 0;
    await first(batch as unknown as RecordBatch);
    assert.equal(tensors, BATCH_ROWS);
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
  const columns: Columns[] = [input];
  for (const { to } of fns) columns.push({ ...columns.at(-1)!, ...to });
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
