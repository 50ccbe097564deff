/**
 * What TypeScript refuses, and what a topology in plain JavaScript meets instead. Each `@ts-expect-error` is a test of the
 * compiler's: where the line below it compiles, this file does not.
 */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { service } from "../../../src/topology/service.js";
import type { Stream, TopologyBuilder } from "../../../src/topology/topology.js";
import { batchFromColumns, batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type ArrowColumns, type ColumnType, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { built, nowhere, pageColumns, pages, serviceOf, sourceOf } from "./support.js";

function onPages(use: (stream: Stream<typeof pageColumns>, job: TopologyBuilder) => void): () => void {
  return () => void built((job) => use(job.read(pages, { id: "pages" }), job));
}

const language = { language: t.utf8 };

describe("topology: a wrong column is refused by TypeScript and by the plan", () => {
  it("select of a column that is not there", () => {
    assert.throws(
      // @ts-expect-error no such column
      onPages((stream) => stream.select("name", "titel")),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message: 'operator "select-1": its input has no column "titel". It has: name, size, lines, note.',
        facts: { operator: "select-1", column: "titel" },
      },
    );
  });

  it("select, and then a column that it dropped", () => {
    assert.throws(
      // @ts-expect-error dropped by the first
      onPages((stream) => stream.select("name").select("size")),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "select-2": its input has no column "size"\. It has: name\./ },
    );
  });

  it("keyBy of a column that is not there", () => {
    assert.throws(
      // @ts-expect-error no such column
      onPages((stream) => stream.keyBy("country")),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "keyBy-1": its input has no column "country"/ },
    );
  });

  it("infer on a stream that lacks a column of the service", () => {
    const needs = serviceOf("reader", { pixels: t.binary }, language);
    assert.throws(
      // @ts-expect-error the stream has no pixels
      onPages((stream) => stream.infer(needs, { id: "read" })),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message:
          'operator "read": service "reader" needs a column that the stream lacks: "pixels". It has: name, size, lines, note.',
      },
    );
  });

  it("infer on a stream that has the column with another type", () => {
    const needs = serviceOf("reader", { size: t.int64 }, language);
    assert.throws(
      // @ts-expect-error size is int32
      onPages((stream) => stream.infer(needs)),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: 'operator "infer-1": column "size" is int32, but int64 is needed by service "reader".',
        facts: { operator: "infer-1", column: "size", found: "int32", needed: "int64" },
      },
    );
  });

  it("infer of a column that may be null, where the service takes none", () => {
    const needs = serviceOf("reader", { note: t.utf8 }, language);
    assert.throws(
      // @ts-expect-error note is optional
      onPages((stream) => stream.infer(needs)),
      { code: "MILL_TOPOLOGY_TYPE", message: /column "note" is utf8\?, but utf8 is needed by service "reader"/ },
    );
  });

  it("inferEach on a column that is not there", () => {
    const needs = serviceOf("reader", { text: t.utf8 }, language);
    assert.throws(
      // @ts-expect-error no such column
      onPages((stream) => stream.inferEach("words", needs, { into: "read" })),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "infer-1": its input has no column "words"/ },
    );
  });

  it("inferEach on a column that is no list of structs", () => {
    const needs = serviceOf("reader", { text: t.utf8 }, language);
    assert.throws(
      // @ts-expect-error name is no list
      onPages((stream) => stream.inferEach("name", needs, { into: "read" })),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: 'operator "infer-1": column "name" is utf8; inferEach needs a list of structs.',
      },
    );
  });

  it("inferEach where the elements lack a column of the service", () => {
    const needs = serviceOf("reader", { strip: t.binary }, language);
    assert.throws(
      // @ts-expect-error lines have text only
      onPages((stream) => stream.inferEach("lines", needs, { into: "read" })),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message:
          'operator "infer-1": service "reader" needs a column that the stream lacks: "lines[].strip". It has: text.',
      },
    );
  });

  it("inferEach where the elements have it with another type", () => {
    const needs = serviceOf("reader", { text: t.binary }, language);
    assert.throws(
      // @ts-expect-error text is utf8
      onPages((stream) => stream.inferEach("lines", needs, { into: "read" })),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: /column "lines\[\]\.text" is utf8, but binary is needed by service "reader"/,
      },
    );
  });

  it("union of streams with different columns", () => {
    assert.throws(
      // @ts-expect-error other columns
      onPages((stream, job) => job.union(stream, job.read(sourceOf({ name: t.utf8 })))),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "union-1": its input has no column "size"\. It has: name\./ },
    );
    assert.throws(
      // @ts-expect-error one column more
      onPages((stream, job) => job.union(stream, job.read(sourceOf({ ...pageColumns, more: t.utf8 })))),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "union-1": its input has no column "more"/ },
    );
  });

  it("union of streams whose column has two types", () => {
    assert.throws(
      // @ts-expect-error size is another type
      onPages((stream, job) => job.union(stream, job.read(sourceOf({ ...pageColumns, size: t.int64 })))),
      { code: "MILL_TOPOLOGY_TYPE", message: 'operator "union-1": column "size" is int64, but int32 is needed.' },
    );
  });

  it("batch.bucketBy of a column that the service does not take", () => {
    const { handler } = serviceOf("reader", { text: t.utf8 }, language);
    assert.throws(
      // @ts-expect-error no such input
      () => service("reader", { input: { text: t.utf8 }, output: language, handler, batch: { bucketBy: ["width"] } }),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message: 'service "reader": batch.bucketBy names "width", which is not a column of its input. It has: text.',
      },
    );
  });
});

describe("topology: columns that are none", () => {
  it("an operator without columns is refused where it is declared", () => {
    assert.throws(
      // @ts-expect-error no `to`
      onPages((stream) => stream.mapRows({ id: "late" }, () => ({}))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "late": it has no columns\. Give \{ to: \{ name: t\.utf8/ },
    );
  });

  it("a column that is no type of `t` is refused and named", () => {
    for (const wrong of ["utf8", undefined, t.list]) {
      const to = { fine: t.utf8, name: wrong as unknown as ColumnType };
      assert.throws(
        onPages((stream) => stream.map({ to }, (batch) => batch as never)),
        {
          code: "MILL_TOPOLOGY_TYPE",
          message: /operator "map-1": column "name" is of no type\. Use one of t: bool, int32/,
        },
      );
    }
  });

  it("a source with such a column is refused too", () => {
    assert.throws(() => built((job) => void job.read(sourceOf({ a: null as unknown as ColumnType }), { id: "in" })), {
      code: "MILL_TOPOLOGY_TYPE",
      message: /operator "in": column "a" is of no type/,
    });
  });

  it("an operator without a function is refused where it is declared", () => {
    assert.throws(
      // @ts-expect-error no function
      onPages((stream) => stream.mapRows({ to: language })),
      { code: "MILL_TOPOLOGY_TYPE", message: 'operator "mapRows-1": its function is undefined; give a function.' },
    );
    assert.throws(
      // @ts-expect-error options first
      onPages((stream) => stream.filter({ id: "keep" }, () => true)),
      { code: "MILL_TOPOLOGY_TYPE", message: /its function is an object; give a function/ },
    );
  });
});

const here = { kind: "declared", assets: {} };

/** Nothing in here runs: it is the compiler that is asked. */
function neverRun(stream: Stream<typeof pageColumns>, batch: RecordBatch<ArrowColumns<typeof pageColumns>>): void {
  const to = { title: t.utf8, pages: t.int64, tags: t.list(t.utf8), place: t.optional(t.struct({ x: t.float64 })) };
  const good = { title: "a", pages: 1n, tags: ["x"], place: null };
  stream.mapRows({ to }, () => good);
  stream.mapRows({ to }, () => ({ ...good, place: { x: 1 } }));
  // @ts-expect-error a row's column that is not there
  stream.mapRows({ to }, ({ titel }) => ({ ...good, title: titel }));
  // @ts-expect-error a number is no utf8
  stream.mapRows({ to }, () => ({ ...good, title: 1 }));
  // @ts-expect-error an int64 is a bigint
  stream.mapRows({ to }, () => ({ ...good, pages: 1 }));
  // @ts-expect-error the elements are of another type
  stream.mapRows({ to }, () => ({ ...good, tags: [1] }));
  // @ts-expect-error null where there are none
  stream.mapRows({ to }, () => ({ ...good, title: null }));
  // @ts-expect-error a part of another type
  stream.mapRows({ to }, () => ({ ...good, place: { x: "1" } }));
  // @ts-expect-error a column is missing
  stream.mapRows({ to }, () => ({ title: "a", pages: 1n, tags: [] }));
  // @ts-expect-error a promise of a wrong row
  stream.mapRows({ to }, async () => ({ ...good, title: 1 }));
  // @ts-expect-error an optional value used as if it were there
  stream.mapRows({ to }, ({ note }) => ({ ...good, title: note.trim() }));

  const media = { page: t.image, crop: t.optional(t.pixels()), clip: t.samples("int16") };
  const tensors = {
    fixed: t.tensor("int64", [2]),
    free: t.tensor("float16", [null, 3]),
    e: t.embedding(2, { metric: "dot" }),
  };
  const page = inline(new Uint8Array(0), "image/png");
  const clip = { ...page, sampleRate: 8_000, channels: 1 };
  const free = { data: new Uint16Array(3), shape: [1, 3] };
  const fixed = { fixed: new BigInt64Array(2), free, e: new Float32Array(2) };
  stream.mapRows({ to: media }, () => ({ page, crop: null, clip }));
  stream.mapRows({ to: tensors }, () => fixed);
  const { bytes: _, ...ref } = page;
  stream.mapRows({ to: media }, () => ({ page: ref, crop: null, clip }));
  stream.flatMap({ to: media }, async () => [{ page: ref, crop: null, clip }]);
  // @ts-expect-error a reference without its address
  stream.mapRows({ to: media }, () => ({ page: { ...ref, uri: undefined }, crop: null, clip }));
  // @ts-expect-error bytes alone are no content
  stream.mapRows({ to: media }, () => ({ page: new Uint8Array(0), crop: null, clip }));
  // @ts-expect-error pixels without their width
  stream.mapRows({ to: media }, () => ({ page, crop: page, clip }));
  // @ts-expect-error elements of another type
  stream.mapRows({ to: tensors }, () => ({ ...fixed, fixed: new Int32Array(2) }));
  // @ts-expect-error sizes vary, so they must be given
  stream.mapRows({ to: tensors }, () => ({ ...fixed, free: free.data }));
  // @ts-expect-error an embedding has single floats
  batchFromColumns(tensors, { fixed: fixed.fixed, free: [free], e: new Float64Array(2) });
  // @ts-expect-error only what has one shape comes as one array
  batchFromColumns(tensors, { fixed: fixed.fixed, free: free.data, e: fixed.e });
  batchFromColumns(tensors, { fixed: fixed.fixed, free: [free], e: fixed.e });
  // @ts-expect-error no such elements
  t.tensor("float8", [1]);
  // @ts-expect-error an embedding has a metric
  t.embedding(2, { model: "m" });

  // @ts-expect-error one row instead of several
  stream.flatMap({ to }, () => good);
  // @ts-expect-error no yes or no
  stream.filter(({ name }) => name.length);
  // @ts-expect-error a batch of other columns
  stream.map({ to }, (input) => input);
  // @ts-expect-error columns of the wrong type
  stream.map({ to: language }, () => batchFromRows(language, [{ language: 1 }]));
  stream.map({ to: language }, () => batchFromRows(language, [{ language: "la" }]));
  // @ts-expect-error a column that the batch does not have
  rowsOf(pageColumns, batch)[0]?.titel;
  // @ts-expect-error a column of the batch is missing
  batchFromColumns(pageColumns, { name: [], size: [], lines: [] });

  // @ts-expect-error a stream with more columns is not one with fewer
  const fewer: Stream<{ name: typeof t.utf8 }> = stream;
  // @ts-expect-error nor does one with fewer have more
  const more: Stream<typeof pageColumns & { extra: typeof t.utf8 }> = stream;
  assert.ok(fewer.columns && more.columns);
  const answers = async () => batchFromRows(language, []);
  const strange = async () => batchFromRows({ other: t.utf8 }, []);
  const text = { text: t.utf8 };
  service("s", { input: text, output: language, handler: { ...here, load: async () => ({ infer: answers }) } });
  // @ts-expect-error a handler that answers with other columns
  service("s", { input: text, output: language, handler: { ...here, load: async () => ({ infer: strange }) } });
  const answering = serviceOf("s", text, { other: t.utf8 }).handler;
  // @ts-expect-error the same, declared elsewhere
  service("s", { input: text, output: language, handler: answering });
  // @ts-expect-error the answers of an infer, misspelled
  stream.infer(serviceOf("s", { name: t.utf8 }, language)).select("langage");
  const read = stream.inferEach("lines", serviceOf("s", text, language), { into: "read" });
  read.mapRows({ to: language }, ({ read }) => ({ language: read[0]!.language }));
  // @ts-expect-error the answers of an inferEach are a list
  read.mapRows({ to: language }, ({ read }) => ({ language: read.language }));
  // @ts-expect-error a sink ends its stream
  stream.to(nowhere).select("name");
}

describe("topology: types", () => {
  it("what the compiler refuses is in a function that is never called", () => assert.equal(neverRun.length, 2));
});
