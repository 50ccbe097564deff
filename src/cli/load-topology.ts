/** From a checked bundle to a topology and its plan. Runs wherever user code runs: command line, host, instance. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { MillraceError } from "../base/errors.js";
import { type Plan, planTopology } from "../plan/plan.js";
import { relocateSources } from "../plan/relocate.js";
import type { Topology } from "../topology/nodes.js";
import type { TopologyDefinition } from "../topology/topology.js";
import { checkBundle } from "./bundle.js";
import { findPackage } from "./packages.js";

/**
 * Writes the bundle where it can be imported: in a folder of its own with a `node_modules` that links the packages
 * the bundle left out to the copies installed here. Doing it twice changes nothing.
 *
 * @returns path of the file to import
 * @throws {MillraceError} `MILL_BUNDLE_HASH`; `MILL_BUNDLE_PACKAGE` naming a package that is not installed here
 */
export async function placeBundle(code: Uint8Array, sha256: string, where: string, cache: string): Promise<string> {
  const external = checkBundle(code, sha256, where);
  const folder = join(cache, "bundles", sha256);
  const file = join(folder, "topology.mjs");
  for (const name of external) {
    const target = findPackage(name, [process.cwd()]);
    if (target === undefined) {
      throw new MillraceError(
        "MILL_BUNDLE_PACKAGE",
        `the topology needs the package "${name}", which is not installed here. Install it where this process runs: npm install ${name}`,
        { package: name, folder: process.cwd() },
      );
    }
    const link = join(folder, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(target, link, "junction").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  if (!existsSync(file)) {
    const staged = `${file}.${randomUUID()}`;
    await writeFile(staged, code);
    await rename(staged, file);
  }
  return file;
}

export interface LoadOptions {
  readonly params: Readonly<Record<string, string>>;
  /** 0: the topology's own. */
  readonly parallelism: number;
  readonly inputs: Readonly<Record<string, string>>;
  /** What the plan's hash must be; undefined: whatever it is. */
  readonly planHash?: string;
}

export interface LoadedTopology {
  readonly topology: Topology;
  readonly plan: Plan;
}

/** @throws {MillraceError} `MILL_TOPOLOGY_*` what is wrong with it; `MILL_PLAN_MISMATCH` */
export async function loadTopology(file: string, options: LoadOptions): Promise<LoadedTopology> {
  const module = (await import(pathToFileURL(file).href).catch((cause: unknown) => {
    throw MillraceError.from(cause, "MILL_TOPOLOGY_LOAD", "the topology file threw while it was loaded");
  })) as { default?: unknown };
  const definition = module.default as Partial<TopologyDefinition> | undefined;
  if (typeof definition?.build !== "function") {
    throw new MillraceError(
      "MILL_TOPOLOGY_LOAD",
      'the file has no topology as its default export. End it with: export default topology("name", (job) => { ... })',
    );
  }
  const topology = relocateSources(definition.build(options.params), options.inputs);
  const plan = planTopology(topology, options.parallelism > 0 ? { parallelism: options.parallelism } : {});
  if (options.planHash !== undefined && plan.hash !== options.planHash) {
    throw new MillraceError(
      "MILL_PLAN_MISMATCH",
      `the plan came out as ${plan.hash}, but ${options.planHash} was submitted. Use the same version of millrace everywhere, and no time or randomness where the topology is built.`,
      { found: plan.hash, expected: options.planHash },
    );
  }
  return { topology, plan };
}
