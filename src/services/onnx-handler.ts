/**
 * A handler that runs an ONNX model with onnxruntime-node. `session.run` blocks its thread, which is why an instance
 * is a process of its own; sessions here use one thread unless told otherwise, and instances are what scales.
 *
 * What it checks before an instance may become READY: the model file is a model, its provider is there, and its
 * inputs are what the topology says it will be fed. Providers never fall back silently.
 */
import { open } from "node:fs/promises";
import type { RecordBatch } from "apache-arrow";
import type * as Ort from "onnxruntime-node";
import { MillraceError } from "../base/errors.js";
import type { CallContext, Handler, HandlerContext, LoadedHandler } from "../topology/service.js";
import type { ArrowColumns, Columns } from "../types/columns.js";

/** A model's input as the caller will feed it. `null` in `dims`: any size, so the model must take any. */
export interface ModelInput {
  readonly type: string;
  readonly dims: readonly (number | null)[];
}

export interface OnnxModel {
  /** Runs the model. `feeds` and the result are by tensor name; the result's data may be kept. */
  run(feeds: Readonly<Record<string, Ort.Tensor>>): Promise<Readonly<Record<string, Ort.Tensor>>>;
  /** A float32 tensor over `data`, which is not copied. */
  tensor(data: Float32Array, dims: readonly number[]): Ort.Tensor;
  readonly outputNames: readonly string[];
  asset(name: string): string;
}

export interface OnnxSpec<I extends Columns, O extends Columns> {
  /** The model file: a path relative to the topology file, or `npm:package/file`. */
  readonly model: string;
  readonly inputs: Readonly<Record<string, ModelInput>>;
  /** Execution providers in order of preference, each of which must be there. Default `["cpu"]`. */
  readonly providers?: readonly string[];
  /** Threads of one run. Default 1: one process per core is faster than one process on all cores. */
  readonly threads?: number;
  /** Other files that `prepare` needs. */
  readonly assets?: Readonly<Record<string, string>>;
  /** Called once per instance: reads assets, allocates buffers, and returns what is done for each batch. */
  prepare(model: OnnxModel): Promise<OnnxCall<I, O>> | OnnxCall<I, O>;
}

export interface OnnxCall<I extends Columns, O extends Columns> {
  /** One run of the usual shape. */
  warm(): Promise<void>;
  infer(batch: RecordBatch<ArrowColumns<I>>, context: CallContext): Promise<RecordBatch<ArrowColumns<O>>>;
}

export function onnx<I extends Columns, O extends Columns>(spec: OnnxSpec<I, O>): Handler<I, O> {
  return {
    kind: "onnx",
    assets: { ...spec.assets, model: spec.model },
    load: (context) => loadModel(spec, context),
  };
}

async function loadModel<I extends Columns, O extends Columns>(
  spec: OnnxSpec<I, O>,
  context: HandlerContext,
): Promise<LoadedHandler<I, O>> {
  // Loaded here, in the instance: the runtime's own process never maps the native library.
  const ort = await import("onnxruntime-node");
  const session = await createSession(ort, spec, context);
  checkInputs(spec, session);
  const call = await spec.prepare({
    run: (feeds) => session.run(feeds),
    tensor: (data, dims) => new ort.Tensor("float32", data, dims),
    outputNames: session.outputNames,
    asset: (name) => context.asset(name),
  });
  return {
    warm: () => call.warm(),
    infer: (batch, callContext) => call.infer(batch, callContext),
    unload: () => session.release(),
  };
}

async function createSession(
  ort: typeof Ort,
  spec:
    | OnnxSpec<Columns, Columns>
    | { readonly model: string; readonly providers?: readonly string[]; readonly threads?: number },
  context: HandlerContext,
): Promise<Ort.InferenceSession> {
  const providers = [...(spec.providers ?? ["cpu"])];
  checkProviders(ort, spec.model, providers, context.service);
  try {
    return await ort.InferenceSession.create(context.asset("model"), {
      executionProviders: providers,
      intraOpNumThreads: spec.threads ?? 1,
      interOpNumThreads: 1,
      executionMode: "sequential",
      logSeverityLevel: 4, // errors are thrown as well; printing them too would say everything twice
    });
  } catch (cause) {
    const text = reasonOf(cause);
    if (/backend not found|ExecutionProvider|WebGPU adapter|shared library/i.test(text)) {
      throw providerMissing(spec.model, providers.join(", "), context.service, text, cause);
    }
    const facts = { model: spec.model, service: context.service };
    const what = await whatIsWrongWith(context.asset("model"), text);
    throw new MillraceError("MILL_MODEL_CORRUPT", `model ${spec.model} ${what}`, facts, { cause });
  }
}

const LFS_POINTER = "version https://git-lfs.github.com/";

/** What a model file that cannot be loaded is instead, and the next step; for a whole file the runtime's `reason`. */
async function whatIsWrongWith(path: string, reason: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size === 0) return "is empty (0 bytes). Fetch it again.";
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LFS_POINTER.length));
    if (buffer.subarray(0, bytesRead).toString("latin1") === LFS_POINTER) {
      return "is a Git LFS pointer, not the model itself. Fetch the model: git lfs pull";
    }
    return `(${size} bytes) cannot be loaded: ${reason}. Check that the file is a whole ONNX model, and fetch it again.`;
  } finally {
    await file.close();
  }
}

/** The runtime drops a provider that it does not know when it knows another of them; here that is an error. */
function checkProviders(ort: typeof Ort, model: string, providers: readonly string[], service: string): void {
  const known = ort.listSupportedBackends().map((backend) => backend.name);
  const missing = providers.find((provider) => !known.includes(provider));
  if (missing === undefined) return;
  throw providerMissing(model, missing, service, `onnxruntime-node has ${known.join(", ")} here`);
}

function providerMissing(model: string, provider: string, service: string, why: string, cause?: unknown) {
  return new MillraceError(
    "MILL_PROVIDER_MISSING",
    `model ${model}: provider ${provider} is not available on this machine (${why}). Use providers: ["cpu"], or install what it needs.`,
    { model, service },
    { cause },
  );
}

/** The runtime's own words, without the path said before, the places in its source, and line ends. */
function reasonOf(cause: unknown): string {
  const text = (cause instanceof Error ? cause.message : String(cause)).replace(/\s+/g, " ").trim();
  return text
    .replace(/^Load model from .* failed:\s*/, "")
    .replace(/^\/onnxruntime_src\/.*[)>] (?=\w)/, "")
    .replace(/\.$/, "");
}

function checkInputs(
  spec: { readonly model: string; readonly inputs: Readonly<Record<string, ModelInput>> },
  session: Ort.InferenceSession,
): void {
  const found = session.inputMetadata.map((input) => {
    const shape = input.isTensor ? input.shape.map((size) => (typeof size === "number" ? size : null)) : [];
    return { name: input.name, type: input.isTensor ? input.type : "not a tensor", dims: shape };
  });
  const wanted = Object.entries(spec.inputs).map(([name, input]) => ({
    name,
    type: input.type,
    dims: [...input.dims],
  }));
  const fits =
    found.length === wanted.length &&
    wanted.every((input) => {
      const other = found.find((candidate) => candidate.name === input.name);
      return (
        other !== undefined &&
        other.type === input.type &&
        other.dims.length === input.dims.length &&
        other.dims.every((size, i) => size === null || size === input.dims[i])
      );
    });
  if (fits) return;
  const show = (inputs: typeof wanted) =>
    inputs
      .map(({ name, type, dims }) => `${name}: ${type}[${dims.map((size) => size ?? "any").join(", ")}]`)
      .join("; ");
  throw new MillraceError(
    "MILL_MODEL_INPUTS",
    `model ${spec.model} takes ${show(found)}, but the topology feeds ${show(wanted)}. Correct "inputs" and what is fed, or use another model.`,
    { model: spec.model },
  );
}
