/**
 * Which devices of one worker an instance or the operators of a host get, and why none. Pure.
 *
 * Invariants:
 *   G1  Of a device no more is promised than there is: 1000 thousandths, and its memory as far as that is counted.
 *   G2  A whole device is given only where nothing of it is promised; a part comes from the device that is fullest and has room, so
 *       that whole ones stay free.
 *   G3  A device whose memory is not known fits nobody who counts memory.
 *   G4  Of several that are wanted together all are given or none; each is chosen as if those before it were promised already, whole
 *       ones and those of a kind first.
 */
import type { Gpu, GpuShare, HostGpu, OperatorGpus } from "../wire/control.js";

const WHOLE = 1_000;

/** A device of a worker, and what of it is promised. */
export interface Device extends Gpu {
  promised: number;
  promisedBytes: bigint;
}

export function promise(device: Device, { thousandths, memoryBytes }: GpuShare): void {
  device.promised += thousandths;
  device.promisedBytes += memoryBytes;
}

/** G4. @returns why not: goes behind the worker's name */
export function chooseGpus(
  wanted: readonly OperatorGpus[],
  devices: readonly Device[],
): { readonly gpus: readonly HostGpu[] } | { readonly gpus: undefined; readonly why: string } {
  if (wanted.length === 0) return { gpus: [] };
  const left = devices.map((device) => ({ ...device }));
  const chosen = new Map<OperatorGpus, readonly GpuShare[]>();
  for (const one of [...wanted].sort(byDemand)) {
    const shares = chooseFor(one, left);
    if (shares === undefined) return { gpus: undefined, why: whyNone(one, left) };
    for (const share of shares) promise(left.find(({ uuid }) => uuid === share.uuid)!, share);
    chosen.set(one, shares);
  }
  return { gpus: wanted.flatMap((one) => chosen.get(one)!.map((share) => ({ operator: one.operator, ...share }))) };
}

function byDemand(a: OperatorGpus, b: OperatorGpus): number {
  return b.thousandths - a.thousandths || Number(a.kind === "") - Number(b.kind === "");
}

function chooseFor(needs: OperatorGpus, devices: readonly Device[]): readonly GpuShare[] | undefined {
  const { thousandths: wanted, memoryBytes } = needs;
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

/** What a worker has instead. */
function whyNone(needs: OperatorGpus, devices: readonly Device[]): string {
  if (devices.length === 0) return "has no gpu";
  const ofKind = devices.filter((device) => isOfKind(device, needs));
  if (ofKind.length === 0) return `has ${devices.length} of kind ${kindsOf(devices)}`;
  const large = ofKind.filter((gpu) => gpu.memoryBytes >= needs.memoryBytes);
  if (large.length === 0) return `has ${ofKind.length} with ${gib(largest(ofKind))}`;
  const count = needs.thousandths / WHOLE;
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
function isOfKind({ kind }: Gpu, { kind: wanted }: OperatorGpus): boolean {
  return ` ${wordsOf(kind)} `.includes(wanted === "" ? " " : ` ${wordsOf(wanted)} `);
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
