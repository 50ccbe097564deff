import assert from "node:assert/strict";
import sharp from "sharp";
import { decodeImageFunction } from "../../../../src/functions/images/decode-image.js";
import { resizeImageFunction } from "../../../../src/functions/images/resize-image.js";
import { t } from "../../../../src/types/columns.js";
import { applyTo, contextOf } from "../functions-support.js";
import {
  difference,
  encoded,
  FORMATS,
  from,
  imageColumns,
  imageRow,
  picture,
  pixelColumns,
  pixelRow,
} from "./pictures.js";

const decode = (options: Partial<Parameters<typeof decodeImageFunction>[0]> = {}) =>
  decodeImageFunction({ from: "image", into: "pixels", ...options });
async function one(bytes: Uint8Array, options: Parameters<typeof decode>[0] = {}) {
  const { rows, refused } = await applyTo(decode(options), imageColumns, [imageRow(bytes)]);
  return { pixels: rows[0]?.pixels, refused: refused.get(0) };
}

describe("functions/images/decode-image: encoded images to pixels", () => {
  for (const format of FORMATS) {
    it(`reads ${format}`, async () => {
      const raw = picture();
      const { pixels } = await one(await encoded(format, raw));
      assert.deepEqual([pixels?.width, pixels?.height, pixels?.channels, pixels?.sizeBytes], [64, 48, 3, 9216n]);
      const off = difference(pixels!.bytes!, raw.data);
      assert.ok(off < (format === "png" ? 0.001 : 6), `${off} off`);
    });
  }

  it("takes object references and binary columns too", async () => {
    const bytes = await encoded("png");
    const binary = await applyTo(decode(), { image: t.binary }, [{ image: bytes }]);
    const uri = `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
    const context = contextOf();
    const content = {
      ...context.content,
      bytes: async () => bytes,
      async *stream() {
        yield bytes;
      },
    };
    const ref = { uri, offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "" };
    const referred = await applyTo(decode(), { image: t.objectRef }, [{ image: ref }], { ...context, content });
    assert.deepEqual(binary.rows[0]!.pixels!.bytes, referred.rows[0]!.pixels!.bytes);
  });

  for (const [channels, count] of [
    ["rgb", 3],
    ["rgba", 4],
    ["grey", 1],
  ] as const) {
    it(`makes ${channels} of whatever it is: colour, grey, transparent, 16 bits`, async () => {
      const pictures = [1, 2, 3, 4].map((n) =>
        from(picture(20, 10, n as 1))
          .png()
          .toBuffer(),
      );
      pictures.push(
        sharp(await pictures[3]!)
          .toColourspace("rgb16")
          .png()
          .toBuffer(),
      );
      for (const bytes of await Promise.all(pictures)) {
        const { pixels, refused } = await one(bytes, { channels });
        assert.deepEqual([pixels?.channels, pixels?.sizeBytes], [count, BigInt(200 * count)], refused?.message);
      }
    });
  }

  it("puts the background behind transparent parts", async () => {
    const clear = await sharp({ create: { width: 2, height: 1, channels: 4, background: "#00000000" } })
      .png()
      .toBuffer();
    assert.deepEqual([...(await one(clear)).pixels!.bytes!], Array(6).fill(255));
    assert.deepEqual([...(await one(clear, { background: "#0a141e" })).pixels!.bytes!], [10, 20, 30, 10, 20, 30]);
    assert.equal((await one(clear, { channels: "rgba" })).pixels!.bytes![3], 0);
  });

  it("turns images as their EXIF data says, unless told not to", async () => {
    const turned = await from(picture(8, 4)).jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const size = async (autoOrient: boolean) => {
      const { pixels } = await one(turned, { autoOrient });
      return [pixels!.width, pixels!.height];
    };
    assert.deepEqual(
      [await size(true), await size(false)],
      [
        [4, 8],
        [8, 4],
      ],
    );
  });

  it("takes the first frame of an animation", async () => {
    const frames = [picture(6, 6), { ...picture(6, 6), data: new Uint8Array(108) }].map((raw) =>
      from(raw).png().toBuffer(),
    );
    const animated = await sharp(await Promise.all(frames), { join: { animated: true } })
      .webp({ lossless: true })
      .toBuffer();
    const { pixels } = await one(animated);
    assert.deepEqual([pixels!.width, pixels!.height], [6, 6]);
    assert.deepEqual(pixels!.bytes, picture(6, 6).data);
  });

  it("resize means the same as in resizeImage", async () => {
    const bytes = await encoded("png");
    const resize = { width: 30, height: 30, fit: "contain", background: "#ff0000" } as const;
    const { pixels } = await one(bytes, { resize });
    const { rows } = await applyTo(resizeImageFunction({ from: "image", into: "image", ...resize }), pixelColumns, [
      pixelRow(picture()),
    ]);
    assert.deepEqual([pixels!.width, pixels!.height], [30, 30]);
    assert.ok(difference(pixels!.bytes!, rows[0]!.image!.bytes!) < 1);
    assert.deepEqual([...pixels!.bytes!.subarray(0, 3)], [255, 0, 0]);
  });

  describe("hostile input", () => {
    const refuses = async (
      bytes: Uint8Array,
      code: string,
      message: RegExp,
      options: Parameters<typeof decode>[0] = {},
    ) => {
      const { refused } = await one(bytes, options);
      assert.equal(refused?.code, code, refused?.message);
      assert.match(refused.message, message);
    };

    it("more pixels than allowed are refused by the header (D2)", async () => {
      const bomb = await sharp({ create: { width: 9000, height: 9000, channels: 3, background: "red" } })
        .png()
        .toBuffer();
      await refuses(bomb, "MILL_IMAGE_TOO_LARGE", /more than 40000000 pixels/);
      await refuses(await encoded("png"), "MILL_IMAGE_TOO_LARGE", /more than 3071 pixels/, { pixelsMax: 3071 });
    });

    it("more bytes than allowed are not read", async () => {
      await refuses(await encoded("png"), "MILL_IMAGE_TOO_LARGE", /at most 100 are read/, { bytesMax: 100 });
      const endless = {
        ...contextOf(),
        content: {
          async *stream() {
            for (;;) yield new Uint8Array(1000);
          },
        } as never,
      };
      const ref = { uri: "s3://b/k", offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "" };
      const { refused } = await applyTo(decode(), { image: t.objectRef }, [{ image: ref }], endless);
      assert.equal(refused.get(0)?.code, "MILL_IMAGE_TOO_LARGE");
    });

    it("a file that ends early is refused (D1)", async () => {
      for (const format of FORMATS) {
        const bytes = await encoded(format);
        await refuses(
          bytes.subarray(0, Math.floor(bytes.length * 0.6)),
          "MILL_IMAGE_INVALID",
          /cannot be read as an image/,
        );
      }
      const jpeg = await encoded("jpeg");
      await refuses(jpeg.subarray(0, jpeg.length - 2), "MILL_IMAGE_INVALID", /premature end/);
      await refuses(new Uint8Array(), "MILL_IMAGE_INVALID", /empty/);
    });

    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="5" height="5"/></svg>`;
    it("SVG is refused unless asked for, however it begins (D3)", async () => {
      for (const head of [
        "",
        `<?xml version="1.0"?>\n`,
        " ".repeat(200),
        "RIFF0000WEBPabcdefghijkl",
        "GIF89a-------------------",
      ]) {
        await refuses(Buffer.from(head + svg), "MILL_IMAGE_INVALID", /it is SVG/);
      }
      await refuses(Buffer.from(`P6 ${"a".repeat(30)}${svg}`), "MILL_IMAGE_INVALID", /it is SVG/);
      await refuses(Buffer.from(`\0\0\0\0${svg}`), "MILL_IMAGE_INVALID", /no image/);
      assert.equal((await one(Buffer.from(svg), { svg: true })).pixels?.width, 10);
    });

    it("what is no image is refused, whatever it is called", async () => {
      for (const text of ["hello", "<html></html>", "%PDF-1.7", "#?RADIANCE\n"]) {
        await refuses(Buffer.from(text), "MILL_IMAGE_INVALID", /no image/);
      }
    });

    it("one that takes longer than allowed is refused, and the others go on (S1)", async () => {
      const context = contextOf();
      const clock = {
        ...context.ports.clock,
        after(_: number, fn: () => void) {
          queueMicrotask(fn); // all the time is over at once
          return { cancel() {} };
        },
      };
      const running = applyTo(
        decode({ timeoutMs: 5_000 }),
        imageColumns,
        [imageRow(await encoded("png", picture(3000, 2000)))],
        { ...context, ports: { ...context.ports, clock: clock as never } },
      );
      assert.match((await running).refused.get(0)?.message ?? "", /longer than 5000 ms/);
    });

    it("a cancelled decode ends at once (S1)", async () => {
      const stop = new AbortController();
      const running = applyTo(
        decode(),
        imageColumns,
        [imageRow(await encoded("png", picture(3000, 2000)))],
        contextOf(stop.signal),
      );
      stop.abort(new Error("stopped"));
      await assert.rejects(running, /stopped/);
    });
  });

  it("options that cannot be are refused when the topology is built", () => {
    const bad: Parameters<typeof decode>[0][] = [
      { channels: "cmyk" as never },
      { background: "red" },
      { pixelsMax: 0 },
      { concurrency: 0 },
      { resize: { width: 0, height: 1 } },
      { resize: { width: 1, height: 1, fit: "outside" as never } },
      { resize: { width: 1, height: 1, kernel: "best" as never } },
    ];
    for (const options of bad) assert.throws(() => decode(options), { code: "MILL_CONFIG" }, JSON.stringify(options));
  });
});
