import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, readFile, realpath, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Bundle, bundleTopology } from "../../../src/cli/bundle.js";
import { type LoadOptions, loadTopology, placeBundle } from "../../../src/cli/load-topology.js";
import { packageRoot } from "../../../src/cli/packages.js";
import { packageFiles, topologyFile, useFolders } from "./folders.js";

const asIs: LoadOptions = { params: {}, parallelism: 0, inputs: {} };

/** Real path of a package, as the bundle at `file` finds it. */
function seenFrom(file: string, name: string): Promise<string> {
  return realpath(join(dirname(file), "node_modules", name));
}

describe("cli/load-topology: placing a bundle where it can be imported", () => {
  const makeFolder = useFolders();
  const native = packageFiles("native", 'module.exports = { pattern: "first/*.txt" };', { gypfile: true });
  const usesNative = { ...native, "topology.ts": topologyFile('import native from "native";', "native.pattern") };

  async function bundled(): Promise<{ readonly bundle: Bundle; readonly folder: string; readonly cache: string }> {
    const folder = await makeFolder(usesNative);
    const cache = await makeFolder({});
    return { bundle: await bundleTopology(join(folder, "topology.ts")), folder, cache };
  }

  it("links what the bundle left out, so that it loads from the cache alone", async () => {
    const { bundle, folder, cache } = await bundled();
    const file = await placeBundle(bundle.code, bundle.sha256, "here", cache, [folder]);
    assert.ok(file.startsWith(join(cache, "bundles", bundle.sha256)));
    assert.equal(await seenFrom(file, "native"), join(folder, "node_modules", "native"));
    assert.equal(await seenFrom(file, "millrace"), packageRoot);
    const { topology } = await loadTopology(file, asIs);
    const [source] = topology.operators;
    assert.equal(source?.kind === "source" && source.source.describe, "files first/*.txt");
  });

  it("doing it again, also at once, gives the same file and changes nothing", async () => {
    const { bundle, folder, cache } = await bundled();
    const place = () => placeBundle(bundle.code, bundle.sha256, "here", cache, [folder]);
    const placed = await Promise.all([place(), place(), place()]);
    assert.equal(new Set([...placed, await place()]).size, 1);
    assert.deepEqual(await readFile(placed[0]!), Buffer.from(bundle.code));
  });

  it("two installations that share a cache each get their own packages", async () => {
    const { bundle, folder, cache } = await bundled();
    const other = await makeFolder(
      packageFiles("native", 'module.exports = { pattern: "second/*.txt" };', { gypfile: true }),
    );
    const [one, two] = await Promise.all(
      [folder, other].map((from) => placeBundle(bundle.code, bundle.sha256, "here", cache, [from])),
    );
    assert.equal(await seenFrom(one!, "native"), join(folder, "node_modules", "native"));
    assert.equal(await seenFrom(two!, "native"), join(other, "node_modules", "native"));
    const patterns = await Promise.all(
      [one!, two!].map(async (file) => (await loadTopology(file, asIs)).topology.operators[0]),
    );
    assert.deepEqual(
      patterns.map((node) => node?.kind === "source" && node.source.describe),
      ["files first/*.txt", "files second/*.txt"],
    );
  });

  it("two checkouts of millrace that share a cache each get their own millrace", async () => {
    const { bundle, folder, cache } = await bundled();
    const checkout = await makeFolder({});
    await cp(join(packageRoot, "dist", "src"), join(checkout, "dist", "src"), { recursive: true });
    await cp(join(packageRoot, "package.json"), join(checkout, "package.json"));
    await symlink(join(packageRoot, "node_modules"), join(checkout, "node_modules"), "junction");
    const url = pathToFileURL(join(checkout, "dist", "src", "cli", "load-topology.js")).href;
    const theirs = (await import(url)) as { placeBundle: typeof placeBundle };
    const file = await placeBundle(bundle.code, bundle.sha256, "here", cache, [folder]);
    const their = await theirs.placeBundle(bundle.code, bundle.sha256, "here", cache, [folder]);
    assert.equal(await seenFrom(file, "millrace"), packageRoot);
    assert.equal(await seenFrom(their, "millrace"), checkout);
    assert.notEqual(createRequire(file).resolve("millrace"), createRequire(their).resolve("millrace"));
  });

  it("apache-arrow is the runtime's, even where another copy lies nearer", async () => {
    const folder = await makeFolder({
      ...packageFiles("apache-arrow", "module.exports = {};"),
      "topology.ts": topologyFile('import { Float32 } from "apache-arrow";', "String(Float32)"),
    });
    const bundle = await bundleTopology(join(folder, "topology.ts"));
    const file = await placeBundle(bundle.code, bundle.sha256, "here", await makeFolder({}), [folder]);
    assert.equal(await seenFrom(file, "apache-arrow"), join(packageRoot, "node_modules", "apache-arrow"));
  });

  it("a bundle that was tampered with is MILL_BUNDLE_HASH, and nothing of it is kept", async () => {
    const { bundle, folder, cache } = await bundled();
    const tampered = Buffer.concat([bundle.code, Buffer.from("\nglobalThis.tampered = true;\n")]);
    await assert.rejects(placeBundle(tampered, bundle.sha256, "s3://jobs/bundle", cache, [folder]), {
      code: "MILL_BUNDLE_HASH",
      message:
        /^the bundle at s3:\/\/jobs\/bundle has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} was submitted\. .* submit the job again\.$/,
      facts: { expected: bundle.sha256, found: createHash("sha256").update(tampered).digest("hex") },
    });
    await assert.rejects(readFile(join(cache, "bundles")), { code: "ENOENT" });
  });

  for (const [what, damage] of [
    ["changed", "throw new Error('damaged');"],
    ["cut to nothing", ""],
  ] as const) {
    it(`a cached file that was ${what} is written anew`, async () => {
      const { bundle, folder, cache } = await bundled();
      const place = () => placeBundle(bundle.code, bundle.sha256, "here", cache, [folder]);
      const file = await place();
      await writeFile(file, damage);
      assert.equal(await place(), file);
      assert.deepEqual(await readFile(file), Buffer.from(bundle.code));
    });
  }

  it("a package that is not installed here is MILL_BUNDLE_PACKAGE with the command that installs it", async () => {
    const { bundle, cache } = await bundled();
    const elsewhere = await makeFolder({});
    await assert.rejects(placeBundle(bundle.code, bundle.sha256, "here", cache, [elsewhere]), {
      code: "MILL_BUNDLE_PACKAGE",
      message:
        'the topology needs the package "native", which is not installed here. Install it where this process runs: npm install native',
      facts: { package: "native", folder: elsewhere },
    });
  });
});

describe("cli/load-topology: from a file to a plan", () => {
  const makeFolder = useFolders();

  async function load(text: string, options: Partial<LoadOptions> = {}) {
    const folder = await makeFolder({ "topology.ts": text });
    const bundle = await bundleTopology(join(folder, "topology.ts"));
    const file = await placeBundle(bundle.code, bundle.sha256, "here", await makeFolder({}));
    return loadTopology(file, { ...asIs, ...options }, "topology.ts");
  }
  it("a module that awaits what never comes is MILL_TOPOLOGY_LOAD in the end, with the file, the time and what to do", async () => {
    const folder = await makeFolder({ "topology.mjs": "await new Promise(() => {});" });
    await assert.rejects(loadTopology(join(folder, "topology.mjs"), asIs, "topology.ts", 1), {
      code: "MILL_TOPOLOGY_LOAD",
      message:
        /^topology\.ts was not loaded within 1 ms: something that it awaits at its top level .* a handler's load\.$/,
      facts: { file: "topology.ts" },
    });
  });

  const withParams = topologyFile("", 'job.param("input", "*.txt") + job.param("ending", "")');

  it("parameters, parallelism and other inputs reach it", async () => {
    const { topology, plan } = await load(withParams, {
      params: { input: "*.md" },
      parallelism: 3,
    });
    const [source] = topology.operators;
    assert.equal(source?.kind === "source" && source.source.describe, "files *.md");
    assert.equal(plan.actors.length, 3);
    const relocated = await load(withParams, { inputs: { "source-1": "s3://bucket/*" } });
    const [moved] = relocated.topology.operators;
    assert.equal(moved?.kind === "source" && moved.source.describe, "files s3://bucket/*");
  });

  it("a parameter that the topology does not have is MILL_CONFIG and says which it has", async () => {
    await assert.rejects(load(withParams, { params: { inputs: "*.md" } }), {
      code: "MILL_CONFIG",
      message: 'topology.ts has no parameter "inputs". It has: ending, input.',
    });
    await assert.rejects(load(topologyFile(""), { params: { input: "*.md" } }), {
      code: "MILL_CONFIG",
      message: 'topology.ts has no parameter "input". It has none.',
    });
  });

  for (const [how, use] of [
    ["by name", "params.unit"],
    ["with `in`", '"unit" in params'],
    ["by taking it apart", "(({ unit, ...others }) => unit)(params)"],
    ["with all others", "Object.keys({ ...params })"],
  ] as const) {
    it(`a parameter that options ask for ${how} is one that the topology has`, async () => {
      const text = `import { files, jsonl, topology } from "millrace";
export default topology("small", (job) => job.read(files("*")).to(jsonl("out")), (params) => {
  ${use};
  return {};
});
`;
      await load(text, { params: { unit: "pages" } });
    });
  }

  for (const [what, text, message] of [
    [
      "without a default export",
      "export const x = 1;",
      /^topology\.ts has no topology as its default export\. End it with/,
    ],
    [
      "whose default export is something else",
      "export default {};",
      /^topology\.ts has no topology as its default export/,
    ],
    [
      "that throws while it is loaded",
      'throw new Error("no luck");',
      /^topology\.ts threw while it was loaded: no luck$/,
    ],
    [
      "that throws while it is built",
      topologyFile("", '(() => { throw new Error("no luck"); })()'),
      /^topology\.ts threw while its topology was built: no luck$/,
    ],
  ] as const) {
    it(`a file ${what} is MILL_TOPOLOGY_LOAD`, () =>
      assert.rejects(load(text), { code: "MILL_TOPOLOGY_LOAD", message }));
  }

  it("an error of ours keeps its code", () =>
    assert.rejects(load('import { topology } from "millrace";\nexport default topology("small", () => {});'), {
      code: "MILL_TOPOLOGY_UNCONNECTED",
    }));

  it("a plan that is not the submitted one is MILL_PLAN_MISMATCH", async () => {
    const { plan } = await load(withParams);
    await load(withParams, { planHash: plan.hash });
    await assert.rejects(load(withParams, { planHash: plan.hash, parallelism: 2 }), {
      code: "MILL_PLAN_MISMATCH",
      message: new RegExp(`but ${plan.hash} was submitted\\. .*no time or randomness`),
    });
  });
});
