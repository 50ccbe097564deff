/**
 * Runs `ffmpeg` and `ffprobe` on content that nobody vouches for.
 *
 * Invariants:
 *   M1  The program reads the one file that it is handed, and nothing else: no network, no other file that a playlist or a reference in
 *       the content names.
 *   M2  Its memory, its processor time, its output, its words on stderr and its wall time are bounded; over a bound it is killed.
 *   M3  It has ended, and been waited for, before the call ends, also when the call is aborted.
 */
import { spawn } from "node:child_process";
import { basename } from "node:path";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";

/** Which programs to run. Default: `ffmpeg` and `ffprobe`, as PATH finds them. */
export interface FfmpegPrograms {
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
}

/** Where a program finds the file that it was handed. */
const HANDED_FILE = "file:/dev/fd/3";

/** Containers and bare streams. No playlists and no scripts (hls, dash, concat, sdp, imf, lavfi): those name further files. */
const FORMATS = [
  ...["mov", "mp4", "matroska", "webm", "avi", "flv", "mpegts", "mpeg", "mpegvideo", "asf", "mxf", "nut", "rm", "dv"],
  ...["h264", "hevc", "m4v", "ivf", "obu", "mjpeg", "gif", "yuv4mpegpipe", "3gp"],
  ...[
    "wav",
    "w64",
    "aiff",
    "au",
    "caf",
    "flac",
    "mp3",
    "aac",
    "ogg",
    "amr",
    "amrnb",
    "amrwb",
    "wv",
    "ape",
    "tta",
    "voc",
  ],
  ...["ac3", "eac3", "dts", "dtshd", "truehd", "spdif", "adts", "latm"],
].join(",");

/** Options before `-i` that keep M1; `-threads 1`, because parallelism is the topology's to say. */
const READING = ["-threads", "1", "-protocol_whitelist", "file", "-format_whitelist", FORMATS];

/**
 * The limits of the operating system (M2); the processor time is for a program whose parent was killed and cannot kill it any more.
 * `-f 0`: it writes no file. Where a system knows no such limit, the others remain.
 */
function limited(timeoutMs: number): string {
  return [
    `command -v "$1" >/dev/null 2>&1 || { echo "${NOT_FOUND}" >&2; exit 127; }`,
    `ulimit -c 0; ulimit -f 0; ulimit -t ${Math.ceil(timeoutMs / 1000)}`,
    `ulimit -v ${Math.floor(limits.mediaMemoryBytesMax / 1024)} 2>/dev/null`,
    'exec "$@"',
  ].join("; ");
}
const NOT_FOUND = "millrace: not found";

export interface FfmpegRun {
  /** Open for reading; the program reads it as its input. */
  readonly file: number;
  /** Between what is always said of the input and the input itself. */
  readonly inputArgs?: readonly string[];
  /** After the input. Output goes to `pipe:1`. */
  readonly args: readonly string[];
  readonly outputBytesMax: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** @returns what the program wrote. @throws {MillraceError} see `run` */
export function ffmpeg(program: string, { inputArgs = [], args, ...how }: FfmpegRun): Promise<Buffer> {
  const all = ["-nostdin", "-v", "error", ...READING, ...inputArgs, "-i", HANDED_FILE, ...args, "pipe:1"];
  return run(program, all, how);
}

/** @returns what the program wrote. @throws {MillraceError} see `run` */
export function ffprobe(program: string, { inputArgs = [], args, ...how }: FfmpegRun): Promise<Buffer> {
  return run(program, ["-v", "error", ...READING, ...inputArgs, ...args, "-i", HANDED_FILE], how);
}

/** How a program ended: its exit status, or the signal that ended it. */
type Status = number | NodeJS.Signals;
/** What ends a program over a bound: we, and the limits of its processor time and its files. */
const STOPPED: ReadonlySet<NodeJS.Signals> = new Set(["SIGKILL", "SIGXCPU", "SIGXFSZ"]);

type How = Pick<FfmpegRun, "file" | "outputBytesMax" | "timeoutMs" | "signal">;

/**
 * @throws {MillraceError} `MILL_FFMPEG_MISSING`: there is no such program. `MILL_MEDIA_INVALID`: it could not read the content.
 *   `MILL_MEDIA_TOO_LARGE`: a bound was reached. What `signal` was aborted with, if it was.
 */
async function run(program: string, args: readonly string[], how: How): Promise<Buffer> {
  const { file, outputBytesMax, timeoutMs, signal } = how;
  signal.throwIfAborted();
  const child = spawn("/bin/sh", ["-c", limited(timeoutMs), "sh", program, ...args], {
    stdio: ["ignore", "pipe", "pipe", file],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const kill = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  const output: Buffer[] = [];
  let outputBytes = 0;
  let said = "";
  // Pipes that `stdio` above makes are there.
  child.stdout!.on("data", (piece: Buffer) => {
    outputBytes += piece.length;
    if (outputBytes > outputBytesMax) return kill();
    output.push(piece);
  });
  child.stderr!.on("data", (piece: Buffer) => {
    if (said.length < limits.mediaErrorCharsMax) said += piece.toString("latin1");
  });
  const status = await new Promise<Status>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signalName) => resolve(code ?? signalName!));
  }).finally(() => signal.removeEventListener("abort", kill));
  signal.throwIfAborted();
  if (outputBytes > outputBytesMax) throw tooLarge(`what ${program} makes of it has more than ${outputBytesMax} bytes`);
  if (status === 0) return Buffer.concat(output, outputBytes);
  throw failure(program, status, said, timeoutMs);
}

function failure(program: string, status: Status, said: string, timeoutMs: number): MillraceError {
  if (status === 127 && said.includes(NOT_FOUND)) return missing(program);
  const [name, reason] = [basename(program), reasonOf(said)];
  if (typeof status === "string" && STOPPED.has(status)) {
    return tooLarge(`${name} was stopped: it took longer than ${timeoutMs} ms, or used too much`);
  }
  if (/Cannot allocate memory/i.test(said)) return tooLarge(`${name} needs more memory than it may have: ${reason}`);
  const crashed = typeof status === "string" ? `it crashed (${status})` : `exit status ${status}`;
  return new MillraceError(
    "MILL_MEDIA_INVALID",
    `${name} cannot read it: ${reason === "" ? crashed : reason}. Check the file, or convert it first.`,
    { program, status },
  );
}

function missing(program: string): MillraceError {
  return new MillraceError(
    "MILL_FFMPEG_MISSING",
    `the program "${program}" was not found. Install ffmpeg (Debian, Ubuntu: apt-get install ffmpeg; macOS: brew install ffmpeg) on every machine that runs the job, or give its path as an option.`,
    { program },
  );
}

export function tooLarge(what: string): MillraceError {
  return new MillraceError(
    "MILL_MEDIA_TOO_LARGE",
    `${what}. Raise the limit of the function, or leave this content out.`,
  );
}

/** Said of a sound to be taken from a video that has none, at more length than helps. */
const NO_STREAM = /Stream map '[^']*' matches no streams/;

/** The first and the last thing that it complained of, without addresses in its memory and the name we gave the file. */
function reasonOf(said: string): string {
  if (NO_STREAM.test(said)) return "there is no such stream in it";
  const lines = said
    .replaceAll(HANDED_FILE, "input")
    .replace(/^\[([^\]@]*?) @ 0x[0-9a-f]+\] /gm, "$1: ")
    .split("\n")
    .map((line) =>
      line
        .replace(/[^\x20-\x7e]/g, "?")
        .replace(/[\s.]+$/, "")
        .trim(),
    )
    .filter((line) => line !== "");
  return [...new Set([lines.at(0) ?? "", lines.at(-1) ?? ""])].join("; ").slice(0, 300);
}
