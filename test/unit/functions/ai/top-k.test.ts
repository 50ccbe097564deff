import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Table, tableToIPC } from "apache-arrow";
import fc from "fast-check";
import { Compression, Table as ParquetTable, WriterPropertiesBuilder, writeParquet } from "parquet-wasm";
import { Nearest } from "../../../../src/functions/ai/nearest.js";
import { type TopKOptions, topK, topKFunction } from "../../../../src/functions/ai/top-k.js";
import type { OperatorContext } from "../../../../src/topology/operator-context.js";
import { batchFromRows } from "../../../../src/types/batches.js";
import { t } from "../../../../src/types/columns.js";
import { built, sourceOf } from "../../topology/support.js";
import { applyTo, contextOf } from "../functions-support.js";

const TWO = { id: t.utf8, vector: t.tensor("float32", [2]) };
const folder = mkdtempSync(join(tmpdir(), "millrace-index-"));
let files = 0;

interface IndexFile {
  readonly uri: string;
  readonly sha256: string;
}

function indexFile(ending: string, bytes: Uint8Array | string): IndexFile {
  const path = join(folder, `index-${files++}.${ending}`);
  writeFileSync(path, bytes);
  return { uri: pathToFileURL(path).href, sha256: createHash("sha256").update(bytes).digest("hex") };
}

const jsonl = (rows: readonly object[]) => indexFile("jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
const compass = [
  { id: "south", vector: [0, -1] },
  { id: "east", vector: [1, 0] },
  { id: "north", vector: [0, 1] },
  { id: "north-east", vector: [3, 3] },
];

type Options = Partial<TopKOptions<"v", "found">>;

async function find(
  index: IndexFile,
  k: number,
  queries: readonly number[][],
  options: Options = {},
  context?: OperatorContext,
) {
  const fn = topKFunction({ from: "v", into: "found", k, index, ...options });
  const type = t.tensor("float32", [queries[0]!.length]);
  return applyTo(
    fn,
    { v: type },
    queries.map((v) => ({ v: Float32Array.from(v) })),
    context,
  );
}

const ids = (found: Awaited<ReturnType<typeof find>>) => found.rows.map((row) => row.found.map(({ id }) => id));

describe("functions/ai: topK", () => {
  after(() => rmSync(folder, { recursive: true }));

  it("finds the nearest of an index for each row, the nearest first", async () => {
    const index = jsonl(compass);
    assert.deepEqual(
      ids(
        await find(index, 2, [
          [0, 5],
          [2, 0.1],
        ]),
      ),
      [
        ["north", "north-east"],
        ["east", "north-east"],
      ],
    );
    const { rows } = await find(index, 1, [[0, 5]]);
    assert.deepEqual(rows, [{ found: [{ id: "north", score: 1 }] }]);
  });

  it("has its own order by metric: with euclidean the score is the distance, and the least comes first", async () => {
    const index = jsonl(compass);
    assert.deepEqual(ids(await find(index, 1, [[1, 1]], { metric: "dot" })), [["north-east"]]);
    const { rows } = await find(index, 2, [[1, 0]], { metric: "euclidean" });
    assert.deepEqual(rows[0]!.found, [
      { id: "east", score: 0 },
      { id: "north", score: Math.SQRT2 },
    ]);
  });

  it("equally near ones come by id, whatever their order in the file", async () => {
    const same = ["d", "b", "a", "c"].map((id) => ({ id, vector: [1, 1] }));
    assert.deepEqual(ids(await find(jsonl(same), 2, [[1, 1]])), [["a", "b"]]);
    assert.deepEqual(ids(await find(jsonl(same.reverse()), 2, [[1, 1]])), [["a", "b"]]);
  });

  it("gives fewer where the index has fewer, and none where it is empty", async () => {
    assert.deepEqual(ids(await find(jsonl(compass), 9, [[0, 1]]))[0]!.length, 4);
    assert.deepEqual(ids(await find(jsonl([]), 3, [[0, 1]])), [[]]);
  });

  it("reads Arrow files and streams, Parquet and JSON lines alike, with ids of text or whole numbers", async () => {
    const batch = batchFromRows(
      TWO,
      compass.map(({ id, vector }) => ({ id, vector: Float32Array.from(vector) })),
    );
    const stream = tableToIPC(new Table([batch, batch.slice(0, 0)]), "stream");
    const properties = new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build();
    const expected = [["north", "north-east"]];
    for (const index of [
      indexFile("arrow", stream),
      indexFile("arrow", tableToIPC(new Table([batch.slice(0, 1), batch.slice(1)]), "file")),
      indexFile("parquet", writeParquet(ParquetTable.fromIPCStream(stream), properties)),
    ]) {
      assert.deepEqual(ids(await find(index, 2, [[0, 5]])), expected, index.uri);
    }
    const lists = { key: t.int64, embedding: t.list(t.float64) };
    const numbered = batchFromRows(
      lists,
      compass.map(({ vector }, i) => ({ key: BigInt(i), embedding: vector })),
    );
    const file = indexFile("arrow", tableToIPC(new Table([numbered]), "file"));
    assert.deepEqual(ids(await find({ ...file, id: "key", vector: "embedding" } as IndexFile, 1, [[0, 5]])), [["2"]]);
  });

  it("finds what sorting all would find, for any vectors, in batches larger than a block", async () => {
    let seed = 7;
    const draw = () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
      return Math.round((seed / 2 ** 31) * 4) / 4; // coarse, so that many are equally near
    };
    const vectors = Array.from({ length: 3_000 }, (_, i) => ({
      id: `v${String((i * 7) % 3_000).padStart(4, "0")}`,
      vector: Array.from({ length: 40 }, draw),
    }));
    const queries = Array.from({ length: 5 }, () => Array.from({ length: 40 }, draw));
    const found = await find(jsonl(vectors), 25, queries, { metric: "dot" });
    for (const [row, query] of queries.entries()) {
      const score = (vector: readonly number[]) => vector.reduce((sum, value, i) => sum + value * query[i]!, 0);
      const all = vectors.map(({ id, vector }) => ({ id, score: score(vector) }));
      all.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
      assert.deepEqual(found.rows[row]!.found, all.slice(0, 25));
    }
  });

  it("an index file with another SHA-256 fails the job and not a row", async () => {
    const index = { ...jsonl(compass), sha256: "0".repeat(64) };
    const asked: string[] = [];
    const context = contextOf();
    const content = {
      stream: ({ sha256 }: { sha256: string }) => {
        asked.push(sha256);
        throw Object.assign(new Error("changed"), { code: "MILL_CONTENT_HASH" });
      },
    };
    await assert.rejects(find(index, 1, [[0, 1]], {}, { ...context, content } as never), { code: "MILL_CONTENT_HASH" });
    assert.deepEqual(asked, ["0".repeat(64)]);
  });

  it("is read once in a process, also where two operators want it at once", async () => {
    const index = jsonl([...compass, { id: "read once", vector: [9, 9] }]);
    let reads = 0;
    const context = contextOf();
    const { stream } = context.content;
    const counted = (...args: Parameters<typeof stream>) => {
      reads++;
      return stream(...args);
    };
    const content = { ...context.content, stream: counted };
    const functions = [0, 1].map(() => topKFunction({ from: "v", into: "found", k: 1, index }));
    const batch = batchFromRows({ v: TWO.vector }, [{ v: Float32Array.of(1, 1) }]);
    const run = () =>
      functions.map((fn) => fn.apply(batch as never, { v: TWO.vector }, { ...context, content } as never));
    await Promise.all(run());
    await Promise.all(run());
    assert.equal(reads, 1);
  });

  it("an index that is none, or too large, is an error that names it and what is wrong", async () => {
    const cases: [IndexFile, RegExp, Options?][] = [
      [jsonl([{ id: "a" }]), /line 1: "vector" is no list/],
      [jsonl([compass[0]!, { id: "b", vector: [1] }]), /line 2: "vector" is no list of as many numbers/],
      [jsonl([{ id: 1.5, vector: [1, 2] }]), /"id" has 1.5; ids are texts or whole numbers/],
      [jsonl([{ id: "far", vector: [1e300, 1] }]), /the vector of "far" has an element that is no finite number/],
      [indexFile("jsonl", "{"), /line 1 is no JSON object/],
      [indexFile("arrow", "no arrow"), /cannot be read as arrow|has no column "id"/],
      [indexFile("parquet", "no parquet"), /cannot be read as parquet/],
      [jsonl([{ id: "three", vector: [1, 2, 3] }]), /its vectors have 3 elements, and those of "v" 2/],
    ];
    for (const [index, message] of cases) {
      await assert.rejects(find(index, 1, [[0, 1]]), (error: Error & { code: string }) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(index.uri));
        return error.code === "MILL_CONFIG";
      });
    }
    const large = jsonl([...compass, { id: "one more", vector: [0, 0] }]);
    const bounded = (more: object) => find({ ...large, ...more }, 1, [[0, 1]]);
    await assert.rejects(bounded({ vectorsMax: 4 }), /more than 4 vectors/);
    await assert.rejects(bounded({ bytesMax: 50 }), /more than 50 bytes/);
  });

  it("rows without a vector are refused by themselves", async () => {
    const fn = topKFunction({ from: "v", into: "found", k: 1, index: jsonl(compass) });
    const columns = { v: t.optional(TWO.vector) };
    const outcome = await applyTo(fn, columns, [{ v: null }, { v: Float32Array.of(0, 1) }]);
    assert.deepEqual(outcome.from, [1]);
    assert.deepEqual(ids(outcome), [["north"]]);
    assert.deepEqual([...outcome.refused.keys()], [0]);
  });

  it("ends soon after it is aborted", async () => {
    const many = Array.from({ length: 2_000 }, (_, i) => ({ id: `${i}`, vector: Array(512).fill(i % 7) }));
    const stop = new AbortController();
    const index = jsonl(many);
    const queries = Array.from({ length: 60 }, () => Array(512).fill(1));
    const fn = topKFunction({ from: "v", into: "found", k: 1, index });
    const type = t.tensor("float32", [512]);
    await applyTo(fn, { v: type }, [{ v: Float32Array.from(queries[0]!) }]); // the index is there
    const work = applyTo(
      fn,
      { v: type },
      queries.map((v) => ({ v: Float32Array.from(v) })),
      contextOf(stop.signal),
    );
    stop.abort(new Error("stopped"));
    await assert.rejects(work, /stopped/);
  });
});

describe("functions/ai: topK in a topology", () => {
  const source = sourceOf({ name: t.utf8, photo: t.embedding(2, { metric: "cosine" }) });
  const index = { uri: "file:///index.parquet", sha256: "0".repeat(64) };

  it("a column that is no vector is refused by TypeScript and by the plan", () => {
    const wrong = () =>
      // @ts-expect-error a name is no vector
      void built((job) => job.read(source).pipe(topK({ from: "name", into: "found", k: 3, index })));
    assert.throws(wrong, { code: "MILL_TOPOLOGY_TYPE", message: /operator "topK-1": column "name" is utf8/ });
    built((job) =>
      job
        .read(source)
        .pipe(topK({ from: "photo", into: "found", k: 3, index }))
        .filter(({ found }) => found.some(({ id, score }) => id.length > 0 && score > 0.5)),
    );
  });

  it("what cannot be an index is refused at once", () => {
    const make = (options: object) => () => topKFunction({ from: "photo", into: "found", k: 1, index, ...options });
    assert.throws(make({ k: 0 }), { code: "MILL_CONFIG", message: /k is 0/ });
    assert.throws(make({ index: { ...index, sha256: "abc" } }), { code: "MILL_CONFIG", message: /sha256sum FILE/ });
    assert.throws(make({ index: { ...index, uri: "index.parquet" } }), {
      code: "MILL_CONFIG",
      message: /give an address/,
    });
    assert.throws(make({ index: { ...index, uri: "file:///index.csv" } }), { code: "MILL_CONFIG", message: /format/ });
  });
});

describe("functions/ai/nearest: the best k of many", () => {
  it("are those that sorting all gives, whatever the order of offers (N1)", () => {
    const offers = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(offers, fc.integer({ min: 1, max: 12 }), fc.integer(), (scores, wanted, turn) => {
        const k = Math.min(wanted, scores.length);
        const nearest = new Nearest(2, k);
        const order = scores
          .map((_, at) => at)
          .sort((a, b) => ((a * 31 + turn) % 17) - ((b * 31 + turn) % 17) || a - b);
        for (const at of order) {
          nearest.offer(0, scores[at]!, at);
          nearest.offer(1, -scores[at]!, at);
        }
        const best = (sign: number) =>
          scores
            .map((score, at) => ({ score: sign * score, at }))
            .sort((a, b) => b.score - a.score || a.at - b.at)
            .slice(0, k)
            .map(({ at }) => at);
        const { positions } = nearest.sorted();
        assert.deepEqual([...positions], [...best(1), ...best(-1)]);
      }),
    );
  });
});
