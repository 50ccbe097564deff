/**
 * `imageToTensor`: images to the numbers that a model takes. Where all have one size, they are written straight into the column.
 */
import type { FixedSizeList, RecordBatch, Struct } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import type { Applied, ColumnFunction } from "../../topology/column-function.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { batchFromColumns, rowsOf } from "../../types/batches.js";
import { type Columns, type ColumnType, t } from "../../types/columns.js";
import type { TensorArrays, TensorType, VariableTensor } from "../../types/tensor-types.js";
import { checkNumber } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { checkColumn, complete, rowFunction, workOnRows } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type DecodeSettings, type Decoding, decoded, decodeSettings } from "./decode-image.js";
import {
  anyImage,
  type ImageColumn,
  type ImageValue,
  isPixels,
  lanes,
  type RawImage,
  rawPixels,
} from "./image-content.js";
import { resizedPixels } from "./resize-image.js";
import { checkOneOf, type ResizeSettings } from "./resize-settings.js";
import type { RunContext } from "./run-sharp.js";

/** Elements of the tensors that `imageToTensor` makes. */
export type ImageDtype = "float32" | "uint8";

/** Options of `imageToTensor`. See docs/functions/imageToTensor.md. */
export interface ImageToTensorOptions<F extends string, I extends string, D extends ImageDtype = "float32">
  extends StepOptions,
    Omit<DecodeSettings, "resize" | "background">,
    Pick<ResizeSettings, "kernel" | "background"> {
  /** Column with pixels of uint8, or with encoded images. */
  readonly from: F;
  /** Column for the tensors. */
  readonly into: I;
  /** Size of all images, in pixels. With both the tensors have one shape, `t.tensor(dtype, [3, height, width])`; else each has its own. */
  readonly width?: number;
  readonly height?: number;
  /** Make images that size; encoded ones while they are decoded, as `decodeImage` does. Default: those of another size are refused. */
  readonly fit?: "contain" | "cover" | "fill";
  /** `CHW` (default): one channel after another. `HWC`: the channels of a pixel together. */
  readonly layout?: "CHW" | "HWC";
  /** Default `float32`. With `uint8` the numbers stay as they are. */
  readonly dtype?: D;
  /** Each number becomes (number * scale - mean) / std. Default 1/255. */
  readonly scale?: number;
  /** For each channel. Default 0. */
  readonly mean?: readonly number[];
  /** For each channel. Default 1. */
  readonly std?: readonly number[];
}

type Sized<F extends string, I extends string, D extends ImageDtype> = ImageToTensorOptions<F, I, D> & {
  readonly width: number;
  readonly height: number;
};

/** Adds a tensor of each image. `channels` (default `rgb`) says which it must have, and how encoded ones are decoded. `concurrency`: default 2. */
export function imageToTensor<F extends string, I extends string, D extends ImageDtype = "float32">(
  options: Sized<F, I, D>,
): Step<Named<F, ImageColumn>, Named<I, TensorType<TensorArrays[D], FixedSizeList>>>;
export function imageToTensor<F extends string, I extends string, D extends ImageDtype = "float32">(
  options: ImageToTensorOptions<F, I, D> & { readonly width?: never; readonly height?: never },
): Step<Named<F, ImageColumn>, Named<I, TensorType<VariableTensor<D>, Struct>>>;
export function imageToTensor(options: ImageToTensorOptions<string, string, ImageDtype>): unknown {
  return step(imageToTensorFunction(options), options);
}

const CHANNELS = { rgb: 3, rgba: 4, grey: 1 } as const;

interface Settings {
  readonly decoding: Decoding;
  /** Of pixels; encoded images get it while they are decoded. */
  readonly resize: ResizeSettings | undefined;
  readonly size: { readonly width: number; readonly height: number } | undefined;
  readonly channels: number;
  readonly layout: "CHW" | "HWC";
  readonly dtype: ImageDtype;
  /** For each channel: number * factor + offset. */
  readonly factor: readonly number[];
  readonly offset: readonly number[];
  readonly concurrency: number;
}

/** @internal */
export function imageToTensorFunction(options: ImageToTensorOptions<string, string, ImageDtype>): ColumnFunction {
  const { from, into } = options;
  const settings = settingsOf(options);
  return settings.size === undefined
    ? eachItsOwn(from, into, settings)
    : allTheSame(from, into, settings, settings.size);
}

function settingsOf(options: ImageToTensorOptions<string, string, ImageDtype>): Settings {
  const name = "imageToTensor";
  const { width, height, fit, kernel, background, layout = "CHW", dtype = "float32", channels = "rgb" } = options;
  checkOneOf(name, "layout", layout, ["CHW", "HWC"]);
  checkOneOf(name, "dtype", dtype, ["float32", "uint8"]);
  if (fit !== undefined) checkOneOf(name, "fit", fit, ["contain", "cover", "fill"]);
  if ((width === undefined) !== (height === undefined) || (fit !== undefined && width === undefined)) {
    throw new MillraceError("MILL_CONFIG", `${name}: give width and height together; fit needs both.`);
  }
  const size = width === undefined ? undefined : { width, height: height! };
  for (const [side, value] of Object.entries(size ?? {}))
    checkNumber(name, side, value, { min: 1, max: 16_384, whole: true });
  const resize =
    fit === undefined ? undefined : { ...size!, fit, ...(kernel && { kernel }), ...(background && { background }) };
  const decoding = decodeSettings(name, { ...options, background: "#ffffff", channels, ...(resize && { resize }) });
  const count = CHANNELS[channels];
  return {
    ...{ decoding, resize, size, channels: count, layout, dtype, concurrency: lanes(name, options.concurrency) },
    ...numbers(name, options, count),
  };
}

function numbers(
  name: string,
  options: Pick<ImageToTensorOptions<string, string>, "scale" | "mean" | "std"> & { readonly dtype?: ImageDtype },
  channels: number,
) {
  const { scale = 1 / 255, mean = Array(channels).fill(0), std = Array(channels).fill(1) } = options;
  if (options.dtype === "uint8" && [options.scale, options.mean, options.std].some((given) => given !== undefined)) {
    throw new MillraceError(
      "MILL_CONFIG",
      `${name}: scale, mean and std are for float32; with uint8 the numbers stay as they are.`,
    );
  }
  checkNumber(name, "scale", scale, {});
  for (const [option, values] of Object.entries({ mean, std })) {
    if (!Array.isArray(values) || values.length !== channels) {
      throw new MillraceError(
        "MILL_CONFIG",
        `${name}: ${option} has ${values?.length} numbers; give one for each of ${channels} channels.`,
      );
    }
    for (const value of values) checkNumber(name, option, value, {});
  }
  if (std.includes(0))
    throw new MillraceError("MILL_CONFIG", `${name}: a number of std is 0, and cannot be divided by.`);
  const factor = std.map((each: number) => scale / each);
  return { factor, offset: mean.map((each: number, i: number) => -each / std[i]!) };
}

function shapeOf<N extends number | null>({ layout, channels }: Settings, height: N, width: N): (N | number)[] {
  return layout === "CHW" ? [channels, height, width] : [height, width, channels];
}
const dimNames = ({ layout }: Settings) => [...layout];

/** Tensors that differ in size. */
function eachItsOwn(from: string, into: string, settings: Settings): ColumnFunction {
  const { dtype } = settings;
  const to = named(
    into,
    t.tensor(dtype, shapeOf<number | null>(settings, null, null), { dimNames: dimNames(settings) }) as ColumnType,
  );
  return rowFunction({
    name: "imageToTensor",
    reads: { [from]: anyImage },
    to,
    concurrency: settings.concurrency,
    async rows(row, context) {
      const raw = await pixelsOf(row[from] as ImageValue, settings, context);
      const data = dtype === "uint8" ? new Uint8Array(raw.data.length) : new Float32Array(raw.data.length);
      fill(data, 0, raw, settings);
      return [namedValue(to, { data, shape: shapeOf<number>(settings, raw.height, raw.width) })];
    },
  });
}

/** Most elements that a column of one batch can have: Arrow counts them with 32 bits. */
const ELEMENTS_MAX = 2 ** 31 - 1;

/** Tensors of one size: each is written where it belongs in the column. */
function allTheSame(
  from: string,
  into: string,
  settings: Settings,
  { width, height }: { width: number; height: number },
): ColumnFunction {
  const { dtype, channels, concurrency } = settings;
  const to = named(
    into,
    t.tensor(dtype, shapeOf<number>(settings, height, width), { dimNames: dimNames(settings) }) as ColumnType,
  );
  const size = channels * width * height;
  return {
    name: "imageToTensor",
    to,
    check: (operator, input) => checkColumn(operator, "imageToTensor", input, from, anyImage),
    async apply(batch: RecordBatch, columns: Columns, context: OperatorContext): Promise<Applied> {
      const rows = rowsOf({ [from]: columns[from]! }, batch as never);
      if (rows.length * size > ELEMENTS_MAX) {
        const what = `imageToTensor: ${rows.length} tensors of ${size} elements are more than one batch holds`;
        throw new MillraceError("MILL_CONFIG", `${what}. Make the batches smaller where they are read.`);
      }
      const all = dtype === "uint8" ? new Uint8Array(rows.length * size) : new Float32Array(rows.length * size);
      const refused = await workOnRows(rows.length, concurrency, context, async (row) => {
        const raw = await pixelsOf(complete(rows[row]!)[from] as ImageValue, settings, context);
        if (raw.width !== width || raw.height !== height) {
          const found = `${raw.width} x ${raw.height} pixels, and not ${width} x ${height}`;
          throw new MillraceError("MILL_RECORD_INVALID", `it has ${found}. Resize it before, or set fit.`);
        }
        fill(all, row * size, raw, settings);
      });
      const kept = withoutRefused(all, size, rows.length, new Set(refused.map(({ row }) => row)));
      const made = batchFromColumns(to, { [into]: kept.values as never });
      return { batch: made, refused, ...(refused.length > 0 && { from: kept.rows }) };
    },
  };
}

/** Moves what is kept together. */
function withoutRefused(all: Float32Array | Uint8Array, size: number, count: number, refused: ReadonlySet<number>) {
  const rows = Int32Array.from({ length: count }, (_, row) => row).filter((row) => !refused.has(row));
  if (refused.size > 0) for (const [to, row] of rows.entries()) all.copyWithin(to * size, row * size, (row + 1) * size);
  return { rows, values: all.subarray(0, rows.length * size) };
}

async function pixelsOf(value: ImageValue, settings: Settings, context: RunContext): Promise<RawImage> {
  const { decoding, resize, channels } = settings;
  if (!isPixels(value)) return decoded(value, decoding, context);
  const raw = await rawPixels(value, decoding, context);
  if (raw.channels !== channels) {
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `it has ${raw.channels} channels where ${channels} are needed. Decode it with these channels, or say which it has.`,
    );
  }
  const fits = resize === undefined || (raw.width === resize.width && raw.height === resize.height);
  return fits ? raw : resizedPixels(raw, resize, decoding, context);
}

/** Three channels of float32, which nearly all models take, are worth a loop of their own: one pass, and nothing is looked up. */
function fill(
  into: Float32Array | Uint8Array,
  at: number,
  raw: RawImage,
  { layout, factor, offset, channels }: Settings,
): void {
  const { data } = raw;
  const area = raw.width * raw.height;
  if (into instanceof Uint8Array && layout === "HWC") {
    into.set(data, at);
    return;
  }
  if (layout === "CHW" && channels === 3 && into instanceof Float32Array) {
    fillPlanes(into, at, data, area, factor, offset);
    return;
  }
  const [pixelStep, channelStep] = layout === "CHW" ? [1, area] : [channels, 1];
  for (let channel = 0; channel < channels; channel++) {
    const [times, plus] = into instanceof Uint8Array ? [1, 0] : [factor[channel]!, offset[channel]!];
    let to = at + channel * channelStep;
    for (let i = channel; i < data.length; i += channels, to += pixelStep) into[to] = data[i]! * times + plus;
  }
}

function fillPlanes(
  into: Float32Array,
  at: number,
  data: Uint8Array,
  area: number,
  [f0 = 1, f1 = 1, f2 = 1]: readonly number[],
  [o0 = 0, o1 = 0, o2 = 0]: readonly number[],
): void {
  const [second, third] = [at + area, at + 2 * area];
  for (let pixel = 0, i = 0; pixel < area; pixel++, i += 3) {
    into[at + pixel] = data[i]! * f0 + o0;
    into[second + pixel] = data[i + 1]! * f1 + o1;
    into[third + pixel] = data[i + 2]! * f2 + o2;
  }
}
