/**
 * The Open Inference handler against a real MLServer with a model of its own (test/python/mlserver), which is another
 * implementation of the protocol than the one our unit tests are written to. MLServer over HTTP speaks JSON only.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openInference } from "../../src/services/handlers/open-inference.js";
import type { LoadedHandler } from "../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../src/types/batches.js";
import { t } from "../../src/types/columns.js";
import { packageRoot } from "../servers/find.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";
import { callContext, errorOf, loadContext } from "../unit/services/handlers/contexts.js";

const REQUIREMENTS = "test/python/mlserver/requirements.txt";
const READY_MS_MAX = 60_000;
/** It cannot be told to choose its ports, and somebody else may take a free one in between. */
const STARTS_MAX = 5;

const input = { vector: t.list(t.float32), text: t.utf8, image: t.binary, id: t.int64 };
const output = {
  doubled: t.list(t.float32),
  next: t.int64,
  bytes: t.int32,
  shout: t.utf8,
  copy: t.binary,
};

describe("openInference: a real MLServer", () => {
  let server: ChildProcess | undefined;
  let url = "";
  let said = "";
  /** What it writes into the folder that it is started in. */
  let written = "";
  const over = new AbortController();
  let handler: LoadedHandler<typeof input, typeof output> | undefined;

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    const python = await pythonFor(this, REQUIREMENTS);
    written = await mkdtemp(join(tmpdir(), "millrace-mlserver-"));
    for (let start = 1; handler === undefined; start++) {
      said = "";
      handler = await started(python, await freePorts(3)).catch((error: unknown) => {
        if (start < STARTS_MAX && /address already in use/i.test(said)) return undefined;
        return assert.fail(`${error}; MLServer said: ${said}`);
      });
    }
  });

  async function started(python: string, [http, grpc, metrics]: readonly number[]) {
    url = `http://127.0.0.1:${http}`;
    const folder = join(packageRoot(), "test", "python", "mlserver", "measure");
    const child = spawn(join(dirname(python), "mlserver"), ["start", folder], {
      cwd: written,
      env: {
        ...process.env,
        PYTHONDONTWRITEBYTECODE: "1",
        MLSERVER_HOST: "127.0.0.1",
        MLSERVER_HTTP_PORT: String(http),
        MLSERVER_GRPC_PORT: String(grpc),
        MLSERVER_METRICS_PORT: String(metrics),
        MLSERVER_PARALLEL_WORKERS: "0", // its model runs in the server's own process
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    server = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4_000);
      });
    }
    // Loaded while it is still starting: the handler waits until server and model are ready.
    const ended = new Promise<never>((_, reject) => {
      child.once("close", (status) => reject(new Error(`MLServer ended with status ${status}`)));
    });
    ended.catch(() => {}); // once it is up it is stopped by the test itself
    return Promise.race([load("measure"), ended]);
  }

  after(async () => {
    over.abort(new Error("the test is over"));
    await handler?.unload?.();
    if (server !== undefined && server.exitCode === null) {
      const ended = new Promise((resolve) => server?.once("exit", resolve));
      server.kill("SIGKILL");
      await ended;
    }
    if (written !== "") await rm(written, { recursive: true, force: true });
  });

  const load = (model: string, types: { input: typeof input; output: typeof output } = { input, output }) =>
    openInference<typeof input, typeof output>({ url, model, readyTimeoutMs: READY_MS_MAX }).load(
      loadContext({ service: "measure", signal: over.signal, ...types }),
    );
  const rows = [
    { vector: [1, 2.5], text: "grüße", image: Uint8Array.of(0, 255, 128), id: 41n },
    { vector: [-3, 0], text: "水", image: new Uint8Array(0), id: -1n },
  ];

  it("answers every row in its place, with numbers, text and content", async () => {
    const answer = await handler!.infer(batchFromRows(input, rows), callContext());
    assert.deepEqual(rowsOf(output, answer), [
      { doubled: [2, 5], next: 42n, bytes: 3, shout: "GRÜSSE", copy: Uint8Array.of(0, 255, 128) },
      { doubled: [-6, 0], next: 0n, bytes: 0, shout: "水", copy: new Uint8Array(0) },
    ]);
  });

  it("answers one row as it does many", async () => {
    const answer = await handler!.infer(batchFromRows(input, rows.slice(1)), callContext({ rowId: () => "row-1" }));
    assert.deepEqual(rowsOf(output, answer), [
      { doubled: [-6, 0], next: 0n, bytes: 0, shout: "水", copy: new Uint8Array(0) },
    ]);
  });

  it("answers 32 calls at a time", async () => {
    const calls = Array.from({ length: 32 }, (_, i) =>
      handler!.infer(batchFromRows(input, [{ ...rows[0]!, id: BigInt(i) }]), callContext()),
    );
    const next = (await Promise.all(calls)).map((answer) => rowsOf(output, answer)[0]?.next);
    assert.deepEqual(
      next,
      Array.from({ length: 32 }, (_, i) => BigInt(i + 1)),
    );
  });

  it("a row that the model refuses is MILL_ENDPOINT_REFUSED with the model's words", async () => {
    const error = await errorOf(handler!.infer(batchFromRows(input, [{ ...rows[0]!, text: "refuse" }]), callContext()));
    assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
    assert.match(error.message, /answered 400: this text is not for me/);
  });

  it("a model that falls over is MILL_ENDPOINT_FAILED, which is tried again", async () => {
    const error = await errorOf(handler!.infer(batchFromRows(input, [{ ...rows[0]!, text: "crash" }]), callContext()));
    assert.equal(error.code, "MILL_ENDPOINT_FAILED");
    assert.equal(error.retry, "backoff");
  });

  it("a model that it does not have is refused when an instance loads", async () => {
    const error = await errorOf(load("other"));
    assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
    assert.match(error.message, /answered 404: Model other not found/);
  });

  it("inputs that are not the model's are found when an instance loads", async () => {
    const { text, ...rest } = input;
    const error = await errorOf(load("measure", { input: { ...rest, words: text } as never, output }));
    assert.equal(error.code, "MILL_MODEL_INPUTS");
    assert.match(error.message, /takes vector: FP32; text: BYTES.*feeds.*words: BYTES/);
  });
});

/** Free when asked for. */
async function freePorts(count: number): Promise<number[]> {
  const probes = await Promise.all(
    Array.from({ length: count }, async () => {
      const probe = createServer();
      await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
      return probe;
    }),
  );
  return Promise.all(
    probes.map(async (probe) => {
      const { port } = probe.address() as { port: number };
      await new Promise((resolve) => probe.close(resolve));
      return port;
    }),
  );
}
