/**
 * Bodies of the Open Inference Protocol v2 over HTTP: JSON alone, or JSON and then the tensors' bytes one after the other
 * (the binary tensor extension of Triton and KServe: a header tells where the JSON ends, each tensor how long it is).
 *
 * In JSON, content that need not be text goes as base64 and says so in `parameters.content_type`, as MLServer does.
 */
import { MillraceError } from "../../base/errors.js";
import {
  arrayOver,
  bytesOver,
  DATATYPES,
  type Datatype,
  elementsOf,
  isNumberDatatype,
  type NumberArray,
  type NumberDatatype,
  type Tensor,
} from "./tensor.js";

/** Where the JSON ends and the bytes begin. */
export const JSON_LENGTH_HEADER = "inference-header-content-length";

export interface InferenceRequest {
  /** Empty: the server makes one. */
  readonly id: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly inputs: readonly Tensor[];
  /** Tensors to answer with; undefined: all that the model has. */
  readonly outputs: readonly string[] | undefined;
}

export interface EncodedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** @param text names of BYTES inputs that are text */
export function encodeRequest(
  request: InferenceRequest,
  binary: boolean,
  text: ReadonlySet<string> = new Set(),
): EncodedRequest {
  return binary ? encodeBinary(request) : encodeJson(request, text);
}

function head({ id, parameters }: InferenceRequest): Record<string, unknown> {
  return {
    ...(id === "" ? {} : { id }),
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
  };
}

function encodeBinary(request: InferenceRequest): EncodedRequest {
  const { described, contents } = tensorBytes(request.inputs);
  const outputs = request.outputs?.map((name) => ({ name, parameters: { binary_data: true } }));
  const start = head({ ...request, parameters: { binary_data_output: true, ...request.parameters } });
  return withJson({ ...start, inputs: described, ...(outputs === undefined ? {} : { outputs }) }, contents);
}

function tensorBytes(tensors: readonly Tensor[]) {
  const contents = tensors.map(({ data }) => (isPieces(data) ? withLengths(data) : bytesOver(data)));
  const described = tensors.map(({ name, datatype, shape }, i) => {
    return { name, datatype, shape, parameters: { binary_data_size: contents[i]!.length } };
  });
  return { described, contents };
}

/** The JSON, and the bytes behind it. */
function withJson(about: object, contents: readonly Uint8Array[]): EncodedRequest {
  const json = Buffer.from(JSON.stringify(about));
  return {
    headers: { "content-type": "application/octet-stream", [JSON_LENGTH_HEADER]: String(json.length) },
    body: Buffer.concat([json, ...contents]),
  };
}

/** Each piece after its length, four bytes. */
function withLengths(pieces: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const piece of pieces) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(piece.length);
    parts.push(length, piece);
  }
  return Buffer.concat(parts);
}

function encodeJson(request: InferenceRequest, text: ReadonlySet<string>): EncodedRequest {
  const inputs = request.inputs.map((input) => tensorText(input, text));
  const outputs =
    request.outputs === undefined ? "" : `,"outputs":${JSON.stringify(request.outputs.map((name) => ({ name })))}`;
  const start = JSON.stringify(head(request)).slice(0, -1);
  const body = `${start}${start === "{" ? "" : ","}"inputs":[${inputs.join(",")}]${outputs}}`;
  return { headers: { "content-type": "application/json" }, body };
}

function tensorText({ name, datatype, shape, data }: Tensor, text: ReadonlySet<string>): string {
  const pieces = isPieces(data) ? data : undefined;
  const type = pieces === undefined ? undefined : text.has(name) ? "str" : "base64";
  const values =
    pieces === undefined
      ? numbersText(name, datatype, data as NumberArray)
      : JSON.stringify(pieces.map((piece) => Buffer.from(piece).toString(type === "str" ? "utf8" : "base64")));
  const parameters = type === undefined ? {} : { parameters: { content_type: type } };
  // The values are text already: `JSON.stringify` has no way to write a 64-bit integer.
  return `${JSON.stringify({ name, datatype, shape, ...parameters }).slice(0, -1)},"data":${values}}`;
}

function numbersText(name: string, datatype: Datatype, data: NumberArray): string {
  if (datatype === "FP16" || datatype === "BF16") {
    throw new MillraceError("MILL_CONFIG", `tensor "${name}": JSON has no ${datatype}. Use binary: true, or FP32.`);
  }
  if (datatype === "BOOL") return JSON.stringify(Array.from(data as Uint8Array, (value) => value !== 0));
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return `[${data.join(",")}]`;
  if ((data as Float64Array).some((value) => !Number.isFinite(value))) {
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `tensor "${name}": JSON has no NaN and no infinity. Use binary: true.`,
    );
  }
  return `[${Array.from(data as Float64Array, (value) => (Object.is(value, -0) ? "-0" : value)).join(",")}]`;
}

interface AnsweredTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number; readonly content_type?: string };
  readonly data?: readonly unknown[];
}

/**
 * @param jsonLength value of the header that says where the JSON ends; undefined: all of it is JSON
 * @param invalid makes the error for a body that is none of the protocol
 */
export function decodeResponse(
  body: Uint8Array,
  jsonLength: string | undefined,
  invalid: Invalid,
): Map<string, Tensor> {
  return decodeTensors("outputs", body, jsonLength, invalid).tensors;
}

type Invalid = (what: string, cause?: unknown) => MillraceError;

export interface DecodedRequest {
  readonly id: string;
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** Names of the tensors to answer with; undefined: all. */
  readonly outputs: readonly string[] | undefined;
  /** The answer is to be bytes. */
  readonly binary: boolean;
}

/** What a client has sent. Parameters are as in `decodeResponse`. */
export function decodeRequest(body: Uint8Array, jsonLength: string | undefined, invalid: Invalid): DecodedRequest {
  const { head, tensors } = decodeTensors("inputs", body, jsonLength, invalid);
  const outputs = head.outputs as readonly RequestedOutput[] | undefined;
  if (outputs !== undefined && !(Array.isArray(outputs) && outputs.every((one) => typeof one?.name === "string")))
    throw invalid('its "outputs" is no list of tensors with names');
  const asked = (head.parameters as { readonly binary_data_output?: unknown } | undefined)?.binary_data_output === true;
  const binary = asked || outputs?.some(({ parameters }) => parameters?.binary_data === true) === true;
  const id = typeof head.id === "string" ? head.id : "";
  return { id, inputs: tensors, outputs: outputs?.length ? outputs.map(({ name }) => name) : undefined, binary };
}

interface RequestedOutput {
  readonly name: string;
  readonly parameters?: { readonly binary_data?: unknown };
}

export interface InferenceAnswer {
  readonly id: string;
  readonly model: string;
  readonly outputs: readonly Tensor[];
}

/** @param text as of `encodeRequest` */
export function encodeAnswer(
  { id, model, outputs }: InferenceAnswer,
  binary: boolean,
  text: ReadonlySet<string>,
): EncodedRequest {
  const head = { model_name: model, model_version: "1", ...(id === "" ? {} : { id }) };
  if (!binary) {
    const start = JSON.stringify(head).slice(0, -1);
    const body = `${start},"outputs":[${outputs.map((output) => tensorText(output, text)).join(",")}]}`;
    return { headers: { "content-type": "application/json" }, body };
  }
  const { described, contents } = tensorBytes(outputs);
  return withJson({ ...head, outputs: described }, contents);
}

function decodeTensors(
  key: "inputs" | "outputs",
  body: Uint8Array,
  jsonLength: string | undefined,
  invalid: Invalid,
): { readonly head: Readonly<Record<string, unknown>>; readonly tensors: Map<string, Tensor> } {
  const end = jsonLength === undefined ? body.length : Number(jsonLength);
  if (!Number.isInteger(end) || end < 0 || end > body.length) {
    throw invalid(`its ${JSON_LENGTH_HEADER} is ${jsonLength} and its body has ${body.length} bytes`);
  }
  const head = headIn(body.subarray(0, end), invalid);
  const outputs = tensorsIn(key, head, invalid);
  const tensors = new Map<string, Tensor>();
  let at = end;
  for (const output of outputs) {
    const size = output.parameters?.binary_data_size;
    tensors.set(
      output.name,
      size === undefined ? fromJson(output, invalid) : fromBytes(output, body.subarray(at, at + size), size, invalid),
    );
    at += size ?? 0;
  }
  if (at !== body.length) throw invalid(`its tensors have ${at - end} bytes and its body ${body.length - end}`);
  return { head, tensors };
}

function headIn(json: Uint8Array, invalid: Invalid): Readonly<Record<string, unknown>> {
  const text = Buffer.from(json).toString("utf8");
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw invalid(`it is no JSON and begins with "${text.slice(0, 80).replace(/\s+/g, " ").trim()}"`, cause);
  }
}

function tensorsIn(
  key: "inputs" | "outputs",
  head: Readonly<Record<string, unknown>>,
  invalid: Invalid,
): AnsweredTensor[] {
  const tensors = head[key];
  if (!Array.isArray(tensors)) throw invalid(`it has no list "${key}"`);
  for (const output of tensors as Partial<AnsweredTensor>[]) {
    const { name, datatype, shape, parameters } = output ?? {};
    const sized = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0);
    const known = typeof datatype === "string" && (datatype === "BYTES" || isNumberDatatype(datatype));
    const size = parameters?.binary_data_size ?? 0;
    if (typeof name === "string" && sized && known && Number.isInteger(size) && size >= 0) continue;
    throw invalid(`of its ${key} one is ${JSON.stringify({ name, datatype, shape, parameters })}`);
  }
  return tensors as AnsweredTensor[];
}

function fromBytes(
  { name, datatype, shape }: AnsweredTensor,
  bytes: Uint8Array,
  size: number,
  invalid: (what: string) => MillraceError,
): Tensor {
  const count = elementsOf(shape);
  const wrong = () => invalid(`tensor "${name}" (${datatype} [${shape.join(", ")}]) has ${bytes.length} bytes`);
  if (bytes.length !== size) throw wrong();
  if (isNumberDatatype(datatype)) {
    if (bytes.length !== count * DATATYPES[datatype].BYTES_PER_ELEMENT) throw wrong();
    return { name, datatype, shape, data: arrayOver(datatype, bytes) };
  }
  const data: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = view.getUint32(at, true);
    data.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  if (at !== bytes.length || data.length !== count) throw wrong();
  return { name, datatype: "BYTES", shape, data };
}

function fromJson(
  { name, datatype, shape, parameters, data }: AnsweredTensor,
  invalid: (what: string) => MillraceError,
): Tensor {
  // Nested lists are allowed as well as a flat one.
  const values = Array.isArray(data) ? (data.flat(Number.POSITIVE_INFINITY) as unknown[]) : [];
  if (values.length !== elementsOf(shape)) {
    throw invalid(`tensor "${name}" (${datatype} [${shape.join(", ")}]) has ${values.length} values`);
  }
  if (isNumberDatatype(datatype)) return { name, datatype, shape, data: numbersFrom(name, datatype, values, invalid) };
  const encoding = parameters?.content_type === "base64" ? "base64" : "utf8";
  const pieces = values.map((value) => {
    if (typeof value === "string") return Buffer.from(value, encoding);
    throw invalid(`tensor "${name}" (BYTES) has a value that is no string`);
  });
  return { name, datatype: "BYTES", shape, data: pieces };
}

function numbersFrom(
  name: string,
  datatype: NumberDatatype,
  values: readonly unknown[],
  invalid: (what: string) => MillraceError,
): NumberArray {
  const float = datatype === "FP32" || datatype === "FP64";
  for (const value of values) {
    // Some servers write what is no number as null.
    const fits =
      datatype === "BOOL"
        ? typeof value === "boolean" || value === 0 || value === 1
        : float
          ? typeof value === "number" || value === null
          : Number.isSafeInteger(value);
    if (!fits)
      throw invalid(
        `tensor "${name}" (${datatype}) has the value ${JSON.stringify(value)}; a larger integer needs binary: true`,
      );
  }
  if (datatype === "FP16" || datatype === "BF16")
    throw invalid(`tensor "${name}" is ${datatype}, which JSON has not; use binary: true`);
  if (datatype === "INT64") return BigInt64Array.from(values as number[], BigInt);
  if (datatype === "UINT64") return BigUint64Array.from(values as number[], BigInt);
  const numbers = values.map((value) => (value === null ? Number.NaN : Number(value)));
  const array = (DATATYPES[datatype] as typeof Float64Array).from(numbers);
  const other = float ? -1 : numbers.findIndex((value, i) => array[i] !== value);
  if (other < 0) return array;
  throw invalid(`tensor "${name}" (${datatype}) has the value ${numbers[other]}, which is no ${datatype}`);
}

function isPieces(data: Tensor["data"]): data is readonly Uint8Array[] {
  return Array.isArray(data);
}
