/**
 * Finds or gets the two servers that the tests and the cluster examples need: nats-server and MinIO.
 *
 *   node scripts/servers.mjs            gets both, one line each on what was chosen and why
 *   node scripts/servers.mjs --find     only looks; installs nothing
 *
 * Order, first hit wins: NATS_SERVER_BIN / MINIO_BIN; the PATH; a running Docker engine with the image that compose.yaml
 * pins; the cache folder; and, only when asked to install: Debian's package (nats-server only), `go install`.
 *
 * The cache folder is MILLRACE_CACHE, by default ~/.cache/millrace; binaries lie in its `bin`. Nothing is installed
 * outside it: Debian's package is unpacked there, not installed. A binary appears under its final name only when it is
 * whole (built elsewhere, then renamed), and one install of a server runs at a time on a machine (lock folder).
 *
 * Not here: starting a server (test/servers). Uses nothing beyond Node, so that it runs before `npm ci`.
 */
import { spawn } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What is known of each server. `banner` is what a genuine binary prints for `--version`. */
const SERVERS = {
  nats: {
    binary: "nats-server",
    env: "NATS_SERVER_BIN",
    banner: /^nats-server: v?(\S+)/m,
    debian: "nats-server",
    module: "github.com/nats-io/nats-server/v2@latest",
  },
  minio: {
    binary: "minio",
    env: "MINIO_BIN",
    banner: /^minio version (\S+)/m,
    debian: undefined,
    module: "github.com/minio/minio@latest",
  },
};

const GET_COMMAND = "node scripts/servers.mjs";
const LOCK_WAIT_MS_MAX = 30 * 60_000;
const PROGRESS_MS = 15_000;

/**
 * @param {"nats" | "minio"} server
 * @param {{ install: boolean, env?: NodeJS.ProcessEnv, say?: (line: string) => void }} options
 * @returns {Promise<import("./servers.mjs").FoundServer>}
 */
export async function findServer(server, options) {
  const env = options.env ?? process.env;
  const say = options.say ?? ((line) => process.stderr.write(`${line}\n`));
  const about = SERVERS[server];
  const tried = [];

  const stated = env[about.env];
  if (stated) {
    // Whoever names a binary means it: falling through to another one would hide the mistake.
    const version = await versionOf(about, stated);
    if (version.ok) return binary(server, stated, version.text, `${about.env} names it`);
    return missing(server, [`${about.env}=${stated}: ${version.text}`], `correct or unset ${about.env}`);
  }

  for (const folder of (env.PATH ?? "").split(delimiter).filter(Boolean)) {
    const path = join(folder, about.binary);
    if (!(await isExecutable(path))) continue;
    const version = await versionOf(about, path);
    if (version.ok) return binary(server, path, version.text, "found on the PATH");
    tried.push(`${path}: ${version.text}`);
  }
  if (tried.length === 0) tried.push(`no ${about.binary} on the PATH`);

  const image = await dockerImage(server, options.install, env, say);
  if (image.ok) return { kind: "docker", server, image: image.text, why: "a Docker engine answers; image of compose.yaml" };
  tried.push(image.text);

  const cached = cachedPath(about, env);
  const version = await cachedVersion(about, cached);
  if (version.ok) return binary(server, cached, version.text, "found in the cache folder");
  tried.push(version.text);

  if (!options.install) return missing(server, tried, GET_COMMAND);
  return await underLock(cached, say, async () => {
    // Another process may have finished the install while this one waited for the lock.
    const now = await cachedVersion(about, cached);
    if (now.ok) return binary(server, cached, now.text, "found in the cache folder");
    return await install(server, about, cached, env, say, tried);
  });
}

async function install(server, about, cached, env, say, tried) {
  const ways = [
    { name: "Debian's package", get: (into) => fromDebian(about, into, env, say) },
    { name: `go install ${about.module}`, get: (into) => fromGo(about, into, env, say) },
  ];
  for (const way of ways) {
    const into = await mkdtemp(`${cached}-`);
    try {
      const got = await way.get(into);
      if (!got.ok) {
        tried.push(`${way.name}: ${got.text}`);
        continue;
      }
      const version = await versionOf(about, got.text);
      if (!version.ok) {
        tried.push(`${way.name}: ${version.text}`);
        continue;
      }
      await chmod(got.text, 0o755);
      await rename(got.text, cached);
      return binary(server, cached, version.text, `${way.name}, put into the cache folder`);
    } finally {
      await rm(into, { recursive: true, force: true });
    }
  }
  return missing(server, tried, `install Go and run ${GET_COMMAND}, or set ${about.env} to a ${about.binary} binary`);
}

// Ways to get one

/** Unpacks the package into `into`; the system is left as it is. */
async function fromDebian(about, into, env, say) {
  if (about.debian === undefined) return no("there is none");
  if (process.platform !== "linux") return no("not a Debian system");
  const download = () => run("apt-get", ["download", about.debian], { cwd: into, env });
  let got = await download();
  if (got.code === undefined) return no("no apt-get here");
  if (got.code !== 0 && process.getuid?.() === 0) {
    // A fresh container has no package lists; refreshing them needs root and changes nothing that is installed.
    say(`${about.binary}: reading Debian's package lists`);
    await run("apt-get", ["update", "-qq"], { cwd: into, env });
    got = await download();
  }
  if (got.code !== 0) return no(`apt-get download failed: ${lastLine(got.output)}`);
  const archive = (await readdir(into)).find((name) => name.endsWith(".deb"));
  if (archive === undefined) return no("apt-get download left no package");
  const unpacked = await run("dpkg", ["-x", archive, "unpacked"], { cwd: into, env });
  if (unpacked.code !== 0) return no(`dpkg -x failed: ${lastLine(unpacked.output)}`);
  for (const folder of ["usr/sbin", "usr/bin"]) {
    const path = join(into, "unpacked", folder, about.binary);
    if (await isExecutable(path)) return yes(path);
  }
  return no(`the package has no ${about.binary}`);
}

async function fromGo(about, into, env, say) {
  const go = await run("go", ["version"], { env });
  if (go.code !== 0) return no("no Go tool chain here");
  const began = Date.now();
  say(`${about.binary}: go install ${about.module} (${about.binary === "minio" ? "takes minutes" : "takes about a minute"})`);
  const progress = setInterval(() => {
    say(`${about.binary}: still building, ${Math.round((Date.now() - began) / 1000)} s`);
  }, PROGRESS_MS);
  try {
    // GOBIN is refused for a cross-compiled target, so those two are left to the machine's own.
    const { GOOS: _os, GOARCH: _arch, ...rest } = env;
    const built = await run("go", ["install", about.module], { env: { ...rest, GOBIN: into, GOFLAGS: "" } });
    if (built.code !== 0) return no(`failed: ${lastLine(built.output)}`);
    return yes(join(into, process.platform === "win32" ? `${about.binary}.exe` : about.binary));
  } finally {
    clearInterval(progress);
  }
}

/** The image that compose.yaml pins, when an engine answers and has it (or may pull it). */
async function dockerImage(server, mayPull, env, say) {
  const info = await run("docker", ["info", "--format", "{{.ServerVersion}}"], { env, timeoutMs: 10_000 });
  if (info.code === undefined) return no("no docker client");
  if (info.code !== 0) return no("docker is here, but no engine answers");
  const text = await readFile(join(root, "compose.yaml"), "utf8");
  const image = new RegExp(`image:\\s*(\\S*${server === "nats" ? "nats" : "minio/minio"}:\\S+)`).exec(text)?.[1];
  if (image === undefined) return no("compose.yaml names no image for it");
  if ((await run("docker", ["image", "inspect", image], { env })).code === 0) return yes(image);
  if (!mayPull) return no(`a Docker engine answers, but ${image} has not been pulled`);
  say(`${server}: pulling ${image}`);
  const pulled = await run("docker", ["pull", "--quiet", image], { env });
  return pulled.code === 0 ? yes(image) : no(`docker pull ${image} failed: ${lastLine(pulled.output)}`);
}

// The cache folder and its lock

export function cacheFolder(env = process.env) {
  return env.MILLRACE_CACHE || join(homedir(), ".cache", "millrace");
}

function cachedPath(about, env) {
  return join(cacheFolder(env), "bin", process.platform === "win32" ? `${about.binary}.exe` : about.binary);
}

async function cachedVersion(about, path) {
  return existsSync(path) ? await versionOf(about, path) : no(`not in the cache folder ${dirname(path)}`);
}

/** Runs `work` while no other process of this machine installs the same server. */
async function underLock(cached, say, work) {
  const lock = `${cached}.lock`;
  await mkdir(dirname(cached), { recursive: true });
  for (let waitedMs = 0; !(await takeLock(lock)); waitedMs += 500) {
    if (waitedMs > LOCK_WAIT_MS_MAX) throw new Error(`${lock} has been held for ${LOCK_WAIT_MS_MAX / 60_000} minutes; remove it if no install runs`);
    if (waitedMs % PROGRESS_MS === 0) say(`waiting for another process that installs ${cached}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** One file, created exclusively, that holds the owner's process id; a dead owner's lock is taken away. */
async function takeLock(lock) {
  try {
    await writeFile(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  const owner = Number(await readFile(lock, "utf8").catch(() => ""));
  // An empty file belongs to somebody between its creation and its first byte.
  if (Number.isInteger(owner) && owner > 0 && !isAlive(owner)) await rm(lock, { force: true });
  return false;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

// Small parts

const yes = (text) => ({ ok: true, text });
const no = (text) => ({ ok: false, text });
const binary = (server, path, version, why) => ({ kind: "binary", server, path, version, why });
const missing = (server, tried, command) => ({ kind: "none", server, reason: tried.join("; "), command });
const lastLine = (text) => text.trim().split("\n").at(-1) ?? "";

async function isExecutable(path) {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function versionOf(about, path) {
  const answer = await run(path, ["--version"], { timeoutMs: 20_000 });
  if (answer.code === undefined) return no("cannot be run");
  const version = about.banner.exec(answer.output)?.[1];
  return version === undefined ? no(`does not answer --version as ${about.binary} does`) : yes(version);
}

/** Exit status and all output of a command; `code` is undefined when it could not be started. */
function run(command, args, { cwd, env = process.env, timeoutMs } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    // Not spawn's own `timeout`: its timer goes on, and holds the process, when the command cannot be started.
    const bound = timeoutMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    let output = "";
    const keep = (chunk) => {
      output = (output + chunk).slice(-65_536);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const end = (code) => {
      clearTimeout(bound);
      resolve({ code, output });
    };
    child.on("error", () => end(undefined));
    child.on("close", (code) => end(code ?? 1));
  });
}

/** One line for people: what was chosen and why, or why there is none and what gets it. */
export function describeServer(found) {
  const name = SERVERS[found.server].binary;
  if (found.kind === "binary") return `${name}: ${found.path} (${found.version}): ${found.why}`;
  if (found.kind === "docker") return `${name}: docker image ${found.image}: ${found.why}`;
  return `${name}: none. ${found.reason}. To get it: ${found.command}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const install = !process.argv.includes("--find");
  for (const server of Object.keys(SERVERS)) {
    const found = await findServer(server, { install });
    console.log(describeServer(found));
    if (found.kind === "none") process.exitCode = 1;
  }
}
