/** An ONNX model of one `Identity` node, written by hand: a few bytes that the runtime takes for a whole model. */

/** Element types of ONNX, as in its `TensorProto.DataType`. */
const ELEMENT = { float32: 1, int64: 7 } as const;

export interface TinyInput {
  readonly name: string;
  readonly type: keyof typeof ELEMENT;
  /** A name stands for any size. */
  readonly dims: readonly (number | string)[];
}

/** The first input is what the model answers, as `out`; the others are declared and not used. */
export function tinyModel(...inputs: readonly TinyInput[]): Uint8Array {
  const [first] = inputs;
  const node = message(text(1, first!.name), text(2, "out"), text(4, "Identity"));
  const graph = message(
    bytes(1, node),
    text(2, "tiny"),
    ...inputs.map((input) => bytes(11, valueInfo(input))),
    bytes(12, valueInfo({ ...first!, name: "out" })),
  );
  return message(number(1, 8), bytes(7, graph), bytes(8, message(text(1, ""), number(2, 13))));
}

export interface TinyOutput {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** A model that answers the same whatever it is given. */
export function constantModel(input: TinyInput, ...outputs: readonly TinyOutput[]): Uint8Array {
  const graph = message(
    ...outputs.map(({ name }) => bytes(1, message(text(1, `${name}-value`), text(2, name), text(4, "Identity")))),
    text(2, "constant"),
    ...outputs.map(({ name, dims, data }) => {
      const values = new Uint8Array(Float32Array.from(data).buffer);
      const tensor = [...dims.map((dim) => number(1, dim)), number(2, ELEMENT.float32), text(8, `${name}-value`)];
      return bytes(5, message(...tensor, bytes(9, values)));
    }),
    bytes(11, valueInfo(input)),
    ...outputs.map(({ name, dims }) => bytes(12, valueInfo({ name, dims, type: "float32" }))),
  );
  return message(number(1, 8), bytes(7, graph), bytes(8, message(text(1, ""), number(2, 13))));
}

function valueInfo({ name, type, dims }: TinyInput): Uint8Array {
  const shape = message(
    ...dims.map((dim) => bytes(1, typeof dim === "number" ? message(number(1, dim)) : message(text(2, dim)))),
  );
  const tensor = message(number(1, ELEMENT[type]), bytes(2, shape));
  return message(text(1, name), bytes(2, message(bytes(1, tensor))));
}

// Protocol buffers: a field is its number and wire type, then a varint, or a length and as many bytes.

function message(...fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(fields);
}
function number(field: number, value: number): Uint8Array {
  return Buffer.from([...varint(field << 3), ...varint(value)]);
}
function bytes(field: number, value: Uint8Array): Uint8Array {
  return Buffer.from([...varint((field << 3) | 2), ...varint(value.length), ...value]);
}
function text(field: number, value: string): Uint8Array {
  return bytes(field, Buffer.from(value));
}
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
