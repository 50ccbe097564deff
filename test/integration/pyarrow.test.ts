/** Our files in pyarrow: every type of `t` that is an extension type, alone and nested, with its shape and its values. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arrow } from "../../src/connectors/arrow-file.js";
import { parquet } from "../../src/connectors/parquet.js";
import { batchFromRows } from "../../src/types/batches.js";
import { t } from "../../src/types/columns.js";
import { inline } from "../../src/types/content-types.js";
import { packageRoot } from "../servers/find.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";
import { published } from "../unit/connectors/writing.js";

const columns = {
  ref: t.objectRef,
  image: t.image,
  pixels: t.pixels("float32"),
  audio: t.optional(t.audio),
  samples: t.samples(),
  video: t.video,
  document: t.document,
  chw: t.tensor("float32", [3, 1, 2], { dimNames: ["C", "H", "W"], permutation: [1, 2, 0] }),
  half: t.tensor("float16", [2]),
  large: t.tensor("uint64", [1]),
  free: t.tensor("uint8", [null, 2], { dimNames: ["H", "W"] }),
  embedding: t.embedding(2, { metric: "cosine", model: "mini" }),
  pages: t.list(t.image),
  parts: t.struct({ tensor: t.tensor("int16", [2, 1]), maybe: t.optional(t.embedding(1, { metric: "dot" })) }),
  tensors: t.list(t.tensor("int8", [2])),
};

const ref = { uri: "s3://b/k", offset: 1n, sizeBytes: 12n, sha256: "ab", mediaType: "image/png" };
const refRead = { uri: "s3://b/k", offset: 1, sizeBytes: 12, sha256: "ab", mediaType: "image/png" };
const at = { ...ref, bytes: null };
const atRead = { ...refRead, bytes: null };

/** @param n makes rows differ */
function rowOf(n: number) {
  return {
    ref,
    image: inline(Uint8Array.of(n, 255), "image/png"),
    pixels: { ...at, width: 1, height: 1, channels: 3 },
    audio: n === 1 ? null : inline(Uint8Array.of(n), "audio/flac"),
    samples: { ...inline(new Uint8Array(8), ""), sampleRate: 16_000, channels: 2 },
    video: at,
    document: at,
    chw: Float32Array.of(n, 1, 2, 3, 4, 5),
    half: Uint16Array.of(0x3c00, 0xc100),
    large: BigUint64Array.of(BigInt(n)),
    free: { data: Uint8Array.of(1, 2, 3, 4).subarray(0, 2 * n), shape: [n, 2] },
    embedding: Float32Array.of(n, 0.5),
    pages: Array.from({ length: n }, () => at),
    parts: { tensor: Int16Array.of(n, -1), maybe: Float32Array.of(n) },
    tensors: [Int8Array.of(n, -1), Int8Array.of(0, n)],
  };
}

function readOf(n: number): Record<string, unknown> {
  const base64 = (...bytes: number[]) => ({ base64: Buffer.from(bytes).toString("base64") });
  const held = { uri: "", offset: 0, sha256: "" };
  return {
    ref: refRead,
    image: { ...held, sizeBytes: 2, mediaType: "image/png", bytes: base64(n, 255) },
    pixels: { ...atRead, width: 1, height: 1, channels: 3 },
    audio: n === 1 ? null : { ...held, sizeBytes: 1, mediaType: "audio/flac", bytes: base64(n) },
    samples: {
      ...held,
      sizeBytes: 8,
      mediaType: "",
      bytes: base64(0, 0, 0, 0, 0, 0, 0, 0),
      sampleRate: 16_000,
      channels: 2,
    },
    video: atRead,
    document: atRead,
    chw: [n, 1, 2, 3, 4, 5],
    half: [1, -2.5],
    large: [n],
    free: { data: [1, 2, 3, 4].slice(0, 2 * n), shape: [n, 2] },
    embedding: [n, 0.5],
    pages: Array.from({ length: n }, () => atRead),
    parts: { tensor: [n, -1], maybe: [n] },
    tensors: [
      [n, -1],
      [0, n],
    ],
  };
}

const plain = (type: string, nullable = false) => ({ nullable, type });
const sized = (type: string, size: number) => ({ item: plain(type, true), size });
const refParts = {
  uri: plain("string"),
  offset: plain("int64"),
  sizeBytes: plain("int64"),
  sha256: plain("string"),
  mediaType: plain("string"),
};
const contentParts = { ...refParts, bytes: plain("binary", true) };
const content = (extension: string, metadata: object | null, more = {}) => ({
  nullable: false,
  extension,
  metadata,
  parts: { ...contentParts, ...more },
});
const tensor = (
  of: string,
  shape: number[],
  dim_names: string[] | null = null,
  permutation: number[] | null = null,
) => ({
  nullable: false,
  tensor: { of, shape, dim_names, permutation },
  ...sized(
    of,
    shape.reduce((product, size) => product * size),
  ),
});
const image = content("millrace.image", { form: "encoded" });
const int32 = plain("int32");

const expected: { readonly [C in keyof typeof columns]: unknown } = {
  ref: { nullable: false, extension: "millrace.object_ref", metadata: null, parts: refParts },
  image,
  pixels: content(
    "millrace.image",
    { form: "pixels", dtype: "float32", layout: "HWC" },
    { width: int32, height: int32, channels: int32 },
  ),
  audio: { ...content("millrace.audio", { form: "encoded" }), nullable: true },
  samples: content(
    "millrace.audio",
    { form: "samples", dtype: "float32", layout: "interleaved" },
    { sampleRate: int32, channels: int32 },
  ),
  video: content("millrace.video", {}),
  document: content("millrace.document", {}),
  chw: tensor("float", [3, 1, 2], ["C", "H", "W"], [1, 2, 0]),
  half: tensor("halffloat", [2]),
  large: tensor("uint64", [1]),
  free: {
    nullable: false,
    extension: "arrow.variable_shape_tensor",
    metadata: { uniform_shape: [null, 2], dim_names: ["H", "W"] },
    parts: { data: { nullable: true, item: plain("uint8", true) }, shape: { nullable: true, ...sized("int32", 2) } },
  },
  embedding: {
    nullable: false,
    extension: "millrace.embedding",
    metadata: { dimension: 2, metric: "cosine", model: "mini" },
    ...sized("float", 2),
  },
  pages: { nullable: false, item: image },
  parts: {
    nullable: false,
    parts: {
      tensor: tensor("int16", [2, 1]),
      maybe: {
        nullable: true,
        extension: "millrace.embedding",
        metadata: { dimension: 1, metric: "dot" },
        ...sized("float", 1),
      },
    },
  },
  tensors: { nullable: false, item: tensor("int8", [2]) },
};

describe("connectors: our files in another reader (pyarrow)", () => {
  let python = "";
  let folder = "";

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    python = await pythonFor(this, "test/python/requirements.txt");
    folder = await mkdtemp(join(tmpdir(), "millrace-columns-"));
  });
  after(() => folder && rm(folder, { recursive: true }));

  const sinks = { parquet: parquet("out"), arrow: arrow("out") };
  for (const [kind, sink] of Object.entries(sinks)) {
    it(`${kind}: every column has its type, its metadata, its shape and its values`, async function () {
      this.timeout(60_000);
      const batch = batchFromRows(columns, [rowOf(0), rowOf(1), rowOf(2)]);
      const file = join(folder, `all.${kind}`);
      await writeFile(file, await published(sink, columns, [batch.slice(0, 1), batch.slice(1, 3)]));
      const read = readColumns(file);
      for (const [name, type] of Object.entries(expected)) assert.deepEqual(read.columns[name], type, name);
      assert.deepEqual(read.rows, [readOf(0), readOf(1), readOf(2)]);
    });
  }

  // Not in Parquet: Arrow C++ reads a missing fixed size list there only since apache/arrow#50271 (docs/types.md).
  it("arrow: tensors that are missing are null", async function () {
    this.timeout(60_000);
    const optional = { fixed: t.optional(t.tensor("int32", [2])), free: t.optional(t.tensor("int32", [null])) };
    const there = { fixed: Int32Array.of(1, 2), free: { data: Int32Array.of(3), shape: [1] } };
    const file = join(folder, "missing.arrow");
    await writeFile(
      file,
      await published(arrow("out"), optional, [batchFromRows(optional, [{ fixed: null, free: null }, there])]),
    );
    assert.deepEqual(readColumns(file).rows, [
      { fixed: null, free: null },
      { fixed: [1, 2], free: { data: [3], shape: [1] } },
    ]);
  });

  function readColumns(file: string): { columns: Record<string, unknown>; rows: unknown[] } {
    const script = join(packageRoot(), "test", "python", "read_columns.py");
    const { status, stdout, stderr, error } = spawnSync(python, [script, file], { encoding: "utf8", timeout: 50_000 });
    assert.equal(status, 0, `${stdout}${stderr}${error ?? ""}`);
    return JSON.parse(stdout) as ReturnType<typeof readColumns>;
  }
});
