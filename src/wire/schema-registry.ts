/**
 * The Avro schemas of all frames, by kind and by fingerprint.
 *
 * A kind is the name of a schema's file. Its current schema is `schemas/<kind>.avsc`, or in `control` or `stored` below it;
 * earlier ones are `schemas/history/<kind>.<n>.avsc`, and their frames are read as the current kind.
 *
 * Invariants:
 *   R1  A fingerprint names one schema.
 *   R2  Every earlier schema can be resolved to the current one of its kind: a change that breaks old frames fails here.
 *   R3  Longs are bigint; a union is the bare value of its branch, and one whose branches could be confused is refused.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import avro, { type types as avroTypes, type Type } from "avsc";
import { invariant } from "../base/errors.js";
import { fingerprint } from "./fingerprint.js";
import { type HeaderCodec, headerCodec } from "./header-codec.js";
import { type Shape, shape } from "./shape.js";
import { type Skim, skim } from "./skim.js";

/** One schema of a kind, ready to read its frames. */
export interface SchemaVersion {
  readonly kind: string;
  readonly fingerprint: bigint;
  /** The record, without `payload` where it has one. */
  readonly header: Type;
  /** The current header of the kind: the same, except for an earlier schema, whose frames are read with `resolver`. */
  readonly reader: Type;
  readonly resolver: ReturnType<Type["createResolver"]> | undefined;
  /** The record ends with a field `payload` of type bytes. */
  readonly hasPayload: boolean;
  readonly skim: Skim;
  /** Of a current schema, where code is made for it. */
  readonly codec: HeaderCodec | undefined;
  /** What its frames begin with. */
  readonly prefix: Buffer;
  /** Of the current schema. */
  readonly shape: Shape;
}

interface RecordSchema {
  readonly type: "record";
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: unknown }[];
}

export class SchemaRegistry {
  #current = new Map<string, SchemaVersion>();
  #byFingerprint = new Map<bigint, SchemaVersion>();
  /** By half of the fingerprint, which is found without making a bigint. */
  #byHalf = new Map<number, SchemaVersion[]>();

  /** Reads every schema under `folder` (and its `control`, `stored` and `history`), once, when the process starts. */
  static load(folder: string): SchemaRegistry {
    const registry = new SchemaRegistry();
    for (const { name, text } of ["", "control", "stored"].flatMap((part) => schemaFiles(join(folder, part)))) {
      registry.#addCurrent(name, text);
    }
    for (const { name, text } of schemaFiles(join(folder, "history"))) {
      registry.#addEarlier(name.replace(/\.\d+$/, ""), text);
    }
    return registry;
  }

  get kinds(): string[] {
    return [...this.#current.keys()];
  }

  current(kind: string): SchemaVersion {
    const version = this.#current.get(kind);
    invariant(version !== undefined, `there is a schema for frames of kind "${kind}"`);
    return version;
  }

  byFingerprint(value: bigint): SchemaVersion | undefined {
    return this.#byFingerprint.get(value);
  }

  /** The schema whose prefix the bytes, at least as many, begin with. */
  byPrefix(bytes: Uint8Array): SchemaVersion | undefined {
    return this.#byHalf.get(halfOf(bytes))?.find(({ prefix }) => beginsWith(bytes, prefix));
  }

  #addCurrent(kind: string, text: string): void {
    invariant(!this.#current.has(kind), `kind "${kind}" has one current schema`);
    const version = compile(kind, text);
    this.#current.set(kind, version);
    this.#index(version);
  }

  #addEarlier(kind: string, text: string): void {
    this.#index(compile(kind, text, this.current(kind)));
  }

  #index(version: SchemaVersion): void {
    const other = this.#byFingerprint.get(version.fingerprint);
    invariant(other === undefined, `the schemas of "${version.kind}" and "${other?.kind}" differ (R1)`);
    this.#byFingerprint.set(version.fingerprint, version);
    const half = halfOf(version.prefix);
    this.#byHalf.set(half, [...(this.#byHalf.get(half) ?? []), version]);
  }
}

function halfOf(prefix: Uint8Array): number {
  return prefix[2]! | (prefix[3]! << 8) | (prefix[4]! << 16) | (prefix[5]! << 24);
}

export function beginsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}

function compile(kind: string, text: string, current?: SchemaVersion): SchemaVersion {
  const full = JSON.parse(text) as RecordSchema;
  const hasPayload = full.fields.at(-1)?.name === "payload" && full.fields.at(-1)?.type === "bytes";
  const header = parse(hasPayload ? { ...full, fields: full.fields.slice(0, -1) } : full);
  invariant(current === undefined || current.hasPayload === hasPayload, `schemas of "${kind}" agree on a payload (R2)`);
  const print = fingerprint(JSON.stringify(parse(full).schema()));
  return {
    kind,
    fingerprint: print,
    header,
    reader: current?.header ?? header,
    resolver: current?.header.createResolver(header),
    hasPayload,
    skim: skim(header),
    codec: current === undefined ? headerCodec(header) : undefined,
    prefix: prefixOf(print),
    shape: current?.shape ?? shape(header),
  };
}

/** The marker of the single-object encoding, and the fingerprint. */
function prefixOf(print: bigint): Buffer {
  const prefix = Buffer.from([0xc3, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]);
  prefix.writeBigUInt64LE(print, 2);
  return prefix;
}

const BIGINT_LONG = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer(value: bigint) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => Number(value),
  isValid: (value: unknown) => typeof value === "bigint" && BigInt.asIntN(64, value) === value,
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
}) as avroTypes.LongType;

function parse(schema: RecordSchema): Type {
  return avro.Type.forSchema(schema as unknown as avro.Type, { registry: { long: BIGINT_LONG }, wrapUnions: "never" });
}

function schemaFiles(folder: string): { name: string; text: string }[] {
  return listing(folder)
    .filter((file) => file.endsWith(".avsc"))
    .sort()
    .map((file) => ({ name: file.slice(0, -".avsc".length), text: readFileSync(join(folder, file), "utf8") }));
}

function listing(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** `schemas/` of this package, found from this file upwards: the compiled code may lie at any depth. */
export function packageSchemas(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, "utf8")) as { name?: string };
      if (name === "millrace") return join(folder, "schemas");
    }
    invariant(folder !== dirname(folder), "the package's own package.json is above its code");
  }
}
