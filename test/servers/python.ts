/** A Python with the packages of one requirements file, for a test; where there is none, what needs it is not run. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { mayInstall, packageRoot } from "./find.js";
import { skipBecause } from "./not-run.js";

type PythonEnv = typeof import("../../scripts/python-env.mjs");

/** The first time, packages are installed: give it to the hook that asks. */
export const PYTHON_INSTALL_MS_MAX = 10 * 60_000;

/**
 * @param context the hook that asks
 * @returns path of the interpreter
 */
export async function pythonFor(context: Mocha.Context, requirements: string): Promise<string> {
  const script = pathToFileURL(join(packageRoot(), "scripts", "python-env.mjs")).href;
  const { pythonWith } = (await import(script)) as PythonEnv;
  const found = await pythonWith({ requirements, install: mayInstall() });
  if ("python" in found) return found.python;
  const how = `node scripts/python-env.mjs ${requirements}`;
  return skipBecause(context, `no Python with ${requirements} (${found.unavailable}); to get it: ${how}`);
}
