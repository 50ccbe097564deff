/**
 * Requests that nobody thought of, made from the OpenAPI document by schemathesis, against a job that runs: the API refuses or answers each as
 * its document says, and the job goes on. `npm run fuzz` makes more than 10,000 of them; otherwise it is a sample.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "../e2e/cluster.js";
import { MillraceProcess } from "../e2e/millrace-process.js";
import { packageRoot } from "../servers/find.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";

const REQUIREMENTS = "test/python/fuzz/requirements.txt";
const WHOLE = process.env.npm_lifecycle_event === "fuzz";
/** Of each operation, besides those that schemathesis makes to reach every keyword of the schemas. */
const EXAMPLES = WHOLE ? 400 : 12;
const REQUESTS_MIN = WHOLE ? 10_000 : 500;
/** Of a machine's memory this is promised to few: what scales a service to hundreds of instances gets as many as fit. */
const INSTANCE_MEMORY = "4 GiB";
const FUZZ_MS_MAX = WHOLE ? 30 * 60_000 : 240_000;

/**
 * Not `positive_data_acceptance`: that a name or a place in a list is of the right form does not mean that it is there. Not `unsupported_method` and `allow_header_conformance`: `/dead-letters/replay`
 * is also a place where a letter could be. Methods are tested in test/unit/api/hostile.test.ts.
 */
const CHECKS = [
  ...["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"],
  ...["response_schema_conformance", "negative_data_rejection"],
];

/** Besides what schemathesis expects: a body may be too large before it is wrong; and no instance of a service may be ready. */
const SETTINGS = `
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
[[operations]]
include-tag = "models"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
`;

interface Named {
  readonly [name: string]: unknown;
}

describe("the HTTP API under requests that nobody thought of", () => {
  let python = "";
  let folder = "";
  let job: MillraceProcess;
  let url = "";

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    python = await pythonFor(this, REQUIREMENTS);
    folder = await mkdtemp(join(tmpdir(), "millrace-fuzz-"));
    await mkdir(join(folder, "marks"));
    await writeFile(join(folder, "words.txt"), "hold-1 word");
    await writeFile(join(folder, "schemathesis.toml"), SETTINGS);
    const params = {
      input: join(folder, "*.txt"),
      output: join(folder, "out"),
      marks: join(folder, "marks"),
      instances: 2,
      memory: INSTANCE_MEMORY,
    };
    const flags = Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    job = new MillraceProcess(["run", "--http", "127.0.0.1:0", "test/fixtures/told-words.ts", ...flags]);
    await job.says("HTTP API and dashboard at", 60_000);
    url = /dashboard at (\S+)/.exec(job.said)![1]!;
  });
  after(async function () {
    this.timeout(60_000);
    if (folder !== "") await writeFile(join(folder, "marks", "release"), "");
    await job?.stop();
    if (folder !== "") await rm(folder, { recursive: true });
  });

  const itemsOf = async (path: string): Promise<Named[]> => {
    const answer = await fetch(`${url}${path}`);
    assert.equal(answer.status, 200, path);
    return ((await answer.json()) as { items: Named[] }).items;
  };
  const change = (method: string, path: string, body?: object) =>
    fetch(`${url}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });

  it("answers each as the document says, none with 5xx, and the job goes on and ends well", async function () {
    this.timeout(FUZZ_MS_MAX + 120_000);
    const running = async () => {
      const [found] = await itemsOf("/v1/jobs");
      const { instancesReady } = found!.counts as { instancesReady: number };
      return found!.state === "RUNNING" && instancesReady === 2 ? String(found!.job) : undefined;
    };
    const name = await until("the job to run", running, { withinMs: 60_000 });
    const names = { job: name, service: "told", model: "told", instance: "told-1-0", worker: "local" };

    const said = await fuzz(names);
    const requests = Number(/(\d[\d,]*) generated/.exec(said)?.[1]?.replaceAll(",", ""));
    assert.ok(requests >= REQUESTS_MIN, `${requests} requests\n${said}`);
    if (WHOLE) console.log(said.slice(said.lastIndexOf("SUMMARY")));
    assert.equal(job.complained.includes("a request failed"), false, job.complained);

    assert.equal((await change("POST", `/v1/jobs/${name}/resume`)).status, 202);
    assert.equal((await change("PATCH", `/v1/jobs/${name}/services/told`, { instances: 1 })).status, 202);
    await writeFile(join(folder, "marks", "release"), "");
    const { status, stdout, stderr } = await job.ended;
    assert.equal(status, 0, `${stdout.slice(-2_000)}\n${stderr}`);
    assert.deepEqual((await words()).sort(), ["hold-1", "word"]);
  });

  async function fuzz(names: object): Promise<string> {
    const flags = [
      ...["run", `${url}/openapi.json`, "--phases", "coverage,fuzzing", "--checks", CHECKS.join(",")],
      ...[
        "--max-examples",
        String(EXAMPLES),
        "--seed",
        "6",
        "--request-timeout",
        "10",
        "--generation-database",
        "none",
      ],
      // Its answer does not end; its own tests are in test/unit/api.
      ...["--exclude-operation-id", "streamEvents"],
      ...["--continue-on-failure", "--no-color"],
    ];
    const env = {
      ...process.env,
      PYTHONPATH: join(packageRoot(), "test", "python", "fuzz"),
      SCHEMATHESIS_HOOKS: "known_names",
      PYTHONDONTWRITEBYTECODE: "1",
      MILLRACE_FUZZ_NAMES: JSON.stringify(names),
    };
    const options = { env, cwd: folder, timeout: FUZZ_MS_MAX, maxBuffer: 1 << 28 };
    return promisify(execFile)(python, ["-m", "schemathesis.cli", ...flags], options).then(
      ({ stdout }) => stdout,
      ({ stdout, stderr }) => assert.fail(`${stdout}\n${stderr}\nstandard error of the job:\n${job.complained}`),
    );
  }

  async function words(): Promise<string[]> {
    const all: string[] = [];
    for (const file of await readdir(join(folder, "out"))) {
      if (!file.endsWith(".jsonl")) continue;
      const lines = (await readFile(join(folder, "out", file), "utf8")).split("\n").filter((line) => line !== "");
      all.push(...lines.map((line) => (JSON.parse(line) as { word: string }).word));
    }
    return all;
  }
});
