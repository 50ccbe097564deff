/**
 * A handler that calls a model server by the Open Inference Protocol v2 over HTTP: Triton, KServe, MLServer and others.
 *
 * Before an instance may become READY: the server and the model say that they are ready, and where the server describes
 * the model, its tensors are those that the columns become.
 *
 * Not here: batching. A call is one HTTP request with the rows that the instance put together.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { CallContext, Handler, HandlerContext, LoadedHandler } from "../../topology/service.js";
import type { ArrowColumns, Columns } from "../../types/columns.js";
import { checkEndpoint, type Endpoint, type EndpointSettings, openEndpoint } from "./endpoint.js";
import { decodeResponse, encodeRequest, JSON_LENGTH_HEADER } from "./inference-body.js";
import type { Tensor } from "./tensor.js";
import { checkColumn, columnsOf, datatypeOf, type TensorOptions, tensorOf } from "./tensor-columns.js";

/** Settings of `openInference`. See docs/services.md. */
export interface OpenInferenceSpec<I extends Columns, O extends Columns> extends EndpointSettings {
  /** Name of the model on the server. */
  readonly model: string;
  /** Default: the server chooses. */
  readonly version?: string;
  /** Columns that travel otherwise than by their name and type. */
  readonly inputs?: { readonly [K in keyof I]?: TensorOptions };
  readonly outputs?: { readonly [K in keyof O]?: TensorOptions };
  /** Tensors as bytes instead of JSON. Default: if the server lists the extension `binary_tensor_data`, as Triton does. */
  readonly binary?: boolean;
  /** Parameters of every request. */
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  /** Makes the tensors, where columns are not what the model takes. */
  encode?(batch: RecordBatch<ArrowColumns<I>>): readonly Tensor[];
  /** Makes the columns, one row for each of the batch. */
  decode?(
    tensors: ReadonlyMap<string, Tensor>,
    batch: RecordBatch<ArrowColumns<I>>,
    context: CallContext,
  ): RecordBatch<ArrowColumns<O>>;
  /** Time that `load` waits for server and model to become ready, ms. Default 60,000. */
  readonly readyTimeoutMs?: number;
}

/** @throws {MillraceError} `MILL_CONFIG` for a URL that is none, or one that holds a secret */
export function openInference<I extends Columns, O extends Columns>(spec: OpenInferenceSpec<I, O>): Handler<I, O> {
  checkEndpoint("openInference", spec);
  return {
    kind: "open-inference",
    assets: {},
    defaults: { concurrency: 16 },
    async load(context) {
      const columns = new ColumnTensors(spec, context);
      const endpoint = await openEndpoint(spec, context);
      try {
        return await loadModel(spec, context, endpoint, columns);
      } catch (error) {
        await endpoint.close();
        throw error;
      }
    },
  };
}

async function loadModel<I extends Columns, O extends Columns>(
  spec: OpenInferenceSpec<I, O>,
  context: HandlerContext,
  endpoint: Endpoint,
  columns: ColumnTensors<I, O>,
): Promise<LoadedHandler<I, O>> {
  const version = spec.version === undefined ? "" : `/versions/${encodeURIComponent(spec.version)}`;
  const model = `v2/models/${encodeURIComponent(spec.model)}${version}`;
  const server = new Server(endpoint, context, spec.readyTimeoutMs ?? limits.endpointReadyTimeoutMs);
  await server.waitFor("v2/health/ready");
  await server.waitFor(`${model}/ready`);
  const binary = spec.binary ?? (await server.hasBinaryTensors());
  columns.check(await server.describe(model));
  const path = `${model}/infer`;
  return {
    async infer(batch, call) {
      const id = batch.numRows === 1 ? call.rowId(0) : "";
      const request = {
        id,
        parameters: spec.parameters ?? {},
        inputs: columns.encode(batch),
        outputs: columns.outputs,
      };
      const { headers, body } = encodeRequest(request, binary, columns.text);
      const key = id === "" ? {} : { "idempotency-key": id };
      const answer = await endpoint.send({ path, body, headers: { ...headers, ...key } }, call);
      const invalid = (what: string, cause?: unknown) => endpoint.invalid(path, what, cause);
      const tensors = decodeResponse(await endpoint.bytes(answer), answer.header(JSON_LENGTH_HEADER), invalid);
      return columns.decode(tensors, batch, call, invalid);
    },
    unload: () => endpoint.close(),
  };
}

/** What a server says of a model. */
interface ModelDescription {
  readonly inputs?: readonly Named[] | null;
  readonly outputs?: readonly Named[] | null;
}

/** The questions that are put to a server before the first request. */
class Server {
  readonly #bounds;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly context: HandlerContext,
    private readonly readyTimeoutMs: number,
  ) {
    this.#bounds = { signal: context.signal, timeLeftMs: readyTimeoutMs };
  }

  /** Until the path answers with success. @throws {MillraceError} the last refusal, when the time is up or it will not pass */
  async waitFor(path: string): Promise<void> {
    const { clock, signal } = this.context;
    const endMs = clock.monotonicMs() + this.readyTimeoutMs;
    for (;;) {
      try {
        await this.endpoint.bytes(await this.endpoint.send({ path }, this.#bounds));
        return;
      } catch (error) {
        // Triton says 400 for "not ready", as it does for a model that there is not.
        const mayPass = MillraceError.is(error) && (error.retry === "backoff" || error.facts.status === 400);
        if (!mayPass || clock.monotonicMs() + limits.endpointReadyPauseMs > endMs) throw error;
      }
      await clock.sleep(limits.endpointReadyPauseMs, signal);
    }
  }

  async hasBinaryTensors(): Promise<boolean> {
    const about = (await this.#ask("v2")) as { readonly extensions?: unknown } | undefined;
    return Array.isArray(about?.extensions) && about.extensions.includes("binary_tensor_data");
  }

  async describe(model: string): Promise<ModelDescription> {
    return ((await this.#ask(model)) ?? {}) as ModelDescription;
  }

  /** @returns undefined: the server does not answer this question, which it need not */
  async #ask(path: string): Promise<unknown> {
    try {
      return await this.endpoint.json(await this.endpoint.send({ path }, this.#bounds), path);
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_ENDPOINT_REFUSED") return undefined;
      throw error;
    }
  }
}

/** The two ways between columns and tensors, the user's or ours. */
class ColumnTensors<I extends Columns, O extends Columns> {
  readonly #inputs: readonly (readonly [string, Columns[string], TensorOptions])[];
  readonly #outputs: Readonly<Record<string, TensorOptions | undefined>>;
  /** Names of the tensors to ask for; undefined: the user's own function takes what there is. */
  readonly outputs: readonly string[] | undefined;
  /** Names of the BYTES tensors that are text. */
  readonly text: ReadonlySet<string>;

  constructor(
    private readonly spec: OpenInferenceSpec<I, O>,
    private readonly context: HandlerContext,
  ) {
    const { input, output } = context;
    const given = (spec.inputs ?? {}) as Readonly<Record<string, TensorOptions | undefined>>;
    this.#inputs = Object.entries(input).map(([name, type]) => [name, type, given[name] ?? {}] as const);
    this.#outputs = (spec.outputs ?? {}) as Readonly<Record<string, TensorOptions | undefined>>;
    this.outputs =
      spec.decode === undefined ? Object.keys(output).map((name) => this.#outputs[name]?.tensor ?? name) : undefined;
    this.text = new Set(
      this.#inputs.filter(([, type]) => /^(list<)*utf8>*$/.test(type.name)).map(([name, , o]) => o.tensor ?? name),
    );
    if (spec.encode === undefined) for (const [name, type, o] of this.#inputs) checkColumn("input", name, type, o);
    if (spec.decode !== undefined) return;
    for (const [name, type] of Object.entries(output)) checkColumn("output", name, type, this.#outputs[name]);
  }

  /** @throws {MillraceError} `MILL_MODEL_INPUTS` where the server says that the model takes or gives other tensors */
  check(described: ModelDescription): void {
    const { encode, decode, model } = this.spec;
    const [inputs, outputs] = [described.inputs ?? [], described.outputs ?? []];
    if (encode === undefined && inputs.length > 0) {
      const fed = this.#inputs.map(([name, type, o]) => ({ name: o.tensor ?? name, datatype: datatypeOf(type, o) }));
      const fits = fed.length === inputs.length && fed.every((one) => inputs.some((other) => same(one, other)));
      if (!fits) throw this.#otherTensors(`takes ${shown(inputs)}, but the topology feeds ${shown(fed)}`);
    }
    if (decode !== undefined || outputs.length === 0) return;
    const missing = this.outputs?.find((name) => !outputs.some((output) => output.name === name));
    if (missing === undefined) return;
    throw this.#otherTensors(`answers ${shown(outputs)}, but the topology wants "${missing}" of ${model}`);
  }

  #otherTensors(what: string): MillraceError {
    return new MillraceError(
      "MILL_MODEL_INPUTS",
      `service "${this.context.service}": model ${this.spec.model} ${what}. Name and type the tensors in "inputs" and "outputs", or give encode and decode.`,
      { model: this.spec.model, service: this.context.service },
    );
  }

  encode(batch: RecordBatch<ArrowColumns<I>>): readonly Tensor[] {
    return this.spec.encode?.(batch) ?? this.#inputs.map(([name, type, o]) => tensorOf(name, type, batch, o));
  }

  decode(
    tensors: ReadonlyMap<string, Tensor>,
    batch: RecordBatch<ArrowColumns<I>>,
    call: CallContext,
    invalid: (what: string) => MillraceError,
  ): RecordBatch<ArrowColumns<O>> {
    if (this.spec.decode !== undefined) return this.spec.decode(tensors, batch, call);
    return columnsOf(this.context.output as O, this.#outputs, tensors, batch.numRows, invalid);
  }
}

interface Named {
  readonly name: string;
  readonly datatype: string;
}

function same(one: Named, other: Named): boolean {
  return one.name === other.name && one.datatype === other.datatype;
}

function shown(tensors: readonly Named[]): string {
  return tensors.map(({ name, datatype }) => `${name}: ${datatype}`).join("; ");
}
