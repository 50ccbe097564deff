/** This machine: programs, packages, devices, room on disk, the port of a coordinator. */
import { execFile } from "node:child_process";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { MillraceError } from "../../base/errors.js";
import { sizeText } from "../../topology/resources.js";
import { type Machine, NVIDIA_SMI_QUERY, parseNvidiaSmi } from "../../worker/resources.js";
import { packageRoot } from "../packages.js";
import { type Check, fail, ok, warn } from "./check.js";

const PROGRAM_TIMEOUT_MS = 15_000;
const GiB = 1024 ** 3;
/** Room below which bundles and models may not fit. */
const CACHE_BYTES_MIN = GiB;

/** @param wanted as in package.json: `>=20.19` */
export function checkNode(version: string, wanted: string): Check {
  const numbers = (text: string) => (/\d+(?:\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const [found, least] = [numbers(version), numbers(wanted)];
  const at = least.findIndex((part, i) => (found[i] ?? 0) !== part);
  if (at < 0 || (found[at] ?? 0) > least[at]!) return ok("node", `${version}, wanted ${wanted}`);
  return fail("node", 2, `${version}, wanted ${wanted}`, "Install a newer Node.js: https://nodejs.org");
}

export function checkMachine({ cpus, memoryBytes }: Machine): Check {
  return ok("machine", `${cpus} cores, ${sizeText(memoryBytes)}, which a worker here would offer`);
}

/** Packages with native code, each loaded in a process of its own: one that does not fit this machine may end it. */
export async function checkPackages(names: readonly string[]): Promise<Check> {
  const broken: string[] = [];
  for (const name of names) {
    const script = `await import(${JSON.stringify(name)})`;
    const run = await runProgram(process.execPath, ["--input-type=module", "-e", script], packageRoot);
    if (run.state !== "ok") broken.push(`${name} (${run.text})`);
  }
  if (broken.length === 0) return ok("packages", `${names.join(", ")} load`);
  const mend = "Install again on this machine: npm ci, with optional dependencies, for its own system and processor.";
  return fail("packages", 2, `${broken.join("; ")} cannot be loaded`, mend);
}

export async function checkFfmpeg(): Promise<Check> {
  const programs = ["ffmpeg", "ffprobe"];
  const runs = await Promise.all(programs.map((program) => runProgram(program, ["-version"])));
  const missing = programs.filter((_, i) => runs[i]!.state !== "ok");
  const version = /version (\S+)/.exec(runs[0]!.text)?.[1] ?? "some version";
  if (missing.length === 0) return ok("ffmpeg", version);
  return ok("ffmpeg", `no ${missing.join(" and ")} in PATH; only functions for sound and video need them`);
}

export async function checkGpu(machine: Machine): Promise<Check> {
  let text: string | undefined;
  try {
    text = await machine.nvidiaSmi(NVIDIA_SMI_QUERY);
  } catch (error) {
    const found = `nvidia-smi failed: ${firstLine(MillraceError.from(error).message)}`;
    return warn("gpu", found, "Mend the driver (nvidia-smi must work), or start the worker with --gpus 0.");
  }
  if (text === undefined) return ok("gpu", "no nvidia-smi, so a worker here offers no gpus");
  const gpus = parseNvidiaSmi(text);
  if (gpus.length === 0)
    return warn("gpu", "nvidia-smi names no device", "See whether the driver has them: nvidia-smi -L");
  const hidden = machine.visibleDevices === undefined ? "" : `; CUDA_VISIBLE_DEVICES is "${machine.visibleDevices}"`;
  const devices = gpus.map(({ kind, memoryBytes }) => `${kind} with ${sizeText(Number(memoryBytes))}`);
  return ok("gpu", `${devices.join(", ")}${hidden}`);
}

/** @param wantedBytes what content may take there */
export async function checkCache(folder: string, wantedBytes: number): Promise<Check> {
  const probe = join(folder, `.millrace-doctor-${process.pid}`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(probe, "");
    await rm(probe);
    const { bavail, bsize } = await statfs(folder);
    return judgeRoom(folder, bavail * bsize, wantedBytes);
  } catch (error) {
    const found = `${folder} cannot be written (${(error as NodeJS.ErrnoException).code ?? error})`;
    return fail("cache", 2, found, "Give this user the folder, or set MILLRACE_CACHE to another.");
  }
}

export function judgeRoom(folder: string, freeBytes: number, wantedBytes: number): Check {
  const found = `${folder} has ${sizeText(freeBytes)} free`;
  if (freeBytes < CACHE_BYTES_MIN)
    return fail("cache", 2, found, "Make room there, or set MILLRACE_CACHE to a folder on a larger disk.");
  if (freeBytes >= wantedBytes) return ok("cache", found);
  const mend = `Content may take ${sizeText(wantedBytes)}: make room, or set MILLRACE_CONTENT_CACHE_BYTES to less.`;
  return warn("cache", found, mend);
}

/** @param address `host:port`, or `off` */
export async function checkPort(address: string): Promise<Check> {
  if (address === "off") return ok("http port", "a coordinator here would serve no HTTP");
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const port = Number(found?.[3]);
  if (found === null || port > 65_535)
    return fail(
      "http port",
      2,
      `"${address}" is no address`,
      "Write --http host:port, such as 127.0.0.1:8080, or off.",
    );
  const error = await listenError(found[1] ?? found[2]!, port);
  if (error === undefined) return ok("http port", `${address} is free for a coordinator`);
  if (error !== "EADDRINUSE") {
    const mend =
      error === "EACCES"
        ? "Use a port from 1024 on, or allow this user to use it."
        : "Name an address of this machine.";
    return fail("http port", 2, `${address} cannot be listened at (${error})`, mend);
  }
  if (await isCoordinator(address)) return ok("http port", `a coordinator answers at http://${address}`);
  return warn(
    "http port",
    `another program listens at ${address}`,
    "Give the coordinator another --http, or end that program.",
  );
}

function listenError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

async function isCoordinator(address: string): Promise<boolean> {
  try {
    const answer = await fetch(`http://${address}/openapi.json`, { signal: AbortSignal.timeout(2_000) });
    const { info } = (await answer.json()) as { info?: { title?: string } };
    return /millrace/i.test(info?.title ?? "");
  } catch {
    return false;
  }
}

interface Run {
  readonly state: "ok" | "missing" | "failed";
  /** What it said, or why it did not. */
  readonly text: string;
}

function runProgram(command: string, args: readonly string[], cwd?: string): Promise<Run> {
  const options = { timeout: PROGRAM_TIMEOUT_MS, ...(cwd === undefined ? {} : { cwd }) };
  return new Promise((resolve) => {
    execFile(command, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve({ state: "ok", text: stdout });
      const why = /^\w*Error.*$/m.exec(stderr)?.[0] ?? error.signal ?? firstLine(error.message);
      resolve({ state: error.code === "ENOENT" ? "missing" : "failed", text: why });
    });
  });
}

function firstLine(text: string): string {
  return text.split("\n")[0]!;
}
