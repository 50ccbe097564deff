/** One page from file to text in one process, with the time of each stage. What a child of the bare loop does. */
import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import {
  type Crop,
  cropQuad,
  DetectionInput,
  decodeRows,
  findBoxes,
  parseKeys,
  plainText,
  type Recognised,
  RecognitionInput,
  readingOrder,
  widthBatches,
} from "millrace/functions";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { decodeImage, detectionPixels, type Pixels } from "./decode.js";
import type { PageResult } from "./page-result.js";
import { modelFiles } from "./places.js";
import { settings } from "./settings.js";

const STAGES = [
  "decode",
  "detectionInput",
  "detectionRun",
  "boxes",
  "crops",
  "recognitionInput",
  "recognitionRun",
  "ctc",
  "order",
] as const;
export type Stage = (typeof STAGES)[number];
/** Milliseconds by stage. `decode` is waiting time: it runs beside the models on other threads. */
export type StageTimes = Record<Stage, number>;

export function noTimes(): StageTimes {
  return Object.fromEntries(STAGES.map((stage) => [stage, 0])) as StageTimes;
}

export function addTimes(a: StageTimes, b: StageTimes): StageTimes {
  return Object.fromEntries(STAGES.map((stage) => [stage, a[stage] + b[stage]])) as StageTimes;
}

export class BarePages {
  readonly #detectionInput = new DetectionInput();
  readonly #recognitionInput = new RecognitionInput();
  /** Ends when the page that is with the models is done: the input buffers are theirs until then. */
  #modelsFree: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly detector: InferenceSession,
    private readonly recogniser: InferenceSession,
    private readonly keys: readonly string[],
  ) {}

  static async load(threads: number): Promise<BarePages> {
    const files = modelFiles();
    const options: InferenceSession.SessionOptions = {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      logSeverityLevel: 4,
    };
    return new BarePages(
      await InferenceSession.create(files.detection, options),
      await InferenceSession.create(files.recognition, options),
      parseKeys(await readFile(files.keys, "utf8")),
    );
  }

  async read(file: string): Promise<{ result: PageResult; times: StageTimes }> {
    const times = noTimes();
    const mark = stopwatch(times);
    const page = await decodeImage(await readFile(file), {
      maxSide: settings.pageSideMax,
      multiple: 1,
      pixelsMax: settings.pagePixelsMax,
      name: file,
    });
    const small = await detectionPixels(page);
    mark("decode");
    const done = this.#modelsFree.then(() => this.#readDecoded(file, page, small, times));
    this.#modelsFree = done.catch(() => undefined);
    return { result: await done, times };
  }

  async #readDecoded(file: string, page: Pixels, small: Pixels, times: StageTimes): Promise<PageResult> {
    const mark = stopwatch(times);
    const input = this.#detectionInput.prepare(small.data, small.width, small.height);
    mark("detectionInput");
    const map = await run(this.detector, input, [1, 3, small.height, small.width]);
    mark("detectionRun");
    const boxes = findBoxes(map.data, small.width, small.height, page);
    mark("boxes");
    const crops = boxes.map((box) => cropQuad(page, box.quad));
    mark("crops");
    const texts = new Array<Recognised>(crops.length);
    for (const members of widthBatches(crops)) {
      const chosen = members.map((at) => crops[at]!);
      const strip = this.#recognitionInput.prepare(chosen);
      mark("recognitionInput");
      const answer = await run(this.recogniser, strip, dims(chosen));
      mark("recognitionRun");
      const read = decodeRows(answer.data, members.length, answer.dims[1]!, this.keys);
      members.forEach((at, row) => {
        texts[at] = read[row]!;
      });
      mark("ctc");
    }
    const lines = readingOrder(boxes.map((box, at) => ({ quad: box.quad, ...texts[at]! })));
    mark("order");
    return { uri: file, width: page.width, height: page.height, lines, text: plainText(lines) };
  }
}

/** Adds the time since the last call, or since it was made, to a stage. */
function stopwatch(times: StageTimes): (stage: Stage) => void {
  let since = performance.now();
  return (stage) => {
    const now = performance.now();
    times[stage] += now - since;
    since = now;
  };
}

function dims(crops: readonly Crop[]): number[] {
  return [crops.length, 3, crops[0]!.height, crops[0]!.width];
}

async function run(session: InferenceSession, data: Float32Array, shape: number[]) {
  const answers = await session.run({ [session.inputNames[0]!]: new Tensor("float32", data, shape) });
  const answer = answers[session.outputNames[0]!]!;
  return { data: answer.data as Float32Array, dims: answer.dims };
}
