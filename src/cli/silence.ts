/**
 * A call that blocks its thread for ever cannot be stopped from inside: the process says nothing any more, and heeds nothing. So an
 * instance tells its parent every now and then for how long it may be silent, and the parent ends it when that is over.
 */
import type { ChildProcess } from "node:child_process";

/** From the child to its parent. */
interface Alive {
  readonly silentMsMax: number;
}

const INTERVAL_MS = 1_000;

/** Says it at once, and again as long as this thread is free. @returns how to stop */
export function sayAlive(silentMsMax: number): () => void {
  const alive: Alive = { silentMsMax };
  const say = () => {
    if (process.connected) process.send?.(alive, () => {});
  };
  say();
  const timer = setInterval(say, INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

/** Calls `onSilent` once, when the child has been silent for longer than it last said. One that never said so may be. */
export function watchSilence(child: ChildProcess, onSilent: (ms: number) => void): void {
  let timer: NodeJS.Timeout | undefined;
  child.on("message", (message) => {
    if (!isAlive(message)) return;
    clearTimeout(timer);
    timer = setTimeout(() => onSilent(message.silentMsMax), message.silentMsMax);
  });
  child.once("exit", () => clearTimeout(timer));
}

export function isAlive(message: unknown): message is Alive {
  return typeof message === "object" && message !== null && "silentMsMax" in message;
}
