/** From a checked bundle to a topology and its plan. Runs wherever user code runs: command line, host, instance. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { type Plan, planTopology } from "../plan/plan.js";
import { relocateSources } from "../plan/relocate.js";
import type { Topology } from "../topology/nodes.js";
import type { TopologyDefinition } from "../topology/topology.js";
import { checkBundle, SHARED } from "./bundle.js";
import { findPackage } from "./packages.js";

/**
 * Writes the bundle where it can be imported: in a folder of its own with a `node_modules` that links the packages
 * the bundle left out to the copies installed here. Doing it twice changes nothing, also by two processes at once. Where
 * the copies are is part of the folder's name, so that two installations can share a cache.
 *
 * @param from folders where packages are looked for, upward; after them beside this package
 * @returns path of the file to import
 * @throws {MillraceError} `MILL_BUNDLE_HASH`; `MILL_BUNDLE_PACKAGE` naming a package that is not installed here
 */
export async function placeBundle(
  code: Uint8Array,
  sha256: string,
  where: string,
  cache: string,
  from: readonly string[] = [process.cwd()],
): Promise<string> {
  const links = checkBundle(code, sha256, where).map((name) => ({ name, target: installed(name, from) }));
  const places = createHash("sha256").update(JSON.stringify(links)).digest("hex").slice(0, 16);
  const folder = join(cache, "bundles", sha256, places);
  const file = join(folder, "topology.mjs");
  await mkdir(folder, { recursive: true });
  for (const { name, target } of links) {
    const link = join(folder, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(target, link, "junction").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  const there = await readFile(file).catch(() => undefined);
  if (there === undefined || !there.equals(code)) {
    const staged = `${file}.${randomUUID()}`;
    await writeFile(staged, code);
    await rename(staged, file);
  }
  return file;
}

function installed(name: string, from: readonly string[]): string {
  const target = findPackage(name, SHARED.has(name) ? [] : from);
  if (target !== undefined) return target;
  throw new MillraceError(
    "MILL_BUNDLE_PACKAGE",
    `the topology needs the package "${name}", which is not installed here. Install it where this process runs: npm install ${name}`,
    { package: name, folder: from[0] ?? "" },
  );
}

export interface LoadOptions {
  readonly params: Readonly<Record<string, string>>;
  /** 0: the topology's own. */
  readonly parallelism: number;
  readonly inputs: Readonly<Record<string, string>>;
  /** SHA-256 of the bundle that the file must be, lower-case hex; undefined: this process has just made it. */
  readonly bundle?: string;
  /** What the plan's hash must be; undefined: whatever it is. */
  readonly planHash?: string;
}

export interface LoadedTopology {
  readonly topology: Topology;
  readonly plan: Plan;
}

/**
 * @param name of the file in messages: the one that the user gave
 * @param loadMsMax how long its module may take to load
 * @throws {MillraceError} `MILL_TOPOLOGY_*` what is wrong with it; `MILL_CONFIG` a parameter it does not have;
 *   `MILL_PLAN_MISMATCH`; `MILL_BUNDLE_HASH`
 */
export async function loadTopology(
  file: string,
  options: LoadOptions,
  name = file,
  loadMsMax: number = limits.bundleLoadTimeoutMs,
): Promise<LoadedTopology> {
  // Whoever has placed it has looked, too; what runs is what is there now.
  if (options.bundle !== undefined) checkBundle(await readFile(file), options.bundle, file);
  const imported = import(pathToFileURL(file).href).catch((cause: unknown) => {
    throw MillraceError.from(cause, "MILL_TOPOLOGY_LOAD", `${name} threw while it was loaded`);
  });
  const module = (await inTime(imported, name, loadMsMax)) as { default?: unknown };
  const definition = module.default as Partial<TopologyDefinition> | undefined;
  if (typeof definition?.build !== "function") {
    throw new MillraceError(
      "MILL_TOPOLOGY_LOAD",
      `${name} has no topology as its default export. End it with: export default topology("name", (job) => { ... })`,
      { file: name },
    );
  }
  const built = build(definition as TopologyDefinition, options.params, name);
  const topology = relocateSources(built, options.inputs);
  const plan = planTopology(topology, options.parallelism !== 0 ? { parallelism: options.parallelism } : {});
  if (options.planHash !== undefined && plan.hash !== options.planHash) {
    throw new MillraceError(
      "MILL_PLAN_MISMATCH",
      `the plan came out as ${plan.hash}, but ${options.planHash} was submitted. Use the same version of millrace everywhere, and no time or randomness where the topology is built.`,
      { found: plan.hash, expected: options.planHash },
    );
  }
  return { topology, plan };
}

/** A module that awaits what never comes would neither load nor fail, and nobody would say why nothing happens. */
async function inTime(imported: Promise<unknown>, name: string, loadMsMax: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `${name} was not loaded within ${loadMsMax} ms: something that it awaits at its top level does not come. Move that into a function: an operator's, or a handler's load.`;
    timer = setTimeout(() => reject(new MillraceError("MILL_TOPOLOGY_LOAD", text, { file: name })), loadMsMax);
  });
  try {
    return await Promise.race([imported, late]);
  } finally {
    clearTimeout(timer);
    imported.catch(() => {}); // what it fails with later nobody waits for
  }
}

/** A parameter that the topology never asks for is a misspelled one: the run would be another than the user means. */
function build(definition: TopologyDefinition, params: Readonly<Record<string, string>>, name: string): Topology {
  const asked = new Set<string>();
  const watched = new Proxy(params, {
    get(target, key) {
      if (typeof key === "string") asked.add(key);
      return Reflect.get(target, key);
    },
    has(target, key) {
      if (typeof key === "string") asked.add(key);
      return Reflect.has(target, key);
    },
    getOwnPropertyDescriptor(target, key) {
      if (typeof key === "string") asked.add(key);
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
  });
  let built: Topology;
  try {
    built = definition.build(watched);
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_TOPOLOGY_LOAD", `${name} threw while its topology was built`);
  }
  const unknown = Object.keys(params).find((param) => !asked.has(param));
  if (unknown === undefined) return built;
  const known = asked.size === 0 ? "It has none." : `It has: ${[...asked].sort().join(", ")}.`;
  throw new MillraceError("MILL_CONFIG", `${name} has no parameter "${unknown}". ${known}`, { param: unknown });
}
