/**
 * Which devices of one worker an instance gets, and why none. Pure.
 *
 * Invariants:
 *   G1  Of a device no more is promised than there is: 1000 thousandths, and its memory as far as that is counted.
 *   G2  A whole device is given only where nothing of it is promised; a part comes from the device that is fullest and has room, so
 *       that whole ones stay free.
 *   G3  A device whose memory is not known fits nobody who counts memory.
 */
import type { Gpu, GpuShare, Resources } from "../wire/control.js";

const WHOLE = 1_000;

/** A device of a worker, and what of it is promised. */
export interface Device extends Gpu {
  promised: number;
  promisedBytes: bigint;
}

/** @returns undefined: it has not that much free; nothing where nothing is needed */
export function chooseGpus(needs: Resources, devices: readonly Device[]): readonly GpuShare[] | undefined {
  const { gpuThousandths: wanted, gpuMemoryBytes: memoryBytes } = needs;
  if (wanted === 0) return [];
  const fitting = devices.filter((device) => isOfKind(device, needs) && freeBytes(device) >= memoryBytes);
  if (wanted < WHOLE) {
    const [fullest] = fitting
      .filter(({ promised }) => promised + wanted <= WHOLE)
      .sort((a, b) => b.promised - a.promised || bySize(a, b));
    return fullest === undefined ? undefined : [{ uuid: fullest.uuid, thousandths: wanted, memoryBytes }];
  }
  const free = fitting.filter(({ promised }) => promised === 0).sort(bySize);
  const count = wanted / WHOLE;
  if (free.length < count) return undefined;
  return free.slice(0, count).map((gpu) => ({ uuid: gpu.uuid, thousandths: WHOLE, memoryBytes: gpu.memoryBytes }));
}

/** What a worker has instead: goes behind its name. */
export function whyNoGpus(needs: Resources, devices: readonly Device[]): string {
  if (devices.length === 0) return "has no gpu";
  const ofKind = devices.filter((device) => isOfKind(device, needs));
  if (ofKind.length === 0) return `has ${devices.length} of kind ${kindsOf(devices)}`;
  const large = ofKind.filter((gpu) => gpu.memoryBytes >= needs.gpuMemoryBytes);
  if (large.length === 0) return `has ${ofKind.length} with ${gib(largest(ofKind))}`;
  const count = needs.gpuThousandths / WHOLE;
  if (large.length < count) return `has ${large.length}`;
  const free = large.filter(({ promised }) => promised === 0).length;
  if (count > 1 && free > 0) return `has ${large.length}, and ${free} of them free`;
  return `has ${large.length}, ${large.length === 1 ? "taken" : large.length === 2 ? "both taken" : "all taken"}`;
}

function freeBytes({ memoryBytes, promisedBytes }: Device): bigint {
  return memoryBytes - promisedBytes;
}

function bySize(a: Device, b: Device): number {
  return a.memoryBytes === b.memoryBytes ? (a.uuid < b.uuid ? -1 : 1) : a.memoryBytes < b.memoryBytes ? -1 : 1;
}

/** Whole words, in order: `a10` is not `NVIDIA A100`, `rtx 4090` is `NVIDIA GeForce RTX 4090`. */
function isOfKind({ kind }: Gpu, { gpuKind }: Resources): boolean {
  return ` ${wordsOf(kind)} `.includes(gpuKind === "" ? " " : ` ${wordsOf(gpuKind)} `);
}

function wordsOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, " ")
    .trim();
}

function kindsOf(devices: readonly Gpu[]): string {
  return [...new Set(devices.map(({ kind }) => kind || "unknown"))].sort().join(" and ");
}

function largest(devices: readonly Gpu[]): bigint {
  return devices.reduce((most, { memoryBytes }) => (memoryBytes > most ? memoryBytes : most), 0n);
}

/** Rounded down: what is shown must not look as if it were enough. */
function gib(bytes: bigint): string {
  return bytes === 0n ? "memory that is not known" : `${Number((bytes * 10n) / 2n ** 30n) / 10} GiB`;
}
