/**
 * Cluster mode as a user runs it: coordinator, workers and submit, each a process of its own, with a real nats-server
 * and a real S3 between them and nothing else.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { type Ended, MillraceProcess, millrace } from "./millrace-process.js";

const OCR = "examples/document-ocr/topology.ts";
const PAGES = "examples/document-ocr/pages/receipt-0[1-4].*";

describe("e2e: a cluster of one coordinator and two workers on NATS and S3", function () {
  this.timeout(120_000);
  let nats: NatsServer;
  let minio: MinioServer;
  let store: ObjectStore;
  let env: Record<string, string>;
  let folder: string;
  const cluster: MillraceProcess[] = [];

  before(async () => {
    nats = await startNats();
    minio = await startMinio();
    folder = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
    env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
    };
    store = openStore(env.MILLRACE_STORE!, { s3: { ...minio } }, realPorts());
    const coordinator = new MillraceProcess(["coordinator"], { env });
    cluster.push(coordinator);
    await coordinator.says("is up");
    for (const name of ["w1", "w2"]) {
      const worker = new MillraceProcess(["worker", "--name", name], { env });
      cluster.push(worker);
      await worker.says("is up");
    }
  });

  after(async () => {
    await Promise.all(cluster.map((process) => process.stop()));
    await store.close();
    await Promise.all([nats.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  function ok(ended: Ended): Ended {
    assert.equal(ended.status, 0, `exit status ${ended.status}\n${ended.stdout}\n${ended.stderr}`);
    return ended;
  }

  async function outputs(prefix: string, extension: string): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for await (const { key } of store.list(prefix)) if (key.endsWith(extension)) found.push(await store.get(key));
    return found;
  }

  it("gives the rows of the embedded run, byte for byte, from the same topology file", async () => {
    const embedded = join(folder, "embedded");
    ok(await millrace(["run", OCR, "-p", `input=${PAGES}`, "-p", `output=${embedded}`], { env }));
    const submitted = ok(
      await millrace(["submit", OCR, "--parallelism", "2", "-p", `input=${PAGES}`, "-p", "output=ocr"], { env }),
    );
    assert.match(submitted.stdout, /uploaded 4 files/);

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
    const words: string[] = [];
    for (let file = 0; file < 6; file++) {
      const own = Array.from({ length: 500 }, (_, i) => `${"abcdefghij"[(file + i) % 10]}${file}-${i}`);
      words.push(...own);
      await writeFile(join(folder, `text-${file}.txt`), own.join("\n"));
    }
    ok(
      await millrace(
        ["submit", "test/fixtures/word-count.ts", "-p", `input=${folder}/text-*.txt`, "-p", "output=words"],
        { env },
      ),
    );
    const rows = (await outputs("words/", ".jsonl"))
      .flatMap((one) => Buffer.from(one).toString("utf8").split("\n"))
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { word: string; subtask: number });
    assert.deepEqual(rows.map((row) => row.word).sort(), words.sort());
    const subtasksOf = new Map<string, Set<number>>();
    for (const { word, subtask } of rows) {
      subtasksOf.set(word[0]!, (subtasksOf.get(word[0]!) ?? new Set()).add(subtask));
    }
    assert.ok([...subtasksOf.values()].every((subtasks) => subtasks.size === 1));
    assert.equal(new Set(rows.map((row) => row.subtask)).size, 2, "both actors had keys");
  });

  it("refuses a bundle whose bytes are not what was submitted, and says so", async () => {
    const first = ok(
      await millrace(["submit", "test/fixtures/word-count.ts", "-p", `input=${folder}/text-0.txt`, "-p", "output=x1"], {
        env,
      }),
    );
    assert.match(first.stdout, /finished/);
    for await (const { key } of store.list("bundles/")) {
      await store.put(key, Buffer.concat([await store.get(key), Buffer.from("\n// changed")]));
    }
    const second = await millrace(
      ["submit", "test/fixtures/word-count.ts", "-p", `input=${folder}/text-0.txt`, "-p", "output=x2"],
      { env },
    );
    assert.equal(second.status, 3, second.stderr);
    assert.match(second.stderr, /MILL_BUNDLE_HASH/);
    for await (const { key } of store.list("bundles/")) await store.delete(key);
  });

  it("lets a worker drain on SIGTERM: it leaves with status 0, and the next job runs on the other", async () => {
    const worker = cluster.pop()!;
    const left = await worker.stop();
    assert.equal(left.status, 0, left.stderr);
    const job = ok(
      await millrace(["submit", "test/fixtures/word-count.ts", "-p", `input=${folder}/text-1.txt`, "-p", "output=x3"], {
        env,
      }),
    );
    assert.match(job.stdout, /finished/);
  });
});
