/**
 * Stands in for packages with compiled code where a topology is planned: compiled code does what it likes, whatever Node forbids. A topology that
 * imports such a package, and uses it in its handlers and functions alone, is planned all the same; one that needs a value of it to be built is told so.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SHARED } from "./bundle.js";
import { packageNameOf } from "./packages.js";

/** Of the error with which a stand-in is used. */
export const STUB_USED = "MILLRACE_STUB_USED";

/** Of the packages that a bundle leaves outside: those that are not loaded. WebAssembly is confined like all else. */
export const isStubbed = (name: string): boolean => !SHARED.has(name) && !name.includes("wasm");

/** In place of the links that `placeBundle` has made beside the bundle. */
export async function placeStubs(bundleFile: string, code: Uint8Array, names: readonly string[]): Promise<void> {
  const text = Buffer.from(code).toString("utf8");
  for (const name of names.filter(isStubbed)) {
    const folder = join(dirname(bundleFile), "node_modules", name);
    await rm(folder, { recursive: true, force: true }); // of a link, the link
    await mkdir(folder, { recursive: true });
    const ways = { import: "./stub.mjs", require: "./stub.cjs" };
    await writeFile(join(folder, "package.json"), JSON.stringify({ name, exports: { ".": ways, "./*": ways } }));
    await writeFile(join(folder, "stub.cjs"), stub(name));
    await writeFile(join(folder, "stub.mjs"), exportsOf(namesFrom(text, name)));
  }
}

/** Calls are let pass, for modules set up what they import (`sharp.concurrency(1)`); what comes of one may not become a value. */
function stub(name: string): string {
  return `const used = () => {
  throw Object.assign(new Error(${JSON.stringify(name)}), { code: ${JSON.stringify(STUB_USED)} });
};
const values = new Set([Symbol.toPrimitive, Symbol.iterator, Symbol.asyncIterator, "toString", "valueOf", "toJSON"]);
const none = (key) => typeof key === "symbol" || key === "then" || key === "__esModule";
const stub = new Proxy(function () {}, {
  get: (_, key) => (values.has(key) ? used : none(key) ? undefined : stub),
  apply: () => stub,
  construct: () => stub,
});
module.exports = stub;
`;
}

function exportsOf(names: readonly string[]): string {
  const lines = names.map((name, i) => `const stub${i} = stub.${name};\nexport { stub${i} as ${name} };`);
  return ['import stub from "./stub.cjs";', "export default stub;", ...lines, ""].join("\n");
}

const IMPORT = /\b(?:import|export)\s*(?:[\w$]+\s*,\s*)?\{([^}]*)\}\s*from\s*"([^"]+)"/g;
const NAME = /^[A-Za-z_$][\w$]*$/;

/** What the bundle, as esbuild writes it, takes from a package by name: a module is asked for all of it when it is linked. */
function namesFrom(code: string, name: string): string[] {
  const found = [...code.matchAll(IMPORT)].filter(([, , from = ""]) => packageNameOf(from) === name);
  const names = found.flatMap(([, list = ""]) => list.split(",").map((one) => one.trim().split(/\s+as\s+/)[0]!));
  return [...new Set(names)].filter((one) => NAME.test(one) && one !== "default");
}
