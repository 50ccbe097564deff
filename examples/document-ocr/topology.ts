/**
 * Page images to text: files -> decode -> detect (service) -> crop -> recognise (service) -> reading order -> Parquet
 * and JSON Lines.
 *
 *     millrace run examples/document-ocr/topology.ts
 *     millrace submit examples/document-ocr/topology.ts
 *
 * Parameters: `input` (pattern of files), `output` (folder or s3:// prefix), `detectors` and `recognisers` (instances).
 */
import { readFile } from "node:fs/promises";
import { batchFromRows, files, jsonl, onnx, parquet, rowsOf, service, t, topology } from "millrace";
import {
  cropQuad,
  decodeRows,
  parseKeys,
  plainText,
  type Quad,
  RecognitionInput,
  readingOrder,
} from "millrace/functions";
import { decodeImage, detectionPixels } from "./decode.js";
import { detector, detectorInput, MODELS, quad } from "./detector.js";
import { settings } from "./settings.js";

const strip = { strip: t.binary, stripWidth: t.int32 };
const reading = { text: t.utf8, confidence: t.float64 };

const recogniser = (instances: number) =>
  service("recogniser", {
    input: strip,
    output: reading,
    instances,
    batch: { rowsMax: settings.recognitionRows, bucketBy: ["stripWidth"] },
    handler: onnx<typeof strip, typeof reading>({
      model: `${MODELS}/ch_PP-OCRv4_rec_infer.onnx`,
      inputs: { x: { type: "float32", dims: [null, 3, 48, null] } },
      assets: { keys: `${MODELS}/ppocr_keys_v1.txt` },
      async prepare(model) {
        const keys = parseKeys(await readFile(model.asset("keys"), "utf8"));
        const input = new RecognitionInput();
        const [outputName] = model.outputNames;
        const height = settings.cropHeight;
        const read = async (strips: readonly Uint8Array[], width: number) => {
          const pixels = input.prepare(strips.map((data) => ({ data, width, height })));
          const x = model.tensor(pixels, [strips.length, 3, height, width]);
          const { data, dims } = (await model.run({ x }))[outputName!]!;
          return decodeRows(data as Float32Array, strips.length, dims[1]!, keys);
        };
        return {
          warm: async () => void (await read([new Uint8Array(320 * height * 3)], 320)),
          async infer(batch) {
            const rows = rowsOf(strip, batch);
            const strips = rows.map((row) => row.strip);
            return batchFromRows(
              reading,
              (await read(strips, rows[0]!.stripWidth)).map(({ text, confidence }) => ({ text, confidence })),
            );
          },
        };
      },
    }),
  });

const decoded = { name: t.utf8, page: t.binary, ...detectorInput };
const cropped = {
  name: t.utf8,
  width: t.int32,
  height: t.int32,
  quads: t.list(t.struct({ quad })),
  strips: t.list(t.struct(strip)),
};
const pageText = {
  name: t.utf8,
  width: t.int32,
  height: t.int32,
  lines: t.list(t.struct({ text: t.utf8, confidence: t.float64, quad })),
  text: t.utf8,
  words: t.int32,
};

export default topology(
  "document-ocr",
  (job) => {
    const output = job.param("output", "millrace-output/document-ocr");
    const pages = job
      .read(files(job.param("input", "examples/document-ocr/pages/*.{png,jpg}")), { id: "pages" })
      .mapRows({ id: "decode", to: decoded, concurrency: 2 }, async ({ name, ref }, { content, signal }) => {
        const page = await decodeImage(await content.bytes(ref, signal), {
          maxSide: settings.pageSideMax,
          multiple: 1,
          pixelsMax: settings.pagePixelsMax,
          name,
        });
        const small = await detectionPixels(page);
        return {
          name,
          page: page.data,
          width: page.width,
          height: page.height,
          pixels: small.data,
          pixelsWidth: small.width,
          pixelsHeight: small.height,
        };
      })
      .infer(detector(Number(job.param("detectors", "2"))), { id: "detect" })
      .mapRows({ id: "crop", to: cropped }, ({ name, width, height, page, quads }) => {
        const cut = quads
          .map(({ quad }) => ({ quad, crop: cropQuad({ data: page, width, height }, quad as unknown as Quad) }))
          // Neighbours of one width travel and are read together; the reading order is found by place, later.
          .sort((a, b) => a.crop.width - b.crop.width);
        return {
          name,
          width,
          height,
          quads: cut.map(({ quad }) => ({ quad })),
          strips: cut.map(({ crop }) => ({ strip: crop.data, stripWidth: crop.width })),
        };
      })
      .inferEach("strips", recogniser(Number(job.param("recognisers", "2"))), { id: "recognise", into: "readings" })
      .mapRows({ id: "order", to: pageText }, ({ name, width, height, quads, readings }) => {
        const lines = readingOrder(
          quads.map(({ quad }, i) => ({
            quad: quad as unknown as Quad,
            text: readings[i]!.text,
            confidence: readings[i]!.confidence,
          })),
        );
        const text = plainText(lines);
        return {
          name,
          width,
          height,
          lines: lines.map((line) => ({ text: line.text, confidence: line.confidence, quad: [...line.quad] })),
          text,
          words: text.split(/\s+/).filter((word) => word !== "").length,
        };
      });
    pages.to(parquet(`${output}/parquet`), { id: "parquet" });
    pages.to(jsonl(`${output}/jsonl`), { id: "jsonl" });
  },
  (params) => ({
    unit: "pages",
    deadLetters: `${params.output ?? "millrace-output/document-ocr"}/dead-letters`,
  }),
);
