/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embedImage, embedImageService, pooled } from "../../../../src/functions/ai/embed-image.js";
import { type EmbedTextOptions, embedText, embedTextService } from "../../../../src/functions/ai/embed-text.js";
import { similarity } from "../../../../src/functions/ai/similarity.js";
import { t } from "../../../../src/types/columns.js";
import { BadServer, json, type Seen } from "../../services/handlers/bad-server.js";
import { errorOf } from "../../services/handlers/contexts.js";
import { tinyModel } from "../../services/tiny-model.js";
import { built, sourceOf } from "../../topology/support.js";
import { pixelRow } from "../images/pictures.js";
import { start } from "./model-service.js";

describe("functions/ai: embedText", () => {
  let server: BadServer;
  const texts = (seen: Seen) => (seen.json() as { input: string[] }).input;
  const vectors = (all: readonly number[][]) => json({ data: all.map((embedding, index) => ({ index, embedding })) });

  beforeEach(async () => {
    server = await BadServer.start();
    server.answer = (seen) => vectors(texts(seen).map((text) => [text.length, 3, 4]));
  });
  afterEach(() => server.stop());

  const optionsOf = (more: Partial<EmbedTextOptions<"text", "vector">> = {}) =>
    ({ from: "text", into: "vector", url: `${server.url}/v1`, model: "e5", dimension: 3, ...more }) as const;

  async function embed(given: readonly string[], more: Partial<EmbedTextOptions<"text", "vector">> = {}) {
    const running = await start(embedTextService(optionsOf(more)));
    try {
      const { rows, refused } = await running.ask(given.map((text) => ({ text })));
      return { rows: rows.map(({ vector }) => [...vector]), refused };
    } finally {
      await running.stop();
    }
  }

  it("gives each text its vector, many texts in one request, and puts the prefix before each", async () => {
    const { rows } = await embed(["a", "bc"], { prefix: "q: ", parameters: { dimensions: 3 } });
    assert.deepEqual(rows, [
      [4, 3, 4],
      [5, 3, 4],
    ]);
    assert.equal(server.seen.length, 1);
    assert.deepEqual(texts(server.seen[0]!), ["q: a", "q: bc"]);
    assert.equal((server.seen[0]!.json() as { dimensions: number }).dimensions, 3);
  });

  it("makes vectors of length 1 where it is told to; one of zeros stays", async () => {
    server.answer = () =>
      vectors([
        [0, 3, 4],
        [0, 0, 0],
      ]);
    const { rows } = await embed(["a", "b"], { normalize: true });
    assert.deepEqual(rows[1], [0, 0, 0]);
    assert.ok(Math.abs(Math.hypot(...rows[0]!) - 1) < 1e-6);
  });

  it("a text that is too long is refused by itself; the server is not asked about it", async () => {
    const { rows, refused } = await embed(["a", "x".repeat(11), "ccc"], { charsMax: 10 });
    assert.deepEqual(
      [rows[0], rows[2]],
      [
        [1, 3, 4],
        [3, 3, 4],
      ],
    );
    assert.deepEqual(
      [...refused].map(([row, { code }]) => [row, code]),
      [[1, "MILL_TEXT_TOO_LARGE"]],
    );
    assert.deepEqual(texts(server.seen[0]!), ["a", "ccc"]);
  });

  it("another dimension than the column has is an error that says both, and what to do", async () => {
    const error = await errorOf(embed(["a"], { dimension: 4 }));
    assert.equal(error.code, "MILL_ENDPOINT_INVALID");
    assert.match(error.message, /the model e5 gives vectors of 3 elements, and dimension is 4\. Say dimension: 3/);
  });

  it("a server that refuses a single text refuses that row, and one that is down is the service's to try again", async () => {
    server.answer = () => json({ error: { message: "too many tokens" } }, { status: 400 });
    const { refused } = await embed(["a"]);
    assert.equal(refused.get(0)!.code, "MILL_ENDPOINT_REFUSED");
    server.answer = () => ({ status: 503 });
    assert.equal((await errorOf(embed(["a"]))).code, "MILL_ENDPOINT_BUSY");
  });

  it("the column says dimension, metric and model, so that vectors of two models are not compared", () => {
    const source = sourceOf({ text: t.utf8, count: t.int32 });
    const { from, url, dimension } = optionsOf();
    const large = { from, url, dimension, into: "other", model: "large", serviceName: "large" } as const;
    const { operators, services } = built((job) => {
      const both = job.read(source).pipe(embedText(optionsOf())).pipe(embedText(large));
      assert.equal(both.columns.vector.name, 'embedding<3, cosine, "e5">');
      assert.throws(() => both.pipe(similarity({ left: "vector", right: "other", into: "near" })), {
        code: "MILL_TOPOLOGY_TYPE",
        message: /embeddings of two models, "e5" and "large"/,
      });
    });
    assert.deepEqual(operators.map(({ id }) => id).slice(1, 3), ["embedText-1", "embedText-2"]);
    assert.equal(services[0]!.batch.rowsMax, 64); // what suits embeddings
    assert.throws(
      // @ts-expect-error count is a number
      () => built((job) => job.read(source).pipe(embedText({ ...optionsOf(), from: "count" }))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "embedText-1": column "count" is int32/ },
    );
  });
});

describe("functions/ai: embedImage", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-embed-"));
  const model = join(folder, "identity.onnx");
  before(() => writeFileSync(model, tinyModel({ name: "input", type: "float32", dims: ["n", 3, 4, 4] })));
  after(() => rmSync(folder, { recursive: true }));

  const colour = (r: number, g: number, b: number) =>
    pixelRow({
      data: Uint8Array.from({ length: 48 }, (_, i) => [r, g, b][i % 3]!),
      width: 4,
      height: 4,
      channels: 3,
    });
  const options = {
    from: "image",
    into: "vector",
    model,
    dimension: 3,
    image: { width: 4, height: 4 },
    pooling: "mean",
    normalize: false,
    service: { batch: { rowsMax: 8 } },
  } as const;

  it("gives each image its vector, in its place, whatever comes with it", async () => {
    const running = await start(embedImageService(options, t.pixels("uint8")));
    const bad = pixelRow({ data: new Uint8Array(16), width: 4, height: 4, channels: 1 });
    const { rows, refused } = await running.ask([colour(255, 0, 0), bad, colour(0, 255, 51)]);
    await running.stop();
    assert.deepEqual([...refused.keys()], [1]);
    assert.deepEqual([...rows[0]!.vector], [1, 0, 0]);
    assert.deepEqual([...rows[2]!.vector], [...Float32Array.of(0, 1, 0.2)]);
  });

  it("makes vectors of length 1 unless it is told not to", async () => {
    const running = await start(embedImageService({ ...options, normalize: true }, t.pixels("uint8")));
    const { rows } = await running.ask([colour(255, 255, 255)]);
    await running.stop();
    assert.ok(Math.abs(Math.hypot(...rows[0]!.vector) - 1) < 1e-6);
  });

  it("another dimension than the model gives is an error before the first row, which names the shape", async () => {
    const error = await errorOf(start(embedImageService({ ...options, dimension: 512 }, t.pixels("uint8"))));
    assert.equal(error.code, "MILL_MODEL_INPUTS");
    assert.match(error.message, /answers with \[1, 3, 4, 4\]; with pooling "mean" that is no vector of 512 elements/);
  });

  it("pools patches by their mean or the first, places by their mean, and takes one vector as it is", () => {
    const patches = { data: Float32Array.of(1, 2, 3, 4, 10, 20, 30, 40), dims: [2, 2, 2] };
    assert.deepEqual([...pooled(patches, "mean", 2)!], [2, 3, 20, 30]);
    assert.deepEqual([...pooled(patches, "first", 2)!], [1, 2, 10, 20]);
    assert.equal(pooled(patches, "none", 2), undefined);
    const places = { data: Float32Array.of(1, 3, 5, 7), dims: [1, 2, 1, 2] };
    assert.deepEqual([...pooled(places, "mean", 2)!], [2, 6]);
    assert.equal(pooled(places, "first", 2), undefined);
    assert.deepEqual([...pooled({ data: Float32Array.of(1, 2), dims: [1, 2] }, "none", 2)!], [1, 2]);
  });

  it("a column that is no image is refused by TypeScript and by the plan", () => {
    const source = sourceOf({ name: t.utf8, image: t.image });
    built((job) =>
      job
        .read(source)
        .pipe(embedImage(options))
        .filter(({ vector }) => vector.length === 3),
    );
    assert.throws(
      // @ts-expect-error a name is no image
      () => built((job) => job.read(source).pipe(embedImage({ ...options, from: "name" }))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "embedImage-1": column "name" is utf8/ },
    );
  });
});
