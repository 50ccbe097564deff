/**
 * Column types of what has content: images, audio, video, documents. All are one struct, the content columns (an object reference and the
 * bytes, where the value holds them), plus what the form needs; see docs/types.md.
 *
 * A value holds its bytes, or refers to them: then `bytes` is null and `uri` says where they are.
 */
import { Binary, Int32, Int64, Struct, Utf8 } from "apache-arrow";
import {
  type ArrowColumns,
  type Columns,
  type ColumnType,
  type ContentSpec,
  extension,
  extensionOf,
  fieldsOf,
  optionalType,
  primitive,
  type ValueOf,
} from "./column-type.js";

/** A reference to content that is passed by value and fetched when it is first needed. */
export interface ObjectRef {
  /** `file:///folder/page.png` or `s3://bucket/key`. */
  readonly uri: string;
  /** First byte of the content within the object. */
  readonly offset: bigint;
  /** Bytes of the content; -1n: to the object's end. */
  readonly sizeBytes: bigint;
  /** Of the content that the reference denotes, so of its own bytes and no others; lower-case hex, checked when they are read. Empty: not known. */
  readonly sha256: string;
  /** As in `image/png`; empty: not known. */
  readonly mediaType: string;
}

/** Content as a row has it: with its bytes, or as a reference to them. */
export interface Content extends ObjectRef {
  /** null: they are where `uri` says. */
  readonly bytes: Uint8Array | null;
}

/** An image as raw pixels, row by row, the channels of a pixel together. */
export interface Pixels extends Content {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** Audio as raw samples, those of all channels at one time together. */
export interface Samples extends Content {
  /** Samples of one channel in a second. */
  readonly sampleRate: number;
  readonly channels: number;
}

/** A value as a row may give it: content that is somewhere else without its bytes, as an object reference is. */
export type Given<V> = V extends Content
  ? V | (Omit<V, "bytes"> & { readonly bytes?: null })
  : V extends readonly (infer Item)[]
    ? V | readonly Given<Item>[]
    : V;
/** A row as it is given to a batch. */
export type GivenRow<C extends Columns> = { readonly [K in keyof C]: Given<ValueOf<C[K]>> };

const int32 = primitive<number, Int32>("int32", new Int32());
const int64 = primitive<bigint, Int64>("int64", new Int64());
const utf8 = primitive<string, Utf8>("utf8", new Utf8());

const refColumns = { uri: utf8, offset: int64, sizeBytes: int64, sha256: utf8, mediaType: utf8 };

/** Parts of every value that has content. */
export const contentColumns = {
  ...refColumns,
  bytes: optionalType(primitive<Uint8Array, Binary>("binary", new Binary())),
};
const pixelColumns = { ...contentColumns, width: int32, height: int32, channels: int32 };
const sampleColumns = { ...contentColumns, sampleRate: int32, channels: int32 };

export type ContentType<Value, C extends Columns> = ColumnType<Value, Struct<ArrowColumns<C>>> & {
  readonly columns: C;
};

function structOver<Value, C extends Columns>(
  name: string,
  columns: C,
  extensionName: string,
  metadata: string,
  content?: ContentSpec,
): ContentType<Value, C> {
  return {
    ...primitive<Value, Struct<ArrowColumns<C>>>(name, new Struct(fieldsOf(columns))),
    columns,
    metadata: extension(extensionName, metadata),
    ...(content && { content }),
  };
}

const IMAGE = "millrace.image";
const AUDIO = "millrace.audio";
const VIDEO = "millrace.video";
const DOCUMENT = "millrace.document";
const CONTENT: ReadonlySet<string> = new Set([IMAGE, AUDIO, VIDEO, DOCUMENT]);
const ENCODED = '{"form":"encoded"}';

/** Elements of pixels: 0 to 255, or 32-bit floating point numbers. */
export type PixelDtype = "uint8" | "float32";
/** Elements of samples: whole numbers of 16 bits, or 32-bit floating point numbers. */
export type SampleDtype = "int16" | "float32";

const ELEMENT_BYTES = { uint8: 1, int16: 2, float32: 4 } as const;

function encoded(name: string, extensionName: string, metadata: string) {
  return structOver<Content, typeof contentColumns>(name, contentColumns, extensionName, metadata, {
    form: "encoded",
    elementBytes: 1,
  });
}

function pixels(dtype: PixelDtype = "uint8"): ContentType<Pixels, typeof pixelColumns> {
  const metadata = JSON.stringify({ form: "pixels", dtype, layout: "HWC" });
  return structOver(`pixels<${dtype}>`, pixelColumns, IMAGE, metadata, {
    form: "pixels",
    elementBytes: ELEMENT_BYTES[dtype],
  });
}

function samples(dtype: SampleDtype = "float32"): ContentType<Samples, typeof sampleColumns> {
  const metadata = JSON.stringify({ form: "samples", dtype, layout: "interleaved" });
  return structOver(`samples<${dtype}>`, sampleColumns, AUDIO, metadata, {
    form: "samples",
    elementBytes: ELEMENT_BYTES[dtype],
  });
}

/** The part of `t` that has content. */
export const contentTypes = {
  /** Arrow extension type `millrace.object_ref` over a struct; see `ObjectRef`. */
  objectRef: structOver<ObjectRef, typeof refColumns>("object_ref", refColumns, "millrace.object_ref", ""),
  /** An encoded image: PNG, JPEG, WebP and others. */
  image: encoded("image", IMAGE, ENCODED),
  pixels,
  /** Encoded audio: WAV, FLAC, MP3 and others. */
  audio: encoded("audio", AUDIO, ENCODED),
  samples,
  /** Encoded video, mostly by reference. */
  video: encoded("video", VIDEO, "{}"),
  /** Text, PDF, HTML and others, as `mediaType` says. */
  document: encoded("document", DOCUMENT, "{}"),
};

/** Whether values of the type, or of the Arrow field, are content; an object reference alone is none. */
export function isContentType(type: { readonly metadata: ReadonlyMap<string, string> }): boolean {
  return CONTENT.has(extensionOf(type));
}

/** Content that holds its bytes. They are not copied. */
export function inline(bytes: Uint8Array, mediaType: string): Content {
  return { uri: "", offset: 0n, sizeBytes: BigInt(bytes.length), sha256: "", mediaType, bytes };
}
