import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { findAssets } from "../../../src/cli/assets.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pages, serviceOf } from "../topology/support.js";
import { packageFiles, useFolders } from "./folders.js";

function withAssets(assets: Readonly<Record<string, string>>) {
  const declared = serviceOf("reader", { name: t.utf8 }, { language: t.utf8 });
  const reader = { ...declared, handler: { ...declared.handler, assets } };
  return built((job) => job.read(pages).infer(reader).to(nowhere));
}

describe("cli/assets: files that services need", () => {
  const makeFolder = useFolders();

  it("are found beside the topology file and in packages, with hash and size", async () => {
    const folder = await makeFolder({
      "models/one.onnx": "model one",
      ...packageFiles("@scope/models", ""),
      "node_modules/@scope/models/deep/two.onnx": "model two!",
    });
    const wanted = { one: "models/one.onnx", two: "npm:@scope/models/deep/two.onnx" };
    assert.deepEqual(
      await findAssets(withAssets(wanted), folder),
      [
        ["one", "models/one.onnx", join(folder, "models", "one.onnx"), "model one"] as const,
        [
          "two",
          "npm:@scope/models/deep/two.onnx",
          join(folder, "node_modules/@scope/models/deep/two.onnx"),
          "model two!",
        ] as const,
      ].map(([name, source, path, content]) => ({
        service: "reader",
        name,
        source,
        path,
        sha256: createHash("sha256").update(content).digest("hex"),
        sizeBytes: BigInt(content.length),
      })),
    );
  });

  it("an asset that is not there is MILL_MODEL_MISSING with service, name, path and what to check", async () => {
    const folder = await makeFolder(packageFiles("models", ""));
    await mkdir(join(folder, "models"));
    const cases = {
      "models/none.onnx": `no file ${join(folder, "models/none.onnx")}. Check the path; it is relative to the topology file.`,
      models: `${join(folder, "models")} is a folder. Name the file.`,
      "npm:models/none.onnx": `no file ${join(folder, "node_modules/models/none.onnx")}. The package is installed; check the path inside it, and its version.`,
      "npm:no-such-package/x.onnx":
        "the package no-such-package is not installed. Install it: npm install no-such-package",
    };
    for (const [source, why] of Object.entries(cases)) {
      await assert.rejects(findAssets(withAssets({ model: source }), folder), {
        code: "MILL_MODEL_MISSING",
        message: `service "reader": its asset "model" (${source}) is not there: ${why}`,
        facts: { service: "reader", asset: "model", source },
      });
    }
  });
});
