/**
 * What says of a file that all of it was checked: its modification time, a number made of its hash, its inode, its size, and of when
 * the machine began.
 *
 * Whoever writes to the file changes that time, a copy has another inode, and after the machine has begun anew no file is marked: what a
 * power loss has damaged is found. Damage that leaves the time as it is, by a disk, is not found until then. Where the system does not
 * say when it began, each process trusts only its own marks.
 */
import { createHash, randomUUID } from "node:crypto";
import { readFile, utimes } from "node:fs/promises";

/** Seconds; from 2001 to 2033, which every file system can hold. */
const FIRST = 1_000_000_000;
const COUNT = 1_000_000_000;

let beginning: Promise<string> | undefined;

export interface MarkedFile {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

export async function isMarked(sha256: string, found: MarkedFile): Promise<boolean> {
  return found.mtimeNs === BigInt(await markOf(sha256, found)) * 1_000_000_000n;
}

/** Also says that it was used now. */
export async function mark(path: string, sha256: string, found: MarkedFile, nowMs: number): Promise<void> {
  await utimes(path, nowMs / 1000, await markOf(sha256, found));
}

async function markOf(sha256: string, { ino, size }: MarkedFile): Promise<number> {
  beginning ??= readFile("/proc/sys/kernel/random/boot_id", "latin1").catch(() => randomUUID());
  const hash = createHash("sha256")
    .update(`${sha256} ${ino} ${size} ${await beginning}`)
    .digest();
  return FIRST + (hash.readUInt32BE() % COUNT);
}
