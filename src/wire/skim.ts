/**
 * Walks over the Avro binary encoding of a schema without building anything, and refuses what is not one.
 *
 * avsc trusts the counts and lengths it reads: an array that claims 2^60 items makes it allocate until the process
 * dies. So every frame is skimmed first.
 *
 * Invariants:
 *   K1  Nothing is read past `end`, and nothing is allocated.
 *   K2  The work is bounded by the bytes there are: a block that claims more items than bytes are left is refused,
 *       so an array of items that take no bytes (null) cannot be sent.
 *   K3  What passes is decoded by avsc without an error: ints have 32 bits, longs 64, strings are UTF-8.
 */
import { isUtf8 } from "node:buffer";
import avro, { type Type } from "avsc";

/** What is wrong with the bytes, for the message of the error that the frame codec makes of it. */
export class Malformed extends Error {}

export class Cursor {
  constructor(
    readonly bytes: Uint8Array,
    public position: number,
    readonly end: number,
  ) {}

  /** Steps over `length` bytes and returns where they begin. */
  take(length: number): number {
    const start = this.position;
    if (length < 0 || length > this.end - start) {
      throw new Malformed(`a value of ${length} bytes at byte ${start}, where ${this.end - start} are left`);
    }
    this.position = start + length;
    return start;
  }

  /** A zigzag number, exact up to 2^53 and close enough above: more than that is only ever compared with a bound. */
  long(): number {
    const first = this.position;
    const only = this.bytes[first];
    if (only !== undefined && only < 0x80 && first < this.end) {
      this.position = first + 1;
      return only % 2 === 0 ? only / 2 : -(only + 1) / 2;
    }
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.take(1)]!;
      if (this.position - first === 10 && byte > 1)
        throw new Malformed(`a number of more than 64 bits at byte ${first}`);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

export type Skim = (cursor: Cursor) => void;

const string: Skim = (cursor) => {
  const length = cursor.long();
  const at = cursor.take(length);
  if (!isUtf8(cursor.bytes.subarray(at, at + length))) throw new Malformed(`a string that is not UTF-8 at byte ${at}`);
};

const PRIMITIVES: Readonly<Record<string, Skim>> = {
  null: () => {},
  boolean: (cursor) => {
    const at = cursor.take(1);
    if (cursor.bytes[at]! > 1) throw new Malformed(`a boolean of ${cursor.bytes[at]} at byte ${at}`);
  },
  int: (cursor) => {
    const at = cursor.position;
    const value = cursor.long();
    if (value < -(2 ** 31) || value >= 2 ** 31) throw new Malformed(`an int of more than 32 bits at byte ${at}`);
  },
  long: (cursor) => void cursor.long(),
  float: (cursor) => void cursor.take(4),
  double: (cursor) => void cursor.take(8),
  bytes: (cursor) => void cursor.take(cursor.long()),
  string,
};

/** Compiles the walk for `type`, which must not be recursive. */
export function skim(type: Type): Skim {
  if (type instanceof avro.types.RecordType) {
    const fields = type.fields.map((field) => skim(field.type));
    return (cursor) => {
      for (const field of fields) field(cursor);
    };
  }
  if (type instanceof avro.types.ArrayType) return blocks(skim(type.itemsType));
  if (type instanceof avro.types.MapType) {
    const value = skim(type.valuesType as Type);
    return blocks((cursor) => {
      string(cursor);
      value(cursor);
    });
  }
  if (type instanceof avro.types.UnwrappedUnionType) {
    const branches = type.types.map(skim);
    return (cursor) => branches[index(cursor, branches.length, "union branch")]!(cursor);
  }
  if (type instanceof avro.types.EnumType) {
    const count = type.symbols.length;
    return (cursor) => void index(cursor, count, "enum symbol");
  }
  if (type instanceof avro.types.FixedType) return (cursor) => void cursor.take(type.size);
  const primitive = PRIMITIVES[type.typeName.replace("abstract:", "")];
  if (primitive === undefined) throw new Error(`no frame may hold an Avro ${type.typeName}`);
  return primitive;
}

function index(cursor: Cursor, count: number, what: string): number {
  const at = cursor.position;
  const value = cursor.long();
  if (value < 0 || value >= count) throw new Malformed(`${what} ${value} of ${count} at byte ${at}`);
  return value;
}

function blocks(item: Skim): Skim {
  return (cursor) => {
    for (;;) {
      const at = cursor.position;
      let count = cursor.long();
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        cursor.long(); // the size of the block in bytes, for readers that skip it whole
      }
      if (count > cursor.end - cursor.position) throw new Malformed(`a block of ${count} items at byte ${at}`);
      while (count-- > 0) item(cursor);
    }
  };
}
