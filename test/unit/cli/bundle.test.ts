import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bundle, bundleTopology, checkBundle } from "../../../src/cli/bundle.js";
import { findPackage, packageNameOf, packageRoot } from "../../../src/cli/packages.js";
import { packageFiles, topologyFile, useFolders } from "./folders.js";

const words = { "words.ts": 'export const words: string = "some words";\n' };
const usesWords = { ...words, "topology.ts": topologyFile('import { words } from "./words.js";', "words") };

function textOf(bundle: Bundle): string {
  return Buffer.from(bundle.code).toString("utf8");
}

describe("cli/bundle: a topology file and what it imports as one file", () => {
  const makeFolder = useFolders();
  const bundleOf = async (files: Record<string, string>) =>
    bundleTopology(join(await makeFolder(files), "topology.ts"));

  it("is named by the SHA-256 of its bytes", async () => {
    const { code, sha256 } = await bundleOf(usesWords);
    assert.equal(sha256, createHash("sha256").update(code).digest("hex"));
  });

  it("the same files give the same bundle, wherever they lie", async () => {
    const first = await bundleOf(usesWords);
    assert.equal((await bundleOf(usesWords)).sha256, first.sha256);
    const deeper = Object.entries(usesWords).map(([name, text]) => [`deeper/copy/${name}`, text]);
    const folder = await makeFolder(Object.fromEntries(deeper));
    assert.equal((await bundleTopology(join(folder, "deeper", "copy", "topology.ts"))).sha256, first.sha256);
  });

  it("another line anywhere in what it imports is another bundle", async () => {
    const folder = await makeFolder(usesWords);
    const { sha256 } = await bundleTopology(join(folder, "topology.ts"));
    await writeFile(join(folder, "words.ts"), 'export const words = "other words";\n');
    assert.notEqual((await bundleTopology(join(folder, "topology.ts"))).sha256, sha256);
  });

  it("holds own files and JavaScript packages, ES modules and CommonJS", async () => {
    const bundle = await bundleOf({
      ...usesWords,
      ...packageFiles("common", 'const { sep } = require("path"); module.exports = { mark: "from common" + sep };'),
      ...packageFiles("modern", 'export const mark = "from modern";', { type: "module" }),
      "topology.ts": topologyFile(
        'import { words } from "./words.js";\nimport common from "common";\nimport { mark } from "modern";',
        "words + common.mark + mark",
      ),
    });
    for (const part of ["some words", "from common", "from modern"]) assert.ok(textOf(bundle).includes(part), part);
    assert.deepEqual(bundle.external, ["millrace"]);
  });

  const outside: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    "compiled code in `binary`": { binary: { napi_versions: [6] } },
    "a gyp file": { gypfile: true },
    "an install script": { scripts: { install: "node build.js" } },
    "a post-install script": { scripts: { postinstall: "node download.js" } },
    "packages per platform": { optionalDependencies: { "@native/linux-x64": "1.0.0" } },
    "one platform": { os: ["linux"] },
    "a wasm name": { name: "native-wasm" },
  };
  for (const [what, manifest] of Object.entries(outside)) {
    it(`leaves out a package with ${what}`, async () => {
      const bundle = await bundleOf({
        ...packageFiles("native", 'module.exports = { mark: "from native" };', manifest),
        "topology.ts": topologyFile('import native from "native";', "native.mark"),
      });
      assert.deepEqual(bundle.external, ["millrace", "native"]);
      assert.ok(!textOf(bundle).includes("from native"));
    });
  }

  it("leaves out a native package that a bundled one needs, scoped and by a file in it", async () => {
    const bundle = await bundleOf({
      ...packageFiles("outer", 'module.exports = require("@scope/native/deep.js");'),
      ...packageFiles("@scope/native", "", { gypfile: true }),
      "node_modules/@scope/native/deep.js": 'module.exports = "from native";',
      "topology.ts": topologyFile('import outer from "outer";', "outer"),
    });
    assert.deepEqual(bundle.external, ["@scope/native", "millrace"]);
  });

  it("leaves out millrace and apache-arrow: their classes meet the runtime's own", async () => {
    const bundle = await bundleOf({
      "topology.ts": topologyFile(
        'import { Float32 } from "apache-arrow";\nimport { Message } from "apache-arrow/ipc/metadata/message";',
        "String(Float32) + Message",
      ),
    });
    assert.deepEqual(bundle.external, ["apache-arrow", "millrace"]);
  });

  it("names them in its first line, in order", async () => {
    const bundle = await bundleOf({
      "topology.ts": topologyFile('import { Float32 } from "apache-arrow";', "String(Float32)"),
    });
    assert.equal(textOf(bundle).split("\n", 1)[0], '// millrace external: ["apache-arrow","millrace"]');
    assert.deepEqual(checkBundle(bundle.code, bundle.sha256, "here"), ["apache-arrow", "millrace"]);
  });
});

describe("cli/bundle: a file that cannot be bundled", () => {
  const makeFolder = useFolders();

  it("one that is not there is MILL_TOPOLOGY_LOAD", async () => {
    const file = join(await makeFolder({}), "topology.ts");
    await assert.rejects(bundleTopology(file), {
      code: "MILL_TOPOLOGY_LOAD",
      message: `there is no file ${file}. Give the path of a topology file.`,
    });
  });

  it("a folder is MILL_TOPOLOGY_LOAD", async () => {
    const folder = await makeFolder({});
    await assert.rejects(bundleTopology(folder), {
      code: "MILL_TOPOLOGY_LOAD",
      message: `${folder} is a folder. Give the path of a topology file.`,
    });
  });

  it("a syntax error is MILL_BUNDLE_BUILD with file and line, also in an imported file", async () => {
    const folder = await makeFolder({
      "topology.ts": topologyFile('import { words } from "./parts/words.js";', "words"),
      "parts/words.ts": "export const fine = 1;\nexport const words = ;\n",
    });
    await assert.rejects(bundleTopology(join(folder, "topology.ts")), {
      code: "MILL_BUNDLE_BUILD",
      message: `${join(folder, "topology.ts")} cannot be bundled: parts/words.ts:2: Unexpected ";"`,
    });
  });

  for (const missing of ["./words.js", "no-such-package"]) {
    it(`an import of ${missing} that is not there is MILL_BUNDLE_BUILD with file and line`, async () => {
      const folder = await makeFolder({ "topology.ts": topologyFile(`import { words } from "${missing}";`, "words") });
      await assert.rejects(bundleTopology(join(folder, "topology.ts")), {
        code: "MILL_BUNDLE_BUILD",
        message: `${join(folder, "topology.ts")} cannot be bundled: topology.ts:2: Could not resolve "${missing}"`,
      });
    });
  }
});

describe("cli/packages: where packages are", () => {
  const makeFolder = useFolders();

  it("the name of a package is the first part of an import, two parts with a scope", () => {
    assert.deepEqual(["a", "a/b/c.js", "@s/a", "@s/a/b.js"].map(packageNameOf), ["a", "a", "@s/a", "@s/a"]);
  });

  it("the nearest one upward wins, then what is beside this package", async () => {
    const folder = await makeFolder({
      ...packageFiles("near", ""),
      ...Object.fromEntries(Object.entries(packageFiles("near", "")).map(([name, text]) => [`inner/${name}`, text])),
    });
    const inner = join(folder, "inner");
    assert.equal(findPackage("near", [inner]), join(inner, "node_modules", "near"));
    assert.equal(findPackage("near", [join(folder, "elsewhere")]), join(folder, "node_modules", "near"));
    assert.equal(findPackage("apache-arrow", [folder]), join(packageRoot, "node_modules", "apache-arrow"));
    assert.equal(findPackage("no-such-package", [folder]), undefined);
  });

  it("millrace is this one, whatever lies in a node_modules", async () => {
    const folder = await makeFolder(packageFiles("millrace", ""));
    assert.equal(findPackage("millrace", [folder]), packageRoot);
  });
});
