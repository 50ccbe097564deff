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
 *   X7  Actors that need devices have a host of their own, which sees these and no others. While it lives they stay with it.
 */
import { gpuText, sizeText } from "../topology/resources.js";
import type { Gpu, Granted, HostGpu, OperatorGpus, Resources } from "../wire/control.js";
import { chooseGpus, type Device, promise } from "./placement-gpus.js";

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
  /** Of all of them together, but for devices. */
  readonly needs: Resources;
  /** Of each of their operators. */
  readonly gpus: readonly OperatorGpus[];
  /** Their own host lives on the worker where they were before, with these devices (X7). */
  readonly kept: readonly HostGpu[] | undefined;
}

export interface GroupPlace {
  readonly worker: string;
  readonly gpus: readonly HostGpu[];
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
 * @param room becomes less, also where not all of them find a place
 * @returns the place of each group, in their order
 */
export function placeGroups(
  groups: readonly ActorGroup[],
  room: Room,
): { readonly places: readonly GroupPlace[] } | { readonly places: undefined; readonly reason: string } {
  const places: GroupPlace[] = [];
  for (const { needs, before, gpus, kept } of groups) {
    if (kept !== undefined && room.takes(before, needs)) {
      places.push({ worker: before, gpus: kept });
      continue;
    }
    const placed = room.placeGroup(needs, gpus, before);
    if (placed.worker === undefined) return { places: undefined, reason: placed.reason };
    places.push(placed);
  }
  return { places };
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

/** What is wanted at one place. */
interface Wanted {
  readonly cpu: number;
  readonly memoryBytes: bigint;
  readonly gpus: readonly OperatorGpus[];
}

interface Fit {
  readonly space: Space;
  readonly gpus: readonly HostGpu[];
}

/** What is free, and becomes less with all that is placed. */
export class Room {
  readonly #spaces: readonly Space[];

  /** @param load cores' worth of what each worker holds already */
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
    const named = new Map(this.#spaces.map((space) => [space.worker, space]));
    for (const { worker, granted } of holdings) {
      const space = named.get(worker);
      if (space !== undefined) space.freeBytes -= granted.memoryBytes;
      for (const share of granted.gpus) {
        const device = devices.get(deviceKey(worker, share.uuid));
        if (device !== undefined) promise(device, share);
      }
    }
  }

  /** An instance. @param before where it was; empty: nowhere */
  place(needs: Resources, before = ""): Placed {
    const { cpu, memoryBytes } = needs;
    const placed = this.placeGroup(needs, wishOf(needs), before);
    if (placed.worker === undefined) return placed;
    const gpus = placed.gpus.map(({ operator: _, ...share }) => share);
    return { worker: placed.worker, granted: { cpu, memoryBytes, gpus } };
  }

  /** Actors, each of whose operators may want devices of its own. */
  placeGroup(
    { cpu, memoryBytes }: Resources,
    gpus: readonly OperatorGpus[],
    before: string,
  ): GroupPlace | { readonly worker: undefined; readonly reason: string } {
    const wanted = { cpu, memoryBytes, gpus };
    const fits = this.#fits(wanted);
    if (fits.length === 0) return { worker: undefined, reason: this.#whyNot(wanted) };
    const after = ({ space }: Fit) => (space.load + cpu) / space.cpus;
    const chosen =
      fits.find((fit) => fit.space.worker === before) ??
      fits.reduce((best, fit) => (after(fit) < after(best) ? fit : best));
    this.#take(chosen.space, wanted, chosen.gpus);
    return { worker: chosen.space.worker, gpus: chosen.gpus };
  }

  /** X7. They have their devices already. */
  takes(worker: string, { cpu, memoryBytes }: Resources): boolean {
    const wanted = { cpu, memoryBytes, gpus: [] };
    const fit = this.#fits(wanted).find(({ space }) => space.worker === worker);
    if (fit !== undefined) this.#take(fit.space, wanted, []);
    return fit !== undefined;
  }

  #take(space: Space, { cpu, memoryBytes }: Wanted, gpus: readonly HostGpu[]): void {
    space.load += cpu;
    space.freeBytes -= memoryBytes;
    for (const share of gpus) promise(space.devices.find(({ uuid }) => uuid === share.uuid)!, share);
  }

  #fits(wanted: Wanted): Fit[] {
    const fits = this.#spaces.flatMap((space): Fit[] => {
      const { gpus } = chooseGpus(wanted.gpus, space.devices);
      return space.draining || gpus === undefined || !hasMemory(space, wanted) ? [] : [{ space, gpus }];
    });
    return fits.length === 0 && wanted.gpus.some(({ optional }) => optional)
      ? this.#fits(withoutOptional(wanted))
      : fits;
  }

  /** X6 */
  #whyNot(all: Wanted): string {
    const wanted = withoutOptional(all);
    const open = this.#spaces.filter(({ draining }) => !draining);
    if (open.length === 0) return NO_WORKER;
    const whys = open.map((space) => `worker ${space.worker} ${whyNotOn(space, wanted)}`);
    const more = whys.length > NAMED_MAX ? [`${whys.length - NAMED_MAX} more workers do not have it either`] : [];
    return [`needs ${needsText(wanted)}`, ...whys.slice(0, NAMED_MAX), ...more].join("; ");
  }
}

/** As if an instance were an operator. */
function wishOf(needs: Resources): OperatorGpus[] {
  const { gpuThousandths: thousandths, gpuKind: kind, gpuMemoryBytes: memoryBytes, gpuOptional: optional } = needs;
  return thousandths === 0 ? [] : [{ operator: "", thousandths, kind, memoryBytes, optional }];
}

function withoutOptional(wanted: Wanted): Wanted {
  return { ...wanted, gpus: wanted.gpus.filter(({ optional }) => !optional) };
}

function hasMemory(space: Space, { memoryBytes }: Wanted): boolean {
  return memoryBytes === 0n || space.freeBytes >= memoryBytes;
}

function whyNotOn(space: Space, wanted: Wanted): string {
  const whys = [];
  const chosen = chooseGpus(wanted.gpus, space.devices);
  if (chosen.gpus === undefined) whys.push(chosen.why);
  if (!hasMemory(space, wanted)) {
    const free = space.freeBytes > 0n ? sizeText(space.freeBytes) : "nothing";
    whys.push(`has ${free} of its memory left to promise`);
  }
  return whys.join(" and ");
}

function needsText({ memoryBytes, gpus }: Wanted): string {
  const texts = gpus.map(({ operator, thousandths, kind, memoryBytes: memory }) => {
    const text = gpuText({ thousandths, kind, memoryBytes: Number(memory), optional: false });
    return operator === "" ? text : `${text} for operator ${operator}`;
  });
  if (memoryBytes > 0n) texts.push(`${sizeText(memoryBytes)} of memory`);
  return texts.join(" and ");
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
