/**
 * A Python with the packages of one requirements file, for tests that need a program or a reader that is not ours.
 *
 *   node scripts/python-env.mjs [FILE]  makes it, prints the interpreter's path; FILE: test/python/requirements.txt
 *
 * It is a virtual environment in the cache folder (MILLRACE_CACHE, by default ~/.cache/millrace), named by the hash of
 * the requirements and the Python it was made with, so a change of either makes a new one and an old one is used again.
 * It appears under its final name only when it is whole (installed, then marked), and one is made at a time (lock folder).
 *
 * Not here: what is run with it (the tests). Uses nothing beyond Node.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const FRAMES = "test/python/requirements.txt";

const INSTALL_MS_MAX = 5 * 60_000;
const LOCK_POLL_MS = 500;

/**
 * @param {{ env?: NodeJS.ProcessEnv, requirements?: string, install?: boolean }} [options]
 * @returns {Promise<import("./python-env.mjs").PythonFound>}
 */
export async function pythonWith({ env = process.env, requirements = FRAMES, install = true } = {}) {
  const file = join(root, requirements);
  const base = env.PYTHON || (process.platform === "win32" ? "python" : "python3");
  try {
    const version = await describe(base);
    const folder = join(cacheFolder(env), `python-${await hashOf(file, version)}`);
    const python = process.platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");
    const whole = join(folder, "whole");
    if (existsSync(whole)) return { python };
    if (!install) return { unavailable: "it is not installed yet" };
    return await locked(`${folder}.lock`, async () => {
      if (existsSync(whole)) return { python }; // made by the process that had the lock
      await rm(folder, { recursive: true, force: true });
      await run(base, ["-m", "venv", folder], { timeout: INSTALL_MS_MAX });
      const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"];
      await run(python, [...pip, "--requirement", file], { timeout: INSTALL_MS_MAX });
      await writeFile(whole, `${version}\n`);
      return { python };
    });
  } catch (error) {
    return { unavailable: reasonOf(base, error) };
  }
}

/** A virtual environment belongs to the interpreter it was made with. */
async function describe(base) {
  const { stdout } = await run(base, ["-c", "import sys; print(sys.version, sys.base_prefix)"], { timeout: 30_000 });
  return stdout.trim();
}

async function hashOf(file, version) {
  const text = await readFile(file);
  return createHash("sha256").update(text).update(version).digest("hex").slice(0, 16);
}

function cacheFolder(env) {
  return env.MILLRACE_CACHE || join(homedir(), ".cache", "millrace");
}

/** A folder is created by one process only; the lock of one that died is broken when it is older than any install. */
async function locked(lock, work) {
  await mkdir(dirname(lock), { recursive: true });
  for (;;) {
    try {
      await mkdir(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const made = await stat(lock).catch(() => undefined);
      if (made !== undefined && Date.now() - made.mtimeMs > 3 * INSTALL_MS_MAX) await rm(lock, { recursive: true, force: true });
      else await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

/** The last line of what pip or Python said, which is where they put the reason. */
function reasonOf(base, error) {
  if (error.code === "ENOENT") return `there is no ${base}; install Python 3 with venv, or name one in PYTHON`;
  if (error.killed) return `${base}: no end after ${INSTALL_MS_MAX / 60_000} minutes`;
  const said = `${error.stdout ?? ""}\n${error.stderr ?? ""}`.split("\n").filter((line) => line.trim() !== "");
  return said.at(-1)?.trim() ?? error.message;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = await pythonWith({ requirements: process.argv[2] ?? FRAMES });
  console.log("python" in found ? found.python : `no Python for the tests: ${found.unavailable}`);
  process.exitCode = "python" in found ? 0 : 1;
}
