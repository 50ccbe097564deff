/** `millrace doctor`: what is wrong with this machine and the servers, and how to mend it. Changes nothing that stays. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../base/errors.js";
import { realPorts } from "../../base/real/ports.js";
import { paintFor } from "../colours.js";
import { type Check, describeChecks, exitStatus, fail, ok } from "../doctor/check.js";
import { checkClock } from "../doctor/clock.js";
import {
  checkCache,
  checkFfmpeg,
  checkGpu,
  checkMachine,
  checkNode,
  checkPackages,
  checkPort,
} from "../doctor/machine-checks.js";
import { checkNats, type Found } from "../doctor/nats-checks.js";
import { checkStore } from "../doctor/store-checks.js";
import { thisMachine } from "../machine.js";
import { packageRoot } from "../packages.js";
import { type ClusterSettings, cacheFolder, clusterSettings, contentSettings } from "../settings.js";
import type { ClusterFlags } from "./coordinator.js";

export interface DoctorFlags extends ClusterFlags {
  readonly http?: string;
  readonly json?: boolean;
}

const NATIVE = ["onnxruntime-node", "sharp", "esbuild", "parquet-wasm"];

export async function doctorCommand(flags: DoctorFlags): Promise<void> {
  const checks = await check(flags, process.env);
  const exit = exitStatus(checks);
  const text = flags.json
    ? `${JSON.stringify({ exit, checks: checks.map(({ exit: _, ...check }) => check) })}\n`
    : describeChecks(checks, paintFor(process.stdout));
  // A client that gave up on a silent server may keep its socket.
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
  process.exit(exit);
}

async function check(flags: DoctorFlags, env: NodeJS.ProcessEnv): Promise<Check[]> {
  const manifest = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as Manifest;
  const machine = thisMachine(env);
  const cache = cacheFolder(env);
  const own = Promise.all([
    checkNode(process.versions.node, manifest.engines.node),
    ok("millrace", `${manifest.version} in ${packageRoot}`),
    checkPackages(NATIVE),
    checkFfmpeg(),
    checkMachine(machine),
    checkGpu(machine),
    checkCacheOf(cache, env),
    checkPort(flags.http ?? (env.MILLRACE_HTTP || "127.0.0.1:8080")),
  ]);
  const servers = await checkServers(flags, env);
  const clocks = servers.flatMap(({ clock }) => clock ?? []);
  const reached = servers.some(({ checks }) => checks.some(({ state }) => state === "ok"));
  return [...(await own), ...servers.flatMap(({ checks }) => checks), ...(reached ? [checkClock(clocks)] : [])];
}

interface Manifest {
  readonly version: string;
  readonly engines: { readonly node: string };
}

async function checkCacheOf(folder: string, env: NodeJS.ProcessEnv): Promise<Check> {
  try {
    return await checkCache(folder, contentSettings("", folder, env).folderBytesMax);
  } catch (cause) {
    return settingsCheck(cause);
  }
}

async function checkServers(flags: DoctorFlags, env: NodeJS.ProcessEnv): Promise<Found[]> {
  const named = (flag: string | undefined, name: string) => flag ?? (env[name] || undefined);
  const store = named(flags.store, "MILLRACE_STORE");
  let settings: ClusterSettings;
  try {
    settings = clusterSettings({ ...flags, store: store ?? "memory:" }, env);
  } catch (cause) {
    return [{ checks: [settingsCheck(cause)] }];
  }
  const ports = realPorts();
  return Promise.all([
    checkNats(settings.nats, named(flags.nats, "MILLRACE_NATS") !== undefined, ports),
    checkStore(store, settings.s3, ports),
  ]);
}

function settingsCheck(cause: unknown): Check {
  const { message } = MillraceError.from(cause);
  return fail("settings", 2, message, "Correct the flag or the variable. docs/operations.md lists them.");
}
