/**
 * What keeps sent code from the machine where it is planned: Node's permission model, and a few doors that it leaves open.
 *
 * Invariants:
 *   F1  It reads this package, installed packages and its own folder, and nothing else: no token, no credential, no other process.
 *   F2  It writes nothing, starts no process and no thread, loads no compiled code, and sends no signal.
 *   F3  What it is refused is said with what it is, and what to do instead.
 *
 * Not here: the network, which Node 20 cannot close (docs/security.md, "Planning what was sent"); time and memory: `plan-process.ts`.
 */
import { existsSync, realpathSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { dirname, join } from "node:path";
import v8 from "node:v8";
import { MillraceError } from "../base/errors.js";
import { packageRoot } from "./packages.js";
import { STUB_USED } from "./plan-stubs.js";

/** Flags of Node for a process that may read so much (F1, F2). */
export function confinement(reads: readonly string[]): string[] {
  const name = "--permission";
  // Versions before 22.13 know it by its first name.
  const permission = process.allowedNodeEnvironmentFlags.has(name) ? name : "--experimental-permission";
  return [permission, ...reads.map((path) => `--allow-fs-read=${path}`)];
}

/**
 * @param folder the process's own
 * @param packages folder from which packages are looked for, upward
 * @param linked packages that its bundle leaves outside
 */
export function readable(folder: string, packages: string, linked: readonly string[]): string[] {
  const folders = [
    ...[folder, ...linked, join(packageRoot, "dist"), join(packageRoot, "schemas")],
    ...[...upward(packages), ...upward(packageRoot)].map((above) => join(above, "node_modules")),
  ];
  // Of the package's own folder not all: where it is a checkout, anything may lie in it.
  const all = folders.filter((path) => path !== packageRoot && existsSync(path));
  const real = all.flatMap((path) => [path, realpathSync(path)]);
  return [...new Set([...real.map((path) => join(path, "*")), join(packageRoot, "package.json")])];
}

function upward(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...upward(above)];
}

const SIGNALS = ["kill", "_kill", "_debugProcess", "_debugEnd"];

/** Taken away before any sent code runs: a signal ends a coordinator, or opens its debugger; flags of V8 write files (F2). */
export function disarm(): void {
  const taken: readonly (readonly [target: object, names: readonly string[], does: string])[] = [
    [process, SIGNALS, "sends a signal to a process"],
    [os, ["setPriority"], "changes the priority of a process"],
    [v8, ["setFlagsFromString", "setHeapSnapshotNearHeapLimit"], "changes how Node runs"],
  ];
  for (const [target, names, does] of taken) {
    const value = () => {
      throw refusal(does);
    };
    for (const name of names) Object.defineProperty(target, name, { value, writable: false, configurable: false });
  }
  syncBuiltinESMExports();
}

interface Denied {
  readonly code?: string;
  readonly permission?: string;
  readonly resource?: string;
  readonly cause?: unknown;
}

const DENIED: Readonly<Record<string, string>> = {
  FileSystemRead: "reads",
  FileSystemWrite: "writes",
  ChildProcess: "starts a process",
  WorkerThreads: "starts a thread",
};

/** F3. @returns undefined: it failed for another reason */
export function refusalOf(error: unknown): MillraceError | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, permission = "", resource = "", cause } = error as Denied;
  if (code === STUB_USED)
    return refusal(`uses the package "${(error as Error).message}", which has compiled code`, error);
  if (code === "ERR_DLOPEN_DISABLED") return refusal("loads compiled code", error);
  if (code !== "ERR_ACCESS_DENIED") return refusalOf(cause);
  const does = DENIED[permission] ?? "uses what is closed to it";
  return refusal(resource === "" ? does : `${does} ${resource}`, error);
}

function refusal(does: string, cause?: unknown): MillraceError {
  const message = `where the topology is built, it ${does}. What is sent to a coordinator is planned without files, processes, threads and compiled code. Do that in a function or handler, which runs on the workers; or give what it needs as a parameter.`;
  return new MillraceError("MILL_TOPOLOGY_CONFINED", message, {}, { cause });
}
