/**
 * A Chromium for tests of the dashboard: `CHROMIUM_BIN`, or Debian's or Google's own on the PATH. Nothing is downloaded.
 *
 * On a user's machine without one, tests that need it are not run; with `CI=true` they fail, and say what to install.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { skipBecause } from "./not-run.js";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
/** Its first start on a busy machine. */
const START_MS_MAX = 60_000;

/** @returns its path, or why there is none */
export function findChromium(
  env: NodeJS.ProcessEnv = process.env,
): { readonly path: string } | { readonly missing: string } {
  const stated = env.CHROMIUM_BIN;
  // Whoever names a binary means it: falling through to another one would hide the mistake.
  if (stated) return isExecutable(stated) ? { path: stated } : { missing: `CHROMIUM_BIN=${stated} cannot be run` };
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isExecutable);
  return found === undefined ? { missing: `none of ${NAMES.join(", ")} is on the PATH` } : { path: found };
}

/** @param context the hook that asks */
export async function startChromium(context: Mocha.Context): Promise<Browser> {
  const found = findChromium();
  if ("missing" in found) {
    const how = "apt-get install chromium, or set CHROMIUM_BIN";
    return skipBecause(context, `no Chromium (${found.missing}); to get it: ${how}`);
  }
  return chromium.launch({ executablePath: found.path, timeout: START_MS_MAX });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
