/** `cropImage`: parts of images, given by boxes. */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { ColumnFunction } from "../../topology/column-function.js";
import { type Columns, type ColumnType, type ListType, type Row, t } from "../../types/columns.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import { type Accepted, rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type DecodeSettings, type Decoding, decoded, decodeSettings } from "./decode-image.js";
import {
  anyImage,
  type ImageColumn,
  type ImageValue,
  isPixels,
  lanes,
  type PixelsType,
  pixelsValue,
  type RawImage,
  rawPixels,
  tooLarge,
} from "./image-content.js";
import type { RunContext } from "./run-sharp.js";

/** A part of an image, in pixels from its left upper corner. Fractions are rounded outwards; what lies outside of the image is cut off. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

interface CropSettings<F extends string, I extends string> extends StepOptions, Omit<DecodeSettings, "resize"> {
  /** Column with pixels of uint8, or with encoded images. */
  readonly from: F;
  /** Column for the pixels; with a list of boxes, a list of them, one for each box. */
  readonly into: I;
}
/** Options of `cropImage` with one box for all images. See docs/functions/cropImage.md. */
export interface CropImageOptions<F extends string, I extends string> extends CropSettings<F, I> {
  /** The same for all. */
  readonly box: Box;
}
/** Options of `cropImage` with a box of its own for each image. See docs/functions/cropImage.md. */
export interface CropBoxOptions<F extends string, I extends string, B extends string> extends CropSettings<F, I> {
  /** Column with a box: a struct with the parts left, top, width and height. */
  readonly boxColumn: B;
}
/** Options of `cropImage` with several boxes for each image, a row for each. See docs/functions/cropImage.md. */
export interface CropBoxesOptions<F extends string, I extends string, B extends string> extends CropSettings<F, I> {
  /** Column with a list of boxes. */
  readonly boxesColumn: B;
  /** Boxes of one image. Default 1,000. */
  readonly boxesMax?: number;
}

/** Cuts a part out of each image: the same of all (`box`), one that a column says (`boxColumn`), or many (`boxesColumn`). `concurrency`: default 2. */
export function cropImage<F extends string, I extends string>(
  options: CropImageOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, PixelsType>>;
export function cropImage<F extends string, I extends string, B extends string>(
  options: CropBoxOptions<F, I, B>,
): Step<Named<F, ImageColumn> & Named<B, ColumnType<Box>>, Named<I, PixelsType>>;
export function cropImage<F extends string, I extends string, B extends string>(
  options: CropBoxesOptions<F, I, B>,
): Step<Named<F, ImageColumn> & Named<B, ColumnType<Box[]>>, Named<I, ListType<PixelsType>>>;
export function cropImage(options: AnyOptions): unknown {
  return step(cropImageFunction(options), options);
}

type AnyOptions = CropSettings<string, string> & {
  readonly box?: Box;
  readonly boxColumn?: string;
  readonly boxesColumn?: string;
  readonly boxesMax?: number;
};

const SIDES = ["left", "top", "width", "height"] as const;
const NUMBERS: ReadonlySet<string> = new Set([t.int32.name, t.float32.name, t.float64.name]);
const isBox = ({ columns }: ColumnType) => SIDES.every((side) => NUMBERS.has(columns?.[side]?.name ?? ""));
const oneBox: Accepted = { says: "a struct of the numbers left, top, width and height", fits: isBox };
const manyBoxes: Accepted = {
  says: "a list of structs of the numbers left, top, width and height",
  fits: ({ item }) => item !== undefined && isBox(item),
};

/** @internal */
export function cropImageFunction(options: AnyOptions): ColumnFunction {
  const { from, into, box, boxColumn, boxesColumn, boxesMax = limits.imageCropsMax } = options;
  const column = boxesColumn ?? boxColumn;
  if ([box, boxColumn, boxesColumn].filter((given) => given !== undefined).length !== 1) {
    throw new MillraceError("MILL_CONFIG", "cropImage: give one of box, boxColumn and boxesColumn.");
  }
  if (box !== undefined) for (const side of SIDES) checkNumber("cropImage", `box.${side}`, box[side], {});
  checkNumber("cropImage", "boxesMax", boxesMax, { min: 1, whole: true });
  const settings = decodeSettings("cropImage", options);
  const many = boxesColumn !== undefined;
  const to: Columns = many ? named(into, t.list(t.pixels("uint8"))) : named(into, t.pixels("uint8"));
  return rowFunction<Columns>({
    name: "cropImage",
    reads: { [from]: anyImage, ...(column !== undefined && { [column]: many ? manyBoxes : oneBox }) },
    to,
    concurrency: lanes("cropImage", options.concurrency),
    async rows(row, context) {
      const said = column === undefined ? box : row[column];
      const boxes = (many ? said : [said]) as readonly Box[];
      if (boxes.length > boxesMax) throw tooLarge(`it has ${boxes.length} boxes; at most ${boxesMax} are cut out`);
      const raw = await pixelsOf(row[from] as ImageValue, settings, context);
      const parts = crops(raw, boxes, settings.pixelsMax).map(pixelsValue);
      return [{ [into]: many ? parts : parts[0] } as Row<Columns>];
    },
  });
}

async function pixelsOf(value: ImageValue, settings: Decoding, context: RunContext): Promise<RawImage> {
  return isPixels(value) ? rawPixels(value, settings, context) : decoded(value, settings, context);
}

/** @internal @param pixelsMax of all parts together: many boxes may overlap */
export function crops(image: RawImage, boxes: readonly Box[], pixelsMax: number): RawImage[] {
  const inside = boxes.map((box, i) => within(image, box, i));
  const pixels = inside.reduce((sum, { width, height }) => sum + width * height, 0);
  if (pixels > pixelsMax)
    throw tooLarge(`its ${boxes.length} parts have ${pixels} pixels together; at most ${pixelsMax} are cut out`);
  return inside.map((box) => cut(image, box));
}

function within({ width, height }: RawImage, box: Box, number: number): Box {
  const left = Math.max(0, Math.floor(box.left));
  const top = Math.max(0, Math.floor(box.top));
  const right = Math.min(width, Math.ceil(box.left + box.width));
  const bottom = Math.min(height, Math.ceil(box.top + box.height));
  // Also where a side is no number.
  if (right > left && bottom > top) return { left, top, width: right - left, height: bottom - top };
  throw new MillraceError(
    "MILL_RECORD_INVALID",
    `box ${number} (left ${box.left}, top ${box.top}, width ${box.width}, height ${box.height}) holds nothing of an image of ${width} x ${height} pixels. Leave it out before.`,
  );
}

function cut({ data, width, channels }: RawImage, box: Box): RawImage {
  const rowBytes = box.width * channels;
  const part = new Uint8Array(rowBytes * box.height);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.top + y) * width + box.left) * channels;
    part.set(data.subarray(from, from + rowBytes), y * rowBytes);
  }
  return { data: part, width: box.width, height: box.height, channels };
}
