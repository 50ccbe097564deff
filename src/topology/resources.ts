/**
 * What an operator or a service needs of a machine, as a user says it and as the rest reads it. Placement, which gives it:
 * `src/coordinator/placement.ts`; docs/services.md says what is counted hard and what is not.
 */
import { MillraceError } from "../base/errors.js";

/** Bytes, or a text such as `"4 GiB"`, `"512MiB"` or `"16 GB"`. */
export type Size = number | string;

/** What an instance, or an operator, needs of gpus. See docs/services.md. */
export interface GpuNeed {
  /** Whole devices, or a part of one: 0.5 shares a device with others. Down to 0.001. Default 1. */
  readonly count?: number;
  /** Words of the device's name, such as `"h200"` or `"rtx 4090"`; in any case. Default: any. */
  readonly kind?: string;
  /** Memory of each device that is the instance's. Default: not counted. */
  readonly memory?: Size;
  /** Where no such device is free, the instance is placed without. Default false: it waits. */
  readonly optional?: boolean;
}

/** What an instance of a service may ask for, or an operator for each of its parallel instances. */
export interface Resources {
  /** Processor cores: decides how work is spread, and never keeps it from a worker. */
  readonly cpu?: number;
  /** Memory: work is not placed where a worker has promised the rest. Default 0: not counted. */
  readonly memory?: Size;
  /** Devices. Default: none. */
  readonly gpu?: GpuNeed;
}

/** All said, sizes in bytes. */
export interface Needs {
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly gpu: GpuNeeds | undefined;
}

export interface GpuNeeds {
  /** Thousandths of a device: below 1000 a part of one, else whole devices. */
  readonly thousandths: number;
  /** Empty: any. */
  readonly kind: string;
  readonly memoryBytes: number;
  readonly optional: boolean;
}

/** Far above any machine; below what counts stop being exact. */
const CPU_MAX = 10_000;
const GPUS_MAX = 1_000;

/**
 * @param owner for messages: `service "ocr"`
 * @param cpu where it says none
 * @throws {MillraceError} `MILL_CONFIG` naming owner and setting
 */
export function needsOf(owner: string, { cpu: said, memory, gpu }: Resources, cpu: number): Needs {
  const cores = said ?? cpu;
  if (!isAmount(cores, CPU_MAX)) {
    throw refused(owner, "resources.cpu", cores, `a number of cores from 0 to ${CPU_MAX}`);
  }
  return {
    cpu: cores,
    memoryBytes: sizeOf(owner, "resources.memory", memory ?? 0),
    gpu: gpu === undefined ? undefined : gpuNeedsOf(owner, gpu),
  };
}

function gpuNeedsOf(owner: string, { count = 1, kind = "", memory = 0, optional = false }: GpuNeed): GpuNeeds {
  const thousandths = typeof count === "number" && count < 1 ? Math.floor(count * 1_000 + 1e-6) : count * 1_000;
  const whole = Number.isInteger(count) && count >= 1 && count <= GPUS_MAX;
  if (!whole && !(thousandths >= 1 && thousandths < 1_000)) {
    throw refused(owner, "resources.gpu.count", count, "a whole number, or a part of one device such as 0.5");
  }
  if (typeof kind !== "string") throw refused(owner, "resources.gpu.kind", kind, 'words of its name such as "h200"');
  if (typeof optional !== "boolean") throw refused(owner, "resources.gpu.optional", optional, "true or false");
  return { thousandths, kind, memoryBytes: sizeOf(owner, "resources.gpu.memory", memory), optional };
}

/**
 * What all of them need who share one actor: of cores and memory what the one that needs most says, for they take turns. Devices are
 * not in it: what an operator has loaded into one stays there, so each has its own.
 */
export function mostOf(all: readonly (Needs | undefined)[]): Needs | undefined {
  const said = all.filter((needs) => needs !== undefined);
  if (said.length === 0) return undefined;
  return {
    cpu: Math.max(...said.map(({ cpu }) => cpu)),
    memoryBytes: Math.max(...said.map(({ memoryBytes }) => memoryBytes)),
    gpu: undefined,
  };
}

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** @throws {MillraceError} `MILL_CONFIG` naming owner and setting */
export function sizeOf(owner: string, setting: string, size: Size): number {
  const found = typeof size === "string" ? /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(size) : null;
  const unit = UNITS[found?.[2]?.toLowerCase() ?? ""];
  const bytes =
    typeof size === "number" ? size : unit === undefined ? Number.NaN : Math.floor(Number(found?.[1]) * unit);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw refused(
    owner,
    setting,
    size,
    'a number of bytes or a text such as "4 GiB" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)',
  );
}

/** As a user would write it. */
export function sizeText(bytes: number | bigint): string {
  const value = Number(bytes);
  const [unit, name] =
    value >= 2 ** 30
      ? [2 ** 30, "GiB"]
      : value >= 2 ** 20
        ? [2 ** 20, "MiB"]
        : value >= 2 ** 10
          ? [2 ** 10, "KiB"]
          : [1, "B"];
  return `${Math.round((value / Number(unit)) * 10) / 10} ${name}`;
}

/** For `millrace plan` and for reasons. @returns empty: nothing that is counted */
export function needsText({ cpu, memoryBytes, gpu }: Needs): string {
  const parts = [];
  if (cpu > 0) parts.push(`cpu ${cpu}`);
  if (memoryBytes > 0) parts.push(`memory ${sizeText(memoryBytes)}`);
  if (gpu !== undefined) parts.push(gpuText(gpu));
  return parts.join(", ");
}

export function gpuText({ thousandths, kind, memoryBytes, optional }: GpuNeeds): string {
  const of = kind === "" ? "" : ` of kind ${kind}`;
  const memory = memoryBytes === 0 ? "" : ` with ${sizeText(memoryBytes)}`;
  return `${thousandths / 1_000} gpu${of}${memory}${optional ? " (optional)" : ""}`;
}

function isAmount(value: number, max: number): boolean {
  return typeof value === "number" && value >= 0 && value <= max;
}

function refused(owner: string, setting: string, value: unknown, wanted: string): MillraceError {
  const said = typeof value === "string" ? `"${value}"` : String(value);
  return new MillraceError("MILL_CONFIG", `${owner}: ${setting} is ${said}; give ${wanted}.`, { owner, setting });
}
