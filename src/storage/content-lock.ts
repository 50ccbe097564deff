/**
 * Links that say which process is at something, so that of several that want the same only one does it. They lead nowhere: their text
 * comes and goes with them, in one call each.
 *
 * Whoever holds one renews it. A process that is there and does not renew what it holds stands still, stopped or hung: it keeps nobody.
 *
 * It spares work and protects nothing: two that hold one lock for a moment both do the work, and the second result replaces an equal
 * first. So there is no order among those who take a dead one's lock over.
 */
import { randomUUID } from "node:crypto";
import { lstat, lutimes, readFile, readlink, symlink, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import { codeOf } from "./fs-errors.js";

/** A process, told from a later one of the same number. */
interface Holder {
  readonly host: string;
  readonly pid: number;
  /** As the system counts it; empty: it does not say. */
  readonly start: string;
}

export interface Lock {
  /** Does nothing where another has taken it over. */
  release(): Promise<void>;
}

let self: Promise<Holder> | undefined;

/** As it stands in file names: who makes a file says so there. */
export async function thisProcess(): Promise<string> {
  return textOf(await me());
}

/** @returns undefined: a process that is at work holds it @throws what the file system says */
export async function takeLock(path: string, clock: Clock): Promise<Lock | undefined> {
  const mine = `${textOf(await me())} ${randomUUID()}`;
  for (;;) {
    try {
      await symlink(mine, path); // appears with its text in it
      return held(path, mine, clock);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const text = await textAt(path);
    if (text === undefined) continue; // released in between
    const [holder = ""] = text.split(" ");
    const isLeft = (await isOlder(path, limits.contentTimeoutMs, clock)) || (await isGone(holder, path, clock));
    if (!isLeft) return undefined;
    await removeIf(path, text);
  }
}

function held(path: string, mine: string, clock: Clock): Lock {
  const renew = async () => {
    const seconds = clock.nowMs() / 1_000;
    if ((await textAt(path)) === mine) await lutimes(path, seconds, seconds);
  };
  const begin = () => clock.after(limits.contentLockRenewMs, beat);
  const beat = () => {
    timer = begin();
    renew().catch(() => {}); // then somebody may take it over, and does the work twice
  };
  let timer = begin();
  return {
    release() {
      timer.cancel();
      return removeIf(path, mine);
    },
  };
}

/**
 * Whether what this holder has left at `path` is nobody's. A process of another machine, or container, cannot be asked: then the age of
 * the file decides.
 * @param holder as `thisProcess` has named it
 */
export async function isGone(holder: string, path: string, clock: Clock): Promise<boolean> {
  const { host } = await me();
  const other = holderOf(holder);
  if (other?.host === host) return !(await isThere(other));
  return isOlder(path, limits.contentStaleMs, clock);
}

async function isOlder(path: string, ageMs: number, clock: Clock): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined && clock.nowMs() - found.mtimeMs > ageMs;
}

function me(): Promise<Holder> {
  self ??= startOf(process.pid).then((start) => ({ host: safe(hostname()), pid: process.pid, start: start ?? "" }));
  return self;
}

async function isThere({ pid, start }: Holder): Promise<boolean> {
  try {
    process.kill(pid, 0); // asks, and sends nothing
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
  }
  const found = await startOf(pid);
  return found === undefined || start === "" || found === start;
}

/** When the process began, in ticks since the machine did. Only Linux says; elsewhere a number that is used again is taken for the old one. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function textOf({ host, pid, start }: Holder): string {
  return `${host}+${pid}+${start}`;
}

function holderOf(text: string): Holder | undefined {
  const [, host, pid, start] = /^([\w.-]*)\+(\d+)\+(\d*)$/.exec(text) ?? [];
  return host === undefined ? undefined : { host, pid: Number(pid), start: start ?? "" };
}

function safe(host: string): string {
  return host.replace(/[^\w.-]/g, "-");
}

async function textAt(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function removeIf(path: string, text: string): Promise<void> {
  if ((await textAt(path).catch(() => undefined)) !== text) return;
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
}
