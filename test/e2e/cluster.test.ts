/**
 * Cluster mode as a user runs it: coordinator, workers and submit, each a process of its own, with a real nats-server
 * and a real S3 between them and nothing else.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { Cluster, finished } from "./cluster.js";
import type { Ended } from "./millrace-process.js";

const OCR = "examples/document-ocr/topology.ts";
const PAGES = "examples/document-ocr/pages/receipt-0[1-4].*";

describe("e2e: a cluster of one coordinator and two workers on NATS and S3", function () {
  this.timeout(120_000);
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
  });
  after(() => cluster.stop());

  async function outputs(prefix: string, extension: string): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for await (const { key } of cluster.store.list(prefix))
      if (key.endsWith(extension)) found.push(await cluster.store.get(key));
    return found;
  }

  it("gives the rows of the embedded run, byte for byte, from the same topology file", async () => {
    const embedded = join(cluster.folder, "embedded");
    finished(await cluster.run("run", OCR, "-p", `input=${PAGES}`, "-p", `output=${embedded}`));
    const said = finished(
      await cluster.run("submit", OCR, "--parallelism", "2", "-p", `input=${PAGES}`, "-p", "output=ocr"),
    );
    assert.match(said, /uploaded 4 files/);

    const lines = (bytes: Uint8Array[]) =>
      bytes
        .flatMap((one) => Buffer.from(one).toString("utf8").split("\n"))
        .filter((line) => line !== "")
        .sort();
    const local = await readdir(join(embedded, "jsonl"));
    const expected = lines(await Promise.all(local.map((file) => readFile(join(embedded, "jsonl", file)))));
    assert.equal(expected.length, 4);
    assert.deepEqual(lines(await outputs("ocr/jsonl/", ".jsonl")), expected);

    const rowsOf = async (bytes: Uint8Array[]) => {
      const files = await Promise.all(
        bytes.map((one) => parquetReadObjects({ file: new Uint8Array(one).buffer, compressors })),
      );
      return files.flat().sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
    };
    const parquet = await readdir(join(embedded, "parquet"));
    const wanted = await rowsOf(await Promise.all(parquet.map((file) => readFile(join(embedded, "parquet", file)))));
    assert.deepEqual(await rowsOf(await outputs("ocr/parquet/", ".parquet")), wanted);
  });

  it("sends rows between hosts over NATS, each key to one actor, none lost and none twice", async () => {
    const words = await cluster.writeWords(6, 500);
    finished(await count("text-*.txt", "words"));
    const rows = await cluster.rows<{ readonly word: string; readonly subtask: number }>("words");
    assert.deepEqual(rows.map((row) => row.word).sort(), words.sort());
    const subtasksOf = new Map<string, Set<number>>();
    for (const { word, subtask } of rows) {
      subtasksOf.set(word[0]!, (subtasksOf.get(word[0]!) ?? new Set()).add(subtask));
    }
    assert.ok([...subtasksOf.values()].every((subtasks) => subtasks.size === 1));
    assert.equal(new Set(rows.map((row) => row.subtask)).size, 2, "both actors had keys");
  });

  it("refuses a bundle whose bytes are not what was submitted, and says so", async () => {
    assert.match(finished(await count("text-0.txt", "x1")), /finished/);
    for await (const { key } of cluster.store.list("bundles/")) {
      await cluster.store.put(key, Buffer.concat([await cluster.store.get(key), Buffer.from("\n// changed")]));
    }
    const second = await count("text-0.txt", "x2");
    assert.equal(second.status, 3, second.stderr);
    assert.match(second.stderr, /MILL_BUNDLE_HASH/);
    for await (const { key } of cluster.store.list("bundles/")) await cluster.store.delete(key);
  });

  it("lets a worker drain on SIGTERM: it leaves with status 0, and the next job runs on the other", async () => {
    const left = await cluster.processes.find(({ args }) => args.at(-1) === "w2")!.stop();
    assert.equal(left.status, 0, left.stderr);
    assert.match(finished(await count("text-1.txt", "x3")), /finished/);
  });

  function count(files: string, output: string): Promise<Ended> {
    const params = ["-p", `input=${join(cluster.folder, files)}`, "-p", `output=${output}`];
    return cluster.run("submit", "test/fixtures/word-count.ts", ...params);
  }
});
