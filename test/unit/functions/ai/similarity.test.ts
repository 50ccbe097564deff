/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { similarity, similarityFunction } from "../../../../src/functions/ai/similarity.js";
import type { Stream } from "../../../../src/topology/topology.js";
import { batchFromRows } from "../../../../src/types/batches.js";
import { t } from "../../../../src/types/columns.js";
import { built, sourceOf } from "../../topology/support.js";
import { applyTo, contextOf } from "../functions-support.js";

const three = t.tensor("float32", [3]);
const columns = { a: three, b: three };

async function near(metric: "cosine" | "dot" | "euclidean", rows: readonly (readonly [number[], number[]])[]) {
  const fn = similarityFunction({ left: "a", right: "b", into: "near", metric });
  const given = rows.map(([a, b]) => ({ a: Float32Array.from(a), b: Float32Array.from(b) }));
  return applyTo(fn, columns, given);
}

const nears = ({ rows }: Awaited<ReturnType<typeof near>>) => rows.map((row) => row.near);

describe("functions/ai: similarity", () => {
  it("cosine, dot and euclidean are what they are called", async () => {
    const given: [number[], number[]][] = [
      [
        [1, 0, 0],
        [0, 2, 0],
      ],
      [
        [3, 4, 0],
        [3, 4, 0],
      ],
      [
        [1, 2, 2],
        [-2, -4, -4],
      ],
    ];
    assert.deepEqual(nears(await near("cosine", given)), [0, 1, -1]);
    assert.deepEqual(nears(await near("dot", given)), [0, 25, -18]);
    assert.deepEqual(nears(await near("euclidean", given)), [Math.sqrt(5), 0, 9]);
  });

  it("a vector of zeros has the cosine 0 with everything (M2)", async () => {
    const zero = [0, 0, 0];
    const found = await near("cosine", [
      [zero, [1, 2, 3]],
      [zero, zero],
    ]);
    assert.deepEqual(nears(found), [0, 0]);
  });

  it("is the sum that a plain loop makes, for any dimension, and never a cosine above 1", async () => {
    const element = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 });
    const pair = fc
      .integer({ min: 1, max: 19 })
      .chain((n) =>
        fc.tuple(fc.array(element, { minLength: n, maxLength: n }), fc.array(element, { minLength: n, maxLength: n })),
      );
    await fc.assert(
      fc.asyncProperty(pair, async ([a, b]) => {
        const type = t.tensor("float32", [a.length]);
        const row = { a: Float32Array.from(a), b: Float32Array.from(b) };
        const of = async (metric: "cosine" | "dot" | "euclidean") =>
          (await applyTo(similarityFunction({ left: "a", right: "b", into: "x", metric }), { a: type, b: type }, [row]))
            .rows[0]!.x as number;
        const dot = row.a.reduce((sum, value, i) => sum + value * row.b[i]!, 0);
        const size = row.a.reduce((sum, value, i) => sum + Math.abs(value * row.b[i]!), 1);
        assert.ok(Math.abs((await of("dot")) - dot) <= 1e-12 * size);
        const square = row.a.reduce((sum, value, i) => sum + (value - row.b[i]!) ** 2, 0);
        assert.ok(Math.abs((await of("euclidean")) - Math.sqrt(square)) <= 1e-9 * Math.sqrt(square + 1));
        assert.ok(Math.abs(await of("cosine")) <= 1);
      }),
      { numRuns: 60 },
    );
  });

  it("a fixed vector is compared with all rows", async () => {
    const fn = similarityFunction({ left: "a", right: [1, 0, 0], into: "near" });
    const rows = [
      [2, 0, 0],
      [0, 1, 0],
    ].map((a) => ({ a: Float32Array.from(a) }));
    assert.deepEqual((await applyTo(fn, { a: three }, rows)).rows, [{ near: 1 }, { near: 0 }]);
  });

  it("rows without a vector, or with one that holds no finite numbers, are refused by themselves", async () => {
    const optional = { a: t.optional(three), b: three };
    const one = Float32Array.of(1, 0, 0);
    const rows = [
      { a: one, b: one },
      { a: null, b: one },
      { a: one, b: Float32Array.of(1, Number.NaN, 0) },
      { a: null, b: Float32Array.of(Number.POSITIVE_INFINITY, 0, 0) },
      { a: one, b: one },
    ];
    const found = await applyTo(similarityFunction({ left: "a", right: "b", into: "near" }), optional, rows);
    assert.deepEqual(found.from, [0, 4]);
    assert.deepEqual(found.rows, [{ near: 1 }, { near: 1 }]);
    assert.deepEqual([...found.refused.keys()].sort(), [1, 2, 3]);
    assert.match(found.refused.get(1)!.message, /column "a" has no value/);
    assert.match(found.refused.get(2)!.message, /column "b" has an element that is no finite number/);
  });

  it("reads the rows of a slice, and no others", async () => {
    const rows = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ].map((a) => ({ a: Float32Array.from(a) }));
    const fn = similarityFunction({ left: "a", right: [0, 1, 0], into: "near" });
    const slice = batchFromRows({ a: three }, rows).slice(1, 3);
    const { batch } = await fn.apply(slice as never, { a: three }, contextOf());
    assert.deepEqual([...(batch.getChild("near") as Iterable<number>)], [1, 0]);
  });
});

const clip = (model: string, metric: "cosine" | "dot" = "cosine", dimension = 3) =>
  t.embedding(dimension, { metric, model });
const source = sourceOf({
  name: t.utf8,
  photo: clip("clip"),
  other: clip("clip"),
  text: clip("e5"),
  product: clip("clip", "dot"),
  small: clip("clip", "cosine", 2),
});

function onPhotos(use: (stream: Stream<(typeof source)["columns"]>) => void): () => void {
  return () => void built((job) => use(job.read(source)));
}

describe("functions/ai: similarity in a topology", () => {
  it("adds a number, whose type the next operator knows", () => {
    onPhotos((stream) => {
      const near = stream.pipe(similarity({ left: "photo", right: "other", into: "near" }));
      near.filter((row) => row.near.toFixed(1) === "0.5");
    })();
  });

  it("a column that is no vector is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error a name is no vector
      onPhotos((stream) => stream.pipe(similarity({ left: "photo", right: "name", into: "near" }))),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: /operator "similarity-1": column "name" is utf8, but similarity reads an embedding, or a tensor/,
      },
    );
    assert.throws(
      // @ts-expect-error no such column
      onPhotos((stream) => stream.pipe(similarity({ left: "foto", right: [1, 2, 3], into: "near" }))),
      { code: "MILL_TOPOLOGY_COLUMN", message: /operator "similarity-1": .* a column "foto" that the stream lacks/ },
    );
  });

  it("vectors of two models, of two dimensions, and of two metrics without a word about it, are refused", () => {
    const between = (right: "text" | "small" | "product", metric?: "dot") =>
      onPhotos((stream) => stream.pipe(similarity({ left: "photo", right, into: "near", ...(metric && { metric }) })));
    assert.throws(between("text"), { code: "MILL_TOPOLOGY_TYPE", message: /two models, "clip" and "e5"/ });
    assert.throws(between("small"), { code: "MILL_TOPOLOGY_TYPE", message: /vectors of 3 and of 2 elements/ });
    assert.throws(between("product"), { code: "MILL_TOPOLOGY_TYPE", message: /made for cosine and dot/ });
    between("product", "dot")();
  });

  it("a fixed vector that is none, and a metric that is none, are refused at once", () => {
    const make = (options: object) => () => similarityFunction({ left: "photo", into: "near", ...options } as never);
    assert.throws(make({ right: [] }), { code: "MILL_CONFIG" });
    assert.throws(make({ right: [1, Number.NaN] }), { code: "MILL_CONFIG", message: /finite numbers/ });
    assert.throws(
      onPhotos((stream) =>
        stream.pipe(similarity({ left: "photo", right: "other", into: "near", metric: "near" as never })),
      ),
      { code: "MILL_CONFIG", message: /metric is "near"; give one of cosine, dot, euclidean/ },
    );
  });
});
