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
import { MillraceError } from "../../base/errors.js";
import type { ContentAccess } from "../../topology/endpoints.js";
import type { CallContext, Handler, HandlerContext, LoadedHandler } from "../../topology/service.js";
import type { ArrowColumns, Columns } from "../../types/columns.js";
import { outOfMemory, saysOutOfMemory } from "./out-of-memory.js";

/** A model's input as the caller will feed it. `null` in `dims`: any size, so the model must take any. */
export interface ModelInput {
  readonly type: string;
  readonly dims: readonly (number | null)[];
}

/** A loaded ONNX model. */
export interface OnnxSession {
  /**
   * Runs the model. `feeds` and the result are by tensor name; the result's data may be kept.
   * @throws {MillraceError} `MILL_OUT_OF_MEMORY`: let it through, and the instance makes the call again in halves
   */
  run(feeds: Readonly<Record<string, Ort.Tensor>>): Promise<Readonly<Record<string, Ort.Tensor>>>;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

/** The spec's `model`, ready to run, and what else its handler has. */
export interface OnnxModel extends OnnxSession {
  /** The spec's other models, by name. */
  readonly models: Readonly<Record<string, OnnxSession>>;
  /** A tensor over `data`, which is not copied: float32, int32, int64 or uint8, as the array is. */
  tensor(data: Float32Array | Int32Array | BigInt64Array | Uint8Array, dims: readonly number[]): Ort.Tensor;
  asset(name: string): string;
  /** Content of the rows; see `HandlerContext`. */
  readonly content: ContentAccess;
}

/** Settings of `onnx`. See docs/services.md. */
export interface OnnxSpec<I extends Columns, O extends Columns> {
  /** The model file: a path relative to the topology file, or `npm:package/file`. */
  readonly model: string;
  readonly inputs: Readonly<Record<string, ModelInput>>;
  /** Further models of this handler, by name; each has a session in the same instance. Their inputs are not checked. */
  readonly models?: Readonly<Record<string, string>>;
  /** Execution providers in order of preference, each of which must be there. Default `["cpu"]`. */
  readonly providers?: readonly string[];
  /** Threads of one run. Default 1: one process per core is faster than one process on all cores. */
  readonly threads?: number;
  /** Other files that `prepare` needs. */
  readonly assets?: Readonly<Record<string, string>>;
  /** Called once per instance: reads assets, allocates buffers, and returns what is done for each batch. */
  prepare(model: OnnxModel): Promise<OnnxCall<I, O>> | OnnxCall<I, O>;
}

/** What `prepare` of an ONNX model returns: how a batch is answered. */
export interface OnnxCall<I extends Columns, O extends Columns> {
  /** One run of the usual shape. */
  warm(): Promise<void>;
  infer(batch: RecordBatch<ArrowColumns<I>>, context: CallContext): Promise<RecordBatch<ArrowColumns<O>>>;
}

/**
 * A handler that runs an ONNX model in the instance. `prepare` turns rows into tensors and answers into rows.
 *
 * An instance whose model is not there, damaged, or takes other inputs fails with `MILL_MODEL_MISSING`, `MILL_MODEL_CORRUPT` or
 * `MILL_MODEL_INPUTS`; one without a provider that is asked for with `MILL_PROVIDER_MISSING`.
 */
export function onnx<I extends Columns, O extends Columns>(spec: OnnxSpec<I, O>): Handler<I, O> {
  const models = Object.entries(spec.models ?? {}).map(([name, file]) => [assetOf(name), file]);
  return {
    kind: "onnx",
    assets: { ...spec.assets, ...Object.fromEntries(models), model: spec.model },
    load: (context) => loadModels(spec, context),
  };
}

/** Name of the asset that is the further model `name`; no asset of the user's own is called so by chance. */
function assetOf(name: string): string {
  return `model:${name}`;
}

async function loadModels<I extends Columns, O extends Columns>(
  spec: OnnxSpec<I, O>,
  context: HandlerContext,
): Promise<LoadedHandler<I, O>> {
  // Loaded here, in the instance: the runtime's own process never maps the native library.
  const ort = await import("onnxruntime-node");
  const settings = { providers: [...(spec.providers ?? ["cpu"])], threads: spec.threads ?? 1 };
  const sessions: Ort.InferenceSession[] = [];
  const unload = async () => {
    for (const session of sessions.splice(0)) await session.release();
  };
  const open = async (model: string, asset: string) => {
    const session = await createSession(ort, { ...settings, model, path: context.asset(asset) }, context.service);
    sessions.push(session);
    return session;
  };
  try {
    const session = await open(spec.model, "model");
    checkInputs(spec, session);
    const models: Record<string, OnnxSession> = {};
    for (const [name, file] of Object.entries(spec.models ?? {})) {
      models[name] = sessionOf(await open(file, assetOf(name)), file, context.service);
    }
    const call = await spec.prepare({
      ...sessionOf(session, spec.model, context.service),
      models,
      tensor: (data, dims) => new ort.Tensor(data as Float32Array, dims),
      asset: (name) => context.asset(name),
      content: context.content,
    });
    return {
      warm: () => call.warm(),
      infer: (batch, callContext) => call.infer(batch, callContext),
      unload,
    };
  } catch (error) {
    await unload();
    throw error;
  }
}

function sessionOf(session: Ort.InferenceSession, model: string, service: string): OnnxSession {
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds) {
      try {
        return await session.run(feeds);
      } catch (cause) {
        const text = reasonOf(cause);
        throw saysOutOfMemory(text) ? outOfMemory(`model ${model}`, text, service, cause) : cause;
      }
    },
  };
}

interface SessionSettings {
  /** As the topology calls it. */
  readonly model: string;
  readonly path: string;
  readonly providers: readonly string[];
  readonly threads: number;
}

async function createSession(
  ort: typeof Ort,
  { model, path, providers, threads }: SessionSettings,
  service: string,
): Promise<Ort.InferenceSession> {
  checkProviders(ort, model, providers, service);
  try {
    return await ort.InferenceSession.create(path, {
      executionProviders: [...providers],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      logSeverityLevel: 4, // errors are thrown as well; printing them too would say everything twice
    });
  } catch (cause) {
    const text = reasonOf(cause);
    if (saysOutOfMemory(text)) throw outOfMemory(`model ${model}`, text, service, cause);
    if (/backend not found|ExecutionProvider|WebGPU adapter|shared library/i.test(text)) {
      throw providerMissing(model, providers.join(", "), service, text, cause);
    }
    const what = await whatIsWrongWith(path, text);
    throw new MillraceError("MILL_MODEL_CORRUPT", `model ${model} ${what}`, { model, service }, { cause });
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
