/**
 * A service of a running job, called from outside by Triton's own HTTP client: another implementation of the protocol than ours. Its rows
 * and those of the stream meet in the same batches of the same instance.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "../e2e/cluster.js";
import { MillraceProcess } from "../e2e/millrace-process.js";
import { packageRoot } from "../servers/find.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";

const REQUIREMENTS = "test/python/triton/requirements.txt";
const ROWS = 60;

interface Found {
  readonly live: boolean;
  readonly ready: boolean;
  readonly model_ready: boolean;
  readonly metadata: { readonly inputs: unknown; readonly outputs: unknown; readonly platform: string };
  readonly calls: readonly {
    readonly binary: boolean;
    readonly sum: number[];
    readonly shout: string[];
    readonly together: number[];
    readonly mixed: boolean[];
  }[];
  readonly errors: Readonly<Record<string, { readonly status: string; readonly message: string }>>;
}

describe("a service as an endpoint: Triton's client", () => {
  let python = "";
  let folder = "";
  let run: MillraceProcess | undefined;

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    python = await pythonFor(this, REQUIREMENTS);
    folder = await mkdtemp(join(tmpdir(), "millrace-endpoint-"));
    for (let i = 0; i < ROWS; i++) await writeFile(join(folder, `text-${i}.txt`), "x");
  });
  after(async () => {
    run?.kill("SIGINT");
    await run?.ended;
    if (folder !== "") await rm(folder, { recursive: true, force: true });
  });

  it("describes it, calls it in both forms, shares batches with the stream, and says what is wrong", async function () {
    this.timeout(60_000);
    const output = join(folder, "out");
    const pace = join(folder, "pace");
    await writeFile(pace, "");
    const params = ["-p", `input=${folder}/text-*.txt`, "-p", `output=${output}`, "-p", `pace=${pace}`];
    run = new MillraceProcess(
      ["run", join(packageRoot(), "test/fixtures/endpoint.ts"), ...params, "--http", "127.0.0.1:0"],
      { cwd: folder },
    );
    await run.says("HTTP API");
    const address = /http:\/\/(\S+)/.exec(run.said)![1]!;
    await until("the service to be ready", async () =>
      (await fetch(`http://${address}/v2/models/sums/ready`)).ok ? true : undefined,
    );
    const { stdout } = await promisify(execFile)(python, [
      join(packageRoot(), "test/python/triton/call.py"),
      address,
      "sums",
      pace,
    ]);
    await appendFile(pace, ".".repeat(ROWS)); // the last rows have waited, so that the job has not ended meanwhile
    const found = JSON.parse(stdout) as Found;
    assert.ok(found.live && found.ready && found.model_ready);
    assert.deepEqual(found.metadata.inputs, [
      { name: "vector", datatype: "FP32", shape: [-1, 2] },
      { name: "text", datatype: "BYTES", shape: [-1] },
      { name: "from", datatype: "BYTES", shape: [-1] },
    ]);
    assert.equal(found.calls.length, 80);
    for (const { sum, shout } of found.calls) {
      assert.deepEqual(sum, [1, 5, 9]);
      assert.deepEqual(shout, ["GRÜN-0", "GRÜN-1", "GRÜN-2"]);
    }
    assert.deepEqual(new Set(found.calls.map(({ binary }) => binary)), new Set([true, false]));
    assert.ok(
      found.calls.some(({ together }) => together[0]! > 3),
      "calls from outside share a batch",
    );
    assert.match(found.errors.unknown!.status, /404/);
    assert.match(found.errors.unknown!.message, /MILL_REQUEST_NOT_FOUND.*There are: endpoint-.*\.sums/);
    assert.match(found.errors.missing!.status, /400/);
    assert.match(found.errors.missing!.message, /it has no tensor "text"/);

    const { status, stderr } = await run.ended;
    assert.equal(status, 0, stderr);
    const names = (await readdir(output)).filter((name) => name.endsWith(".jsonl"));
    const texts = await Promise.all(names.map((name) => readFile(join(output, name), "utf8")));
    const rows = texts
      .flatMap((text) => text.trim().split("\n"))
      .map((line) => JSON.parse(line) as { mixed: boolean; sum: number });
    assert.equal(rows.length, ROWS, "the stream has its own rows, each once");
    assert.ok(
      rows.some(({ mixed }) => mixed) || found.calls.some(({ mixed }) => mixed[0]),
      "rows of both met in one batch",
    );
  });
});
