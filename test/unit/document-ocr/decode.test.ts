import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { MillraceError } from "millrace";
import sharp from "sharp";
import { decodeImage, detectionPixels } from "../../../examples/document-ocr/decode.js";
import { pagesFolder } from "../../../examples/document-ocr/places.js";
import { sizeWithin } from "../../../src/functions/ai/text-images/pixels.js";

const OPTIONS = { maxSide: 2_000, multiple: 1, pixelsMax: 64_000_000, name: "scans/page-7.jpg" };

const jpegPage = (): Promise<Buffer> => readFile(join(pagesFolder(), "receipt-02.jpg"));

/** A PNG of zeros, one bit a pixel: 32768 x 32768 is a gigapixel in some 130 kB. */
function blackPng(side: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head[8] = 1;
  const rows = Buffer.alloc((1 + side / 8) * side);
  const start = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = chunk("IDAT", deflateSync(rows, { level: 1 }));
  return Buffer.concat([start, chunk("IHDR", head), data, chunk("IEND", Buffer.alloc(0))]);
}

async function refusal(bytes: Uint8Array, options = OPTIONS): Promise<MillraceError> {
  const error: unknown = await decodeImage(bytes, options).then(
    () => assert.fail("it was decoded"),
    (reason: unknown) => reason,
  );
  assert.ok(MillraceError.is(error), String(error));
  assert.match(error.message, /scans\/page-7\.jpg/, "the message names the file");
  return error;
}

describe("document-ocr/decode: bad images", () => {
  it("refuses a JPEG that ends early, wherever it ends (D1)", async () => {
    const whole = await jpegPage();
    for (const length of [whole.length - 2, Math.floor(whole.length / 2), 700, 100]) {
      const error = await refusal(whole.subarray(0, length));
      assert.equal(error.code, "MILL_IMAGE_INVALID", `at ${length} bytes`);
      assert.match(error.message, /copy or export it again/);
      assert.ok(error.cause instanceof Error, "the decoder's own error is kept");
    }
  });

  it("refuses a PNG that ends early (D1)", async () => {
    const whole = await readFile(join(pagesFolder(), "receipt-01.png"));
    assert.equal((await refusal(whole.subarray(0, whole.length / 2))).code, "MILL_IMAGE_INVALID");
  });

  it("refuses an empty file", async () => {
    const error = await refusal(new Uint8Array(0));
    assert.equal(error.code, "MILL_IMAGE_INVALID");
    assert.match(error.message, /is empty \(0 bytes\)/);
  });

  it("refuses a text file, whatever its name", async () => {
    const error = await refusal(Buffer.from("Dear Sir or Madam,\n"));
    assert.equal(error.code, "MILL_IMAGE_INVALID");
    assert.match(error.message, /is not an image.*Give one of these/);
  });

  it("refuses SVG before any of it is drawn (D3)", async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>x</text></svg>');
    assert.equal((await refusal(svg)).code, "MILL_IMAGE_INVALID");
  });

  it("refuses a PNG that unpacks to a gigapixel, by its header (D2)", async () => {
    const bomb = blackPng(32_768);
    assert.ok(bomb.length < 1_000_000, `${bomb.length} bytes`);
    const error = await refusal(bomb);
    assert.equal(error.code, "MILL_IMAGE_TOO_LARGE");
    assert.match(error.message, /more than 64000000 pixels\. Reduce the image/);
  });

  it("takes the limit from its caller (D2)", async () => {
    assert.equal((await refusal(await jpegPage(), { ...OPTIONS, pixelsMax: 1_000 })).code, "MILL_IMAGE_TOO_LARGE");
  });
});

describe("document-ocr/decode: good images", () => {
  const solid = (channels: 3 | 4, width: number, height: number) =>
    sharp({
      create: { width, height, channels, background: { r: 200, g: 100, b: 50, alpha: channels === 4 ? 0 : 1 } },
    });

  it("gives RGB at the size asked for", async () => {
    const bytes = await solid(3, 300, 100).png().toBuffer();
    const page = await decodeImage(bytes, { ...OPTIONS, maxSide: 150, multiple: 32 });
    assert.deepEqual([page.width, page.height, page.data.length], [160, 64, 160 * 64 * 3]);
    assert.deepEqual([...page.data.subarray(0, 3)], [200, 100, 50]);
  });

  it("lays a transparent image over white, and spreads a grey one over three colours", async () => {
    const clear = await decodeImage(await solid(4, 10, 10).png().toBuffer(), OPTIONS);
    assert.deepEqual([...clear.data.subarray(0, 3)], [255, 255, 255]);
    const grey = await decodeImage(await solid(3, 10, 10).greyscale().png().toBuffer(), OPTIONS);
    assert.equal(grey.data.length, 300);
    assert.equal(grey.data[0], grey.data[2]);
    const deep = await decodeImage(await solid(3, 10, 10).toColourspace("rgb16").png().toBuffer(), OPTIONS);
    assert.deepEqual([deep.data.length, deep.data[0]], [300, 200]);
  });

  it("turns a photo upright by its EXIF orientation", async () => {
    const lying = await solid(3, 60, 20).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const page = await decodeImage(lying, OPTIONS);
    assert.deepEqual([page.width, page.height], [20, 60]);
  });

  it("never enlarges, and rounds to the nearest multiple", () => {
    assert.deepEqual(sizeWithin(1100, 1360, 640, 32), { width: 512, height: 640 });
    assert.deepEqual(sizeWithin(100, 10, 640, 32), { width: 96, height: 32 });
    assert.deepEqual(sizeWithin(33, 41, 2_000, 1), { width: 33, height: 41 });
  });

  it("reduces a page for the detector to sides that are multiples of 32", async () => {
    const page = await decodeImage(await jpegPage(), OPTIONS);
    const small = await detectionPixels(page);
    assert.equal(Math.max(small.width, small.height), 640);
    assert.equal(small.width % 32, 0);
    assert.equal(small.data.length, small.width * small.height * 3);
  });
});
