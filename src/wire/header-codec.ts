/**
 * Compiles the code that reads and writes the headers of one schema: one function each way, which makes or takes the record as a plain
 * object and checks what it reads as `skim.ts` does.
 *
 * avsc's own functions need a look at the bytes before (it trusts their counts), and a copy of the record after (it makes
 * instances of its own classes). For a frame of a few hundred bytes that was three quarters of the time.
 *
 * Invariants:
 *   C1  The bytes are those that avsc writes, and what avsc reads is what is read. Only of a text that is no text (half of a surrogate
 *       pair) avsc makes bytes that are no UTF-8, which nobody may read.
 *   C2  The code is made from our own schemas, with their names as JSON literals: nothing that came in a frame is in it.
 */
import avro, { type Type, type types } from "avsc";
import type { HeaderReader, HeaderWriter } from "./header-bytes.js";

export interface HeaderCodec {
  read(reader: HeaderReader): unknown;
  /** @throws {Misfit} */
  write(writer: HeaderWriter, header: unknown): void;
}

/** What the code refers to by number: symbols, functions of items. */
type Constants = unknown[];

/** @returns undefined: the schema has what no code is made for (a union of several types) */
export function headerCodec(type: Type): HeaderCodec | undefined {
  const constants: Constants = [];
  const [read, write] = [readerOf(type, constants), writerOf(type, "value", constants)];
  if (read === undefined || write === undefined) return undefined;
  return {
    read: compiled(["r"], `return ${read};`, constants) as HeaderCodec["read"],
    write: compiled(["w", "value"], write, constants) as HeaderCodec["write"],
  };
}

function compiled(names: readonly string[], body: string, constants: Constants): unknown {
  return new Function("c", `"use strict"; return (${names.join(", ")}) => { ${body} };`)(constants);
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: "string",
  int: "int",
  long: "bigint",
  float: "float",
  double: "double",
  boolean: "boolean",
  bytes: "blob",
};

/** An expression: the next value of the reader `r`. */
function readerOf(type: Type, constants: Constants): string | undefined {
  if (type instanceof avro.types.RecordType) {
    const fields = type.fields.map((field) => [field.name, readerOf(field.type, constants)] as const);
    if (fields.some(([, value]) => value === undefined)) return undefined;
    return `({ ${fields.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")} })`;
  }
  if (type instanceof avro.types.ArrayType) return readItems("array", type.itemsType, constants);
  if (type instanceof avro.types.MapType) return readItems("map", type.valuesType as Type, constants);
  if (type instanceof avro.types.UnwrappedUnionType) {
    const branches = type.types.map((branch) => readerOf(branch, constants));
    if (!isOptional(type) || branches.includes(undefined)) return undefined;
    return `(r.index(2, "union branch") === 0 ? ${branches[0]} : ${branches[1]})`;
  }
  if (type instanceof avro.types.EnumType) {
    const { symbols } = type;
    return `${constant(symbols, constants)}[r.index(${symbols.length}, "enum symbol")]`;
  }
  if (type instanceof avro.types.FixedType) return `r.fixed(${type.size})`;
  if (type.typeName === "null") return "null";
  const method = PRIMITIVES[type.typeName.replace("abstract:", "")];
  return method && `r.${method}()`;
}

function readItems(method: "array" | "map", item: Type, constants: Constants): string | undefined {
  const read = readerOf(item, constants);
  return read && `r.${method}(${constant(compiled(["r"], `return ${read};`, constants), constants)})`;
}

/** Statements: write `value`, an expression without effects, with the writer `w`. */
function writerOf(type: Type, value: string, constants: Constants): string | undefined {
  if (type instanceof avro.types.RecordType) return writeRecord(type, value, constants);
  if (type instanceof avro.types.ArrayType) return writeItems("array", type.itemsType, value, constants);
  if (type instanceof avro.types.MapType) return writeItems("map", type.valuesType as Type, value, constants);
  if (type instanceof avro.types.UnwrappedUnionType) {
    if (!isOptional(type)) return undefined;
    const none = type.types.findIndex(({ typeName }) => typeName === "null");
    const write = writerOf(type.types[1 - none]!, value, constants);
    return write && `if (${value} === null) { w.size(${none}); } else { w.size(${1 - none}); ${write} }`;
  }
  if (type instanceof avro.types.EnumType) {
    const numbers = new Map(type.symbols.map((symbol, i) => [symbol, i]));
    return `w.symbol(${value}, ${constant(numbers, constants)});`;
  }
  if (type instanceof avro.types.FixedType) return `w.fixed(${value}, ${type.size});`;
  const method = PRIMITIVES[type.typeName.replace("abstract:", "")];
  return method && `w.${method}(${value});`;
}

function writeRecord({ fields }: types.RecordType, value: string, constants: Constants): string | undefined {
  const name = `o${constants.push(null)}`;
  const parts = fields.map((field) => {
    const own = `${name}_${constants.push(null)}`;
    const write = writerOf(field.type, own, constants);
    if (write === undefined) return undefined;
    const given = `const ${own} = ${name}[${JSON.stringify(field.name)}];`;
    const fallback = field.defaultValue();
    if (fallback === undefined) return `${given} ${write}`;
    const bytes = constant(field.type.toBuffer(fallback), constants);
    return `${given} if (${own} === undefined) { w.raw(${bytes}); } else { ${write} }`;
  });
  if (parts.includes(undefined)) return undefined;
  return `const ${name} = w.record(${value}); ${parts.join(" ")}`;
}

function writeItems(method: "array" | "map", item: Type, value: string, constants: Constants): string | undefined {
  const write = writerOf(item, "value", constants);
  return write && `w.${method}(${value}, ${constant(compiled(["w", "value"], write, constants), constants)});`;
}

/** Null and one other. */
function isOptional({ types: branches }: types.UnwrappedUnionType): boolean {
  return branches.length === 2 && branches.filter(({ typeName }) => typeName === "null").length === 1;
}

function constant(value: unknown, constants: Constants): string {
  return `c[${constants.push(value) - 1}]`;
}
