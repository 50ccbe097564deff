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
  const contents = request.inputs.map(({ data }) => (isPieces(data) ? withLengths(data) : bytesOver(data)));
  const json = Buffer.from(
    JSON.stringify({
      ...head({ ...request, parameters: { binary_data_output: true, ...request.parameters } }),
      inputs: request.inputs.map(({ name, datatype, shape }, i) => {
        return { name, datatype, shape, parameters: { binary_data_size: contents[i]!.length } };
      }),
      ...(request.outputs === undefined
        ? {}
        : { outputs: request.outputs.map((name) => ({ name, parameters: { binary_data: true } })) }),
    }),
  );
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
  const inputs = request.inputs.map(({ name, datatype, shape, data }) => {
    const pieces = isPieces(data) ? data : undefined;
    const type = pieces === undefined ? undefined : text.has(name) ? "str" : "base64";
    const values =
      pieces === undefined
        ? numbersText(name, datatype, data as NumberArray)
        : JSON.stringify(pieces.map((piece) => Buffer.from(piece).toString(type === "str" ? "utf8" : "base64")));
    const parameters = type === undefined ? {} : { parameters: { content_type: type } };
    // The values are text already: `JSON.stringify` has no way to write a 64-bit integer.
    return `${JSON.stringify({ name, datatype, shape, ...parameters }).slice(0, -1)},"data":${values}}`;
  });
  const outputs =
    request.outputs === undefined ? "" : `,"outputs":${JSON.stringify(request.outputs.map((name) => ({ name })))}`;
  const start = JSON.stringify(head(request)).slice(0, -1);
  const body = `${start}${start === "{" ? "" : ","}"inputs":[${inputs.join(",")}]${outputs}}`;
  return { headers: { "content-type": "application/json" }, body };
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
  invalid: (what: string, cause?: unknown) => MillraceError,
): Map<string, Tensor> {
  const end = jsonLength === undefined ? body.length : Number(jsonLength);
  if (!Number.isInteger(end) || end < 0 || end > body.length) {
    throw invalid(`its ${JSON_LENGTH_HEADER} is ${jsonLength} and its body has ${body.length} bytes`);
  }
  const outputs = outputsOf(body.subarray(0, end), invalid);
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
  return tensors;
}

function outputsOf(json: Uint8Array, invalid: (what: string, cause?: unknown) => MillraceError): AnsweredTensor[] {
  let answer: { readonly outputs?: unknown };
  const text = Buffer.from(json).toString("utf8");
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch (cause) {
    throw invalid(`it is no JSON and begins with "${text.slice(0, 80).replace(/\s+/g, " ").trim()}"`, cause);
  }
  const { outputs } = answer ?? {};
  if (!Array.isArray(outputs)) throw invalid('it has no list "outputs"');
  for (const output of outputs as Partial<AnsweredTensor>[]) {
    const { name, datatype, shape, parameters } = output ?? {};
    const sized = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0);
    const known = typeof datatype === "string" && (datatype === "BYTES" || isNumberDatatype(datatype));
    const size = parameters?.binary_data_size ?? 0;
    if (typeof name === "string" && sized && known && Number.isInteger(size) && size >= 0) continue;
    throw invalid(`of its outputs one is ${JSON.stringify({ name, datatype, shape, parameters })}`);
  }
  return outputs as AnsweredTensor[];
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
