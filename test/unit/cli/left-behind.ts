/** A program that ignores SIGTERM and starts another, as handlers in other languages may; and how a test hears that both are gone. */
import { execFileSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { within } from "../actors/support.js";

export interface Stubborn {
  readonly command: readonly [string, ...string[]];
  /** Both are there, and will ignore it. */
  readonly started: Promise<void>;
  /** No process of it is there any more. */
  readonly gone: Promise<void>;
}

/** Both hold the writing end of a named pipe, whose end tells. Without its folder it ends by itself. @param another what it starts */
export function stubborn(folder: string, another = "sleep 60"): Stubborn {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const script = `trap "" TERM; exec 3> "$0"; ${another} & echo ready >&3; while [ -e "$0" ]; do sleep 1 3>&-; done`;
  const read = createReadStream(pipe);
  const started = new Promise<void>((resolve) => read.once("data", () => resolve()));
  const gone = new Promise<void>((resolve, reject) => read.once("end", resolve).once("error", reject));
  return {
    command: ["sh", "-c", script, pipe],
    started: within("the program to start", started),
    get gone() {
      return within("the program to be gone", gone);
    },
  };
}
