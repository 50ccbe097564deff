import assert from "node:assert/strict";
import sharp from "sharp";
import { cropImageFunction } from "../../../../src/functions/images/crop-image.js";
import { encodeImageFunction } from "../../../../src/functions/images/encode-image.js";
import { imageHashFunction } from "../../../../src/functions/images/image-hash.js";
import { imageToTensorFunction } from "../../../../src/functions/images/image-to-tensor.js";
import { resizeImageFunction } from "../../../../src/functions/images/resize-image.js";
import { hammingDistance } from "../../../../src/functions.js";
import { t } from "../../../../src/types/columns.js";
import type { Content, Pixels } from "../../../../src/types/content-types.js";
import { applyTo } from "../functions-support.js";
import { difference, encoded, from, imageColumns, imageRow, picture, pixelColumns, pixelRow } from "./pictures.js";

describe("functions/images/resize-image", () => {
  const resized = async (options: object, raw = picture(40, 20)) => {
    const fn = resizeImageFunction({ from: "image", into: "image", width: 20, height: 20, ...options });
    const { rows, refused } = await applyTo(fn, pixelColumns, [pixelRow(raw)]);
    assert.deepEqual([...refused], []);
    return rows[0]!.image;
  };

  it("contain has borders, cover and fill have none, inside is smaller", async () => {
    const size = ({ width, height }: Pixels) => [width, height];
    const contain = await resized({ background: "#0000ff" });
    assert.deepEqual(size(contain), [20, 20]);
    assert.deepEqual([...contain.bytes!.subarray(0, 3)], [0, 0, 255]);
    for (const fit of ["cover", "fill"]) {
      const each = await resized({ fit, background: "#0000ff" });
      assert.deepEqual([size(each), [...each.bytes!.subarray(0, 3)]], [[20, 20], [...each.bytes!.subarray(0, 3)]]);
      assert.notDeepEqual([...each.bytes!.subarray(0, 3)], [0, 0, 255]);
    }
    assert.deepEqual(size(await resized({ fit: "inside" })), [20, 10]);
  });

  it("channels stay, also where the border has a colour", async () => {
    for (const channels of [1, 3, 4] as const) {
      const { channels: kept, sizeBytes } = await resized({ background: "#ff0000" }, picture(40, 20, channels));
      assert.deepEqual([kept, sizeBytes], [channels, BigInt(400 * channels)]);
    }
  });

  it("takes encoded images, and refuses channels that are none", async () => {
    const fn = resizeImageFunction({ from: "image", into: "image", width: 8, height: 8, fit: "fill" });
    const { rows } = await applyTo(fn, imageColumns, [imageRow(await encoded("jpeg"))]);
    assert.deepEqual([rows[0]!.image.width, rows[0]!.image.height], [8, 8]);
    const five = { ...picture(4, 4), channels: 5, data: new Uint8Array(80) } as never;
    const { refused } = await applyTo(fn, pixelColumns, [pixelRow(five)]);
    assert.match(refused.get(0)?.message ?? "", /5 channels; 1, 3 and 4 are read/);
  });
});

describe("functions/images/crop-image", () => {
  const raw = picture(10, 8);
  const at = (x: number, y: number) => [...raw.data.subarray((y * 10 + x) * 3, (y * 10 + x) * 3 + 3)];
  const shown = (image: Pixels) => [image.width, image.height, ...image.bytes!.subarray(0, 3)];

  it("cuts one box out of all, clipped to the image", async () => {
    const box = { left: 2.4, top: 3, width: 100, height: 2 };
    const fn = cropImageFunction({ from: "image", into: "part", box });
    const { rows } = await applyTo(fn, pixelColumns, [pixelRow(raw)]);
    assert.deepEqual(shown(rows[0]!.part as Pixels), [8, 2, ...at(2, 3)]);
  });

  it("cuts the boxes of a column, each in its place; encoded images are decoded before", async () => {
    const boxType = t.struct({ left: t.int32, top: t.int32, width: t.float64, height: t.float64 });
    const boxes = [
      { left: 0, top: 0, width: 1, height: 1 },
      { left: 9, top: 7, width: 1, height: 1 },
    ];
    const many = cropImageFunction({ from: "image", into: "parts", boxesColumn: "boxes" });
    const columns = { image: t.image, boxes: t.list(boxType) };
    const { rows } = await applyTo(many, columns, [
      { ...imageRow(await encoded("png", raw)), boxes },
      { ...imageRow(await encoded("png", raw)), boxes: [] },
    ]);
    assert.deepEqual(
      rows.map(({ parts }) => (parts as Pixels[]).map(shown)),
      [
        [
          [1, 1, ...at(0, 0)],
          [1, 1, ...at(9, 7)],
        ],
        [],
      ],
    );
    const single = cropImageFunction({ from: "image", into: "part", boxColumn: "box" });
    const {
      rows: [row],
    } = await applyTo(single, { image: t.pixels(), box: boxType }, [{ ...pixelRow(raw), box: boxes[1]! }]);
    assert.deepEqual(shown(row!.part as Pixels), [1, 1, ...at(9, 7)]);
  });

  it("boxes that hold nothing, are no numbers, or are too many together refuse the row", async () => {
    const boxType = t.struct({ left: t.float64, top: t.float64, width: t.float64, height: t.float64 });
    const columns = { image: t.pixels(), boxes: t.list(boxType) };
    const refusal = async (boxes: { left: number; top: number; width: number; height: number }[], options = {}) => {
      const fn = cropImageFunction({ from: "image", into: "parts", boxesColumn: "boxes", ...options });
      return (await applyTo(fn, columns, [{ ...pixelRow(raw), boxes }])).refused.get(0)?.message ?? "";
    };
    const box = { left: 0, top: 0, width: 10, height: 8 };
    assert.match(await refusal([box, { ...box, left: 10 }]), /box 1 .* holds nothing/);
    assert.match(await refusal([{ ...box, width: Number.NaN }]), /holds nothing/);
    assert.match(await refusal([{ ...box, left: -20 }]), /holds nothing/);
    assert.match(await refusal([box, box, box], { boxesMax: 2 }), /3 boxes; at most 2/);
    assert.match(await refusal([box, box, box], { pixelsMax: 200 }), /240 pixels together; at most 200/);
  });

  it("exactly one of box, boxColumn and boxesColumn is given", () => {
    assert.throws(() => cropImageFunction({ from: "image", into: "x" }), { code: "MILL_CONFIG" });
    assert.throws(() => cropImageFunction({ from: "image", into: "x", boxColumn: "a", boxesColumn: "b" }), {
      code: "MILL_CONFIG",
    });
  });
});

describe("functions/images/encode-image", () => {
  for (const format of ["jpeg", "png", "webp", "avif"] as const) {
    it(`writes ${format} that decodes to the same picture`, async () => {
      const fn = encodeImageFunction({ from: "image", into: "image", format });
      const { rows } = await applyTo(fn, pixelColumns, [pixelRow(picture())]);
      const { bytes, mediaType } = rows[0]!.image as Content;
      assert.equal(mediaType, `image/${format}`);
      const back = await sharp(bytes!).removeAlpha().raw().toBuffer();
      assert.ok(difference(back, picture().data) < 6);
    });
  }

  it("quality makes a difference; transparency goes where the format has none; encoded images are transcoded", async () => {
    const size = async (quality: number) => {
      const fn = encodeImageFunction({ from: "image", into: "out", format: "jpeg", quality });
      return (await applyTo(fn, pixelColumns, [pixelRow(picture(200, 200, 4))])).rows[0]!.out.bytes!.length;
    };
    assert.ok((await size(20)) < (await size(95)));
    const fn = encodeImageFunction({ from: "image", into: "out", format: "webp" });
    const { rows } = await applyTo(fn, imageColumns, [imageRow(await encoded("gif"))]);
    assert.equal((await sharp(rows[0]!.out.bytes!).metadata()).format, "webp");
  });
});

describe("functions/images/image-to-tensor", () => {
  const raw = picture(3, 2);
  const [area, at] = [6, (i: number, c: number) => raw.data[i * 3 + c]!];
  const mean = [0.5, 0.25, 0.1];
  const std = [0.5, 2, 0.25];

  it("CHW and HWC, scaled, less the mean, over std", async () => {
    for (const layout of ["CHW", "HWC"] as const) {
      for (const sized of [{ width: 3, height: 2 }, {}]) {
        const fn = imageToTensorFunction({ from: "image", into: "x", layout, mean, std, ...sized });
        const { rows } = await applyTo(fn, pixelColumns, [pixelRow(raw), pixelRow(raw)]);
        const value = rows[1]!.x as Float32Array | { data: Float32Array; shape: number[] };
        const data = value instanceof Float32Array ? value : value.data;
        for (let i = 0; i < area; i++) {
          for (let c = 0; c < 3; c++) {
            const found = data[layout === "CHW" ? c * area + i : i * 3 + c]!;
            assert.ok(Math.abs(found - (at(i, c) / 255 - mean[c]!) / std[c]!) < 1e-5);
          }
        }
        if (!(value instanceof Float32Array))
          assert.deepEqual([...value.shape], layout === "CHW" ? [3, 2, 3] : [2, 3, 3]);
      }
    }
  });

  it("uint8 stays as it is; other channels work, too", async () => {
    const fn = imageToTensorFunction({ from: "image", into: "x", dtype: "uint8", layout: "HWC", width: 3, height: 2 });
    assert.deepEqual((await applyTo(fn, pixelColumns, [pixelRow(raw)])).rows[0]!.x, raw.data);
    const grey = imageToTensorFunction({ from: "image", into: "x", channels: "grey", width: 3, height: 2, scale: 1 });
    const one = picture(3, 2, 1);
    assert.deepEqual(
      [...((await applyTo(grey, pixelColumns, [pixelRow(one)])).rows[0]!.x as Float32Array)],
      [...one.data],
    );
    const planes = imageToTensorFunction({ from: "image", into: "x", dtype: "uint8" });
    const { data } = (await applyTo(planes, pixelColumns, [pixelRow(raw)])).rows[0]!.x as { data: Uint8Array };
    assert.deepEqual([data[0], data[area], data[2 * area]], [...raw.data.subarray(0, 3)]);
  });

  it("rows that do not fit are refused, and the others close up", async () => {
    const fn = imageToTensorFunction({ from: "image", into: "x", dtype: "uint8", layout: "HWC", width: 3, height: 2 });
    const other = { ...raw, data: raw.data.map((value) => value + 1) };
    const {
      rows,
      from: origins,
      refused,
    } = await applyTo(fn, pixelColumns, [
      pixelRow(picture(4, 2)),
      pixelRow(raw),
      pixelRow(picture(3, 2, 1)),
      pixelRow(other),
    ]);
    assert.deepEqual(
      rows.map(({ x }) => x),
      [raw.data, other.data],
    );
    assert.deepEqual(origins, [1, 3]);
    assert.match(refused.get(0)!.message, /4 x 2 pixels, and not 3 x 2/);
    assert.match(refused.get(2)!.message, /1 channels where 3 are needed/);
  });

  it("fit makes them that size, of pixels and of encoded images alike", async () => {
    const fn = imageToTensorFunction({
      from: "image",
      into: "x",
      dtype: "uint8",
      layout: "HWC",
      width: 16,
      height: 16,
      fit: "fill",
    });
    const pixels = (await applyTo(fn, pixelColumns, [pixelRow(picture())])).rows[0]!.x as Uint8Array;
    const images = (await applyTo(fn, imageColumns, [imageRow(await encoded("png"))])).rows[0]!.x as Uint8Array;
    assert.ok(difference(pixels, images) < 1);
  });

  it("options that cannot be are refused when the topology is built", () => {
    for (const options of [
      { width: 3 },
      { fit: "fill" },
      { dtype: "uint8", mean: [0, 0, 0] },
      { mean: [0] },
      { std: [1, 0, 1] },
      { layout: "WHC" },
      { dtype: "float64" },
      { width: 3, height: 3, fit: "inside" },
    ]) {
      const all = { from: "image", into: "x", ...options } as never;
      assert.throws(() => imageToTensorFunction(all), { code: "MILL_CONFIG" }, JSON.stringify(options));
    }
  });
});

describe("functions/images/image-hash", () => {
  const hash = async (bytes: Uint8Array, kind: "dhash" | "phash") => {
    const fn = imageHashFunction({ from: "image", into: "hash", kind });
    return (await applyTo(fn, imageColumns, [imageRow(bytes)])).rows[0]!.hash as bigint;
  };

  for (const kind of ["dhash", "phash"] as const) {
    it(`${kind}: copies of another size, format and quality are near, other pictures are far`, async () => {
      const raw = picture(320, 240);
      const original = await hash(await encoded("png", raw), kind);
      const copies = [
        await from(raw).resize(160, 120).jpeg({ quality: 60 }).toBuffer(),
        await from(raw).webp({ quality: 50 }).toBuffer(),
        await from(raw).modulate({ brightness: 1.1 }).png().toBuffer(),
      ];
      for (const copy of copies) {
        const distance = hammingDistance(original, await hash(copy, kind));
        assert.ok(distance <= 10, `a copy is ${distance} away`);
      }
      const other = await hash(await from(raw).flop().rotate(90).toFormat("png").toBuffer(), kind);
      assert.ok(hammingDistance(original, other) > 16, `another is ${hammingDistance(original, other)} away`);
    });
  }

  it("as binary it is the same bits, and pixels have the hash of their image", async () => {
    const bytes = await encoded("png");
    const number = await hash(bytes, "dhash");
    const fn = imageHashFunction({ from: "image", into: "hash", as: "binary" });
    const { rows } = await applyTo(fn, pixelColumns, [pixelRow(picture())]);
    const binary = rows[0]!.hash as unknown as Uint8Array;
    assert.equal(Buffer.from(binary).readBigInt64BE(), number);
    assert.equal(hammingDistance(binary, binary), 0);
  });

  it("distances count bits, of numbers below zero too, and of one kind only", () => {
    assert.equal(hammingDistance(-1n, 0n), 64);
    assert.equal(hammingDistance(5n, 6n), 2);
    assert.equal(hammingDistance(new Uint8Array([255, 1]), new Uint8Array([0, 0])), 9);
    assert.throws(() => hammingDistance(1n, new Uint8Array(8)), { code: "MILL_RECORD_INVALID" });
  });
});
