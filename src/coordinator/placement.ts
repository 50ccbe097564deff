/**
 * Which worker holds what, and which of its devices; or why none does. Pure.
 *
 * Invariants:
 *   X1  Actors of one region and subtask are placed together: their forward channels stay within one host, and a region
 *       that exchanges rows still uses every worker.
 *   X2  These groups, and instances, are spread evenly by processor cores; ties go to the worker named first. Cores are never a
 *       reason not to be placed: a machine with two may run more than two processes.
 *   X3  A draining worker is given nothing.
 *   X4  What was placed before stays where it was, if that worker still takes work: its caches are warm.
 *   X5  Memory and devices are never promised twice (G1 of `placement-gpus.ts`): what is held counts until the worker says that the
 *       process has ended.
 *   X6  What fits nowhere comes with a reason that names what is needed and what each worker has instead.
 */
import { gpuText, sizeText } from "../topology/resources.js";
import type { Gpu, Granted, Resources } from "../wire/control.js";
import { chooseGpus, type Device, whyNoGpus } from "./placement-gpus.js";

export interface WorkerFacts {
  readonly worker: string;
  readonly cpus: number;
  readonly memoryBytes: bigint;
  readonly draining: boolean;
  readonly gpus: readonly Gpu[];
}

/** What to place, and where it was before; empty: nowhere. */
export interface ActorGroup {
  readonly actors: readonly string[];
  readonly before: string;
  /** Of all of them together. */
  readonly needs: Resources;
}

/** Something at work, or on its way there, and what was promised to it. */
export interface Holding {
  readonly worker: string;
  readonly granted: Granted;
}

/** What is on no worker, or is no more, holds. */
export const NOTHING: Granted = { cpu: 0, memoryBytes: 0n, gpus: [] };

export type Placed =
  | { readonly worker: string; readonly granted: Granted }
  | { readonly worker: undefined; readonly reason: string };

/** Workers that a reason names one by one. */
const NAMED_MAX = 6;
const NO_WORKER = "no worker takes work: start one with `millrace worker`";

/**
 * @param load cores' worth of actors that each worker holds already
 * @returns the worker of each group, in their order
 */
export function placeGroups(
  groups: readonly ActorGroup[],
  workers: readonly WorkerFacts[],
  holdings: readonly Holding[],
  load: ReadonlyMap<string, number>,
): { readonly workers: readonly string[] } | { readonly workers: undefined; readonly reason: string } {
  const room = new Room(workers, holdings, load);
  const chosen: string[] = [];
  for (const { needs, before } of groups) {
    const placed = room.place(needs, before);
    if (placed.worker === undefined) return { workers: undefined, reason: placed.reason };
    chosen.push(placed.worker);
  }
  return { workers: chosen };
}

/** Cores that were promised on each worker. */
export function coresOf(holdings: readonly Holding[]): ReadonlyMap<string, number> {
  const load = new Map<string, number>();
  for (const { worker, granted } of holdings) load.set(worker, (load.get(worker) ?? 0) + granted.cpu);
  return load;
}

interface Space {
  readonly worker: string;
  readonly cpus: number;
  readonly draining: boolean;
  readonly devices: readonly Device[];
  load: number;
  freeBytes: bigint;
}

interface Fit {
  readonly space: Space;
  readonly granted: Granted;
}

/** What is free, and becomes less with all that is placed. */
export class Room {
  readonly #spaces: readonly Space[];

  constructor(workers: readonly WorkerFacts[], holdings: readonly Holding[], load: ReadonlyMap<string, number>) {
    const devices = new Map<string, Device>();
    this.#spaces = workers
      .map(({ worker, cpus, memoryBytes, draining, gpus }) => ({
        worker,
        cpus: Math.max(cpus, 0.01),
        draining,
        devices: gpus.map((gpu) => known(devices, worker, gpu)),
        load: load.get(worker) ?? 0,
        freeBytes: memoryBytes,
      }))
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
    for (const { worker, granted } of holdings) {
      const space = this.#spaces.find((one) => one.worker === worker);
      if (space !== undefined) space.freeBytes -= granted.memoryBytes;
      for (const { uuid, thousandths, memoryBytes } of granted.gpus) {
        const device = devices.get(deviceKey(worker, uuid));
        if (device !== undefined) promise(device, thousandths, memoryBytes);
      }
    }
  }

  /** @param before where it was; empty: nowhere */
  place(needs: Resources, before = ""): Placed {
    const fits = this.#fits(needs);
    if (fits.length === 0) return { worker: undefined, reason: this.#whyNot(needs) };
    const after = ({ space }: Fit) => (space.load + needs.cpu) / space.cpus;
    const { space, granted } =
      fits.find((fit) => fit.space.worker === before) ??
      fits.reduce((best, fit) => (after(fit) < after(best) ? fit : best));
    space.load += needs.cpu;
    space.freeBytes -= granted.memoryBytes;
    for (const { uuid, thousandths, memoryBytes } of granted.gpus) {
      promise(space.devices.find((device) => device.uuid === uuid)!, thousandths, memoryBytes);
    }
    return { worker: space.worker, granted };
  }

  #fits(needs: Resources): Fit[] {
    const { cpu, memoryBytes } = needs;
    const fits = this.#spaces.flatMap((space): Fit[] => {
      const gpus = chooseGpus(needs, space.devices);
      if (space.draining || gpus === undefined || !hasMemory(space, needs)) return [];
      return [{ space, granted: { cpu, memoryBytes, gpus } }];
    });
    return fits.length === 0 && needs.gpuOptional ? this.#fits(withoutGpu(needs)) : fits;
  }

  /** X6 */
  #whyNot(needs: Resources): string {
    const wanted = needs.gpuOptional ? withoutGpu(needs) : needs;
    const open = this.#spaces.filter(({ draining }) => !draining);
    if (open.length === 0) return NO_WORKER;
    const whys = open.map((space) => `worker ${space.worker} ${whyNotOn(space, wanted)}`);
    const more = whys.length > NAMED_MAX ? [`${whys.length - NAMED_MAX} more workers do not have it either`] : [];
    return [`needs ${needsText(wanted)}`, ...whys.slice(0, NAMED_MAX), ...more].join("; ");
  }
}

function hasMemory(space: Space, { memoryBytes }: Resources): boolean {
  return memoryBytes === 0n || space.freeBytes >= memoryBytes;
}

function whyNotOn(space: Space, needs: Resources): string {
  const whys = [];
  if (chooseGpus(needs, space.devices) === undefined) whys.push(whyNoGpus(needs, space.devices));
  if (!hasMemory(space, needs)) {
    const free = space.freeBytes > 0n ? sizeText(space.freeBytes) : "nothing";
    whys.push(`has ${free} of its memory left to promise`);
  }
  return whys.join(" and ");
}

function needsText({ memoryBytes, gpuThousandths, gpuKind, gpuMemoryBytes }: Resources): string {
  const texts = [];
  if (gpuThousandths > 0) {
    const memory = Number(gpuMemoryBytes);
    texts.push(gpuText({ thousandths: gpuThousandths, kind: gpuKind, memoryBytes: memory, optional: false }));
  }
  if (memoryBytes > 0n) texts.push(`${sizeText(memoryBytes)} of memory`);
  return texts.join(" and ");
}

function withoutGpu(needs: Resources): Resources {
  return { ...needs, gpuThousandths: 0, gpuMemoryBytes: 0n, gpuOptional: false };
}

/** Two workers on one machine find the same device. */
function known(devices: Map<string, Device>, worker: string, gpu: Gpu): Device {
  const key = deviceKey(worker, gpu.uuid);
  const device = devices.get(key) ?? { ...gpu, promised: 0, promisedBytes: 0n };
  devices.set(key, device);
  return device;
}

/** A number is a device of one worker, a UUID that of whoever names it. */
function deviceKey(worker: string, uuid: string): string {
  return /^\d+$/.test(uuid) ? `${worker} ${uuid}` : uuid;
}

function promise(device: Device, thousandths: number, memoryBytes: bigint): void {
  device.promised += thousandths;
  device.promisedBytes += memoryBytes;
}
