/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import {
  cropImage,
  decodeImage,
  encodeImage,
  fetchContent,
  imageHash,
  imageToTensor,
  resizeImage,
} from "../../../../src/functions.js";
import type { Stream } from "../../../../src/topology/topology.js";
import { t } from "../../../../src/types/columns.js";
import { built, sourceOf } from "../../topology/support.js";

const columns = {
  url: t.utf8,
  image: t.image,
  note: t.optional(t.image),
  sound: t.audio,
  pixels: t.pixels(),
  floats: t.pixels("float32"),
  box: t.struct({ left: t.int32, top: t.int32, width: t.int32, height: t.int32 }),
  boxes: t.list(t.struct({ left: t.int32, top: t.int32, width: t.int32, height: t.int32 })),
  count: t.int32,
};
const onAll = (use: (stream: Stream<typeof columns>) => unknown) => () =>
  void built((job) => void use(job.read(sourceOf(columns))));
const wrong = { code: "MILL_TOPOLOGY_TYPE" };

describe("functions/images: columns that they read and make", () => {
  it("steps follow each other, and TypeScript knows what each has made", () => {
    onAll((stream) => {
      const made = stream
        .pipe(fetchContent({ from: "url", into: "fetched", as: "image" }))
        .pipe(decodeImage({ from: "fetched", into: "large" }))
        .pipe(resizeImage({ from: "large", into: "small", width: 64, height: 64 }))
        .pipe(imageToTensor({ from: "small", into: "tensor", width: 64, height: 64 }))
        .pipe(imageToTensor({ from: "small", into: "any", dtype: "uint8" }))
        .pipe(imageHash({ from: "small", into: "hash" }))
        .pipe(imageHash({ from: "note", into: "bits", as: "binary" }))
        .pipe(cropImage({ from: "large", into: "part", box: { left: 0, top: 0, width: 9, height: 9 } }))
        .pipe(cropImage({ from: "image", into: "parts", boxesColumn: "boxes" }))
        .pipe(cropImage({ from: "image", into: "boxed", boxColumn: "box" }))
        .pipe(encodeImage({ from: "part", into: "thumbnail", format: "webp" }));
      return made.filter((row) => {
        const numbers: [number, number, number] = [row.large.width, row.tensor.length, row.any.shape.length];
        const bytes: (Uint8Array | null)[] = [
          row.fetched.bytes,
          row.bits,
          row.parts[0]!.bytes,
          row.thumbnail.bytes,
          row.any.data,
        ];
        const floats: Float32Array = row.tensor;
        return numbers.length + bytes.length + floats.length > 0 && row.hash > 0n && row.boxed.channels === 3;
      });
    })();
  });

  it("tensors of one size have a type of that shape", () => {
    built((job) => {
      const stream = job.read(sourceOf(columns));
      const { x } = stream.pipe(
        imageToTensor({ from: "pixels", into: "x", width: 5, height: 4, layout: "HWC" }),
      ).columns;
      assert.equal(x.name, t.tensor("float32", [4, 5, 3], { dimNames: ["H", "W", "C"] }).name);
    });
  });

  it("a column of another type is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error a number is no image
      onAll((stream) => stream.pipe(decodeImage({ from: "count", into: "x" }))),
      {
        ...wrong,
        message:
          'operator "decodeImage-1": column "count" is int32, but decodeImage reads an encoded image (t.image), an object reference or binary.',
      },
    );
    assert.throws(
      // @ts-expect-error text is none either
      onAll((stream) => stream.pipe(imageHash({ from: "url", into: "x", id: "hash" }))),
      { ...wrong, message: /operator "hash": column "url" is utf8/ },
    );
    assert.throws(
      // @ts-expect-error one box, and not many
      onAll((stream) => stream.pipe(cropImage({ from: "image", into: "x", boxesColumn: "box" }))),
      { ...wrong, message: /column "box" is .*, but cropImage reads a list of structs/ },
    );
    assert.throws(
      // @ts-expect-error no address
      onAll((stream) => stream.pipe(fetchContent({ from: "count", into: "x" }))),
      { ...wrong, message: /fetchContent reads text/ },
    );
    assert.throws(
      // @ts-expect-error no such column
      onAll((stream) => stream.pipe(resizeImage({ from: "nothing", into: "x", width: 1, height: 1 }))),
      { code: "MILL_TOPOLOGY_COLUMN", message: /resizeImage reads a column "nothing" that the stream lacks/ },
    );
  });

  it("what TypeScript cannot tell apart is refused by the plan", () => {
    assert.throws(
      onAll((stream) => stream.pipe(decodeImage({ from: "sound", into: "x" }))),
      wrong,
    );
    assert.throws(
      onAll((stream) => stream.pipe(decodeImage({ from: "pixels", into: "x" }))),
      wrong,
    );
    assert.throws(
      onAll((stream) => stream.pipe(encodeImage({ from: "floats", into: "x", format: "png" }))),
      wrong,
    );
  });
});
