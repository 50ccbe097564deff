/**
 * Tensors as the Open Inference Protocol v2 names them: the datatypes, and which array holds the values of each.
 * FP16 and BF16, for which JavaScript has no array, are the bits of each value.
 */

export const DATATYPES = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

export type NumberDatatype = keyof typeof DATATYPES;
/** Datatype of a tensor, by its name in the Open Inference Protocol. */
export type Datatype = NumberDatatype | "BYTES";
export type NumberArray = InstanceType<(typeof DATATYPES)[NumberDatatype]>;

/** A tensor on its way to or from a server of the Open Inference Protocol. */
export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** The first size is the number of rows. */
  readonly shape: readonly number[];
  /** Row by row, without gaps. BYTES: one piece of content for each element. BOOL: 0 or 1. */
  readonly data: NumberArray | readonly Uint8Array[];
}

export function isNumberDatatype(name: string): name is NumberDatatype {
  return Object.hasOwn(DATATYPES, name);
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** @param bytes little-endian, as every machine that Node runs on has them */
export function arrayOver(datatype: NumberDatatype, bytes: Uint8Array): NumberArray {
  const type = DATATYPES[datatype];
  // An array needs its values to begin at a multiple of their size: what does not is copied.
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : Uint8Array.from(bytes);
  return new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / type.BYTES_PER_ELEMENT);
}

export function bytesOver(array: NumberArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
