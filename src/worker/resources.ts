/**
 * What a worker offers: what is found on its machine, or what it was told.
 *
 * A device is known by its UUID, which is the same for everybody who asks. One that a worker was told of and that nobody has found is
 * known by its number, as CUDA counts.
 */
import { MillraceError } from "../base/errors.js";
import type { Log } from "../base/ports.js";
import type { Gpu } from "../wire/control.js";

/** The machine as its operating system and driver show it. */
export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** `CUDA_VISIBLE_DEVICES`: what this process was given itself. */
  readonly visibleDevices: string | undefined;
  /** What `nvidia-smi` prints for `NVIDIA_SMI_QUERY`; undefined: there is no such command. Rejects when it fails. */
  nvidiaSmi(query: readonly string[]): Promise<string | undefined>;
}

/** Instead of what is found. */
export interface Told {
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly gpus?: number | undefined;
  readonly gpuKind?: string | undefined;
  readonly gpuMemoryBytes?: number | undefined;
}

export interface Offer {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly gpus: readonly Gpu[];
}

export const NVIDIA_SMI_QUERY = ["--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"] as const;

export async function findResources(machine: Machine, told: Told, log: Log): Promise<Offer> {
  const found = told.gpus === 0 ? [] : await findGpus(machine, log);
  const visible = tokensOf(machine.visibleDevices ?? "").filter((token) => /^(\d|GPU-|MIG-)/.test(token));
  const count = told.gpus ?? found.length;
  const gpus = Array.from({ length: count }, (_, i): Gpu => {
    const own = found[i];
    return {
      uuid: own?.uuid ?? visible[i] ?? String(i),
      kind: told.gpuKind ?? own?.kind ?? "",
      memoryBytes: told.gpuMemoryBytes === undefined ? (own?.memoryBytes ?? 0n) : BigInt(told.gpuMemoryBytes),
    };
  });
  return { cpus: told.cpus ?? machine.cpus, memoryBytes: told.memoryBytes ?? machine.memoryBytes, gpus };
}

/** A machine whose driver is broken still has processors. */
async function findGpus(machine: Machine, log: Log): Promise<readonly Gpu[]> {
  try {
    const text = await machine.nvidiaSmi(NVIDIA_SMI_QUERY);
    return text === undefined ? [] : visibleOf(parseNvidiaSmi(text), machine.visibleDevices);
  } catch (cause) {
    log.warn("nvidia-smi failed: this worker offers no gpus, unless it is told of them", {
      error: MillraceError.from(cause),
    });
    return [];
  }
}

interface IndexedGpu extends Gpu {
  readonly index: string;
}

/** One device a line: `0, GPU-5f0c..., NVIDIA H200, 143771`. Other lines are words for people. */
export function parseNvidiaSmi(text: string): IndexedGpu[] {
  return text.split(/\r?\n/).flatMap((line): IndexedGpu[] => {
    const found = /^\s*(\d+)\s*,\s*((?:GPU|MIG)-[^,\s]+)\s*,\s*(.*?)\s*,\s*([^,]*?)\s*$/.exec(line);
    if (found === null) return [];
    const [, index = "", uuid = "", kind = "", memory = ""] = found;
    // `[N/A]` where processor and device share their memory.
    const mib = /^\d+/.exec(memory)?.[0] ?? "0";
    return [{ index, uuid, kind, memoryBytes: BigInt(mib) * 1_048_576n }];
  });
}

/** Those that this process was given, in the order in which CUDA counts them; a token is a number or the beginning of a UUID. */
function visibleOf(gpus: readonly IndexedGpu[], visible: string | undefined): readonly IndexedGpu[] {
  if (visible === undefined) return gpus;
  const chosen = tokensOf(visible).map((token) => {
    return gpus.find(({ index, uuid }) => index === token || (token.length > 4 && uuid.startsWith(token)));
  });
  // CUDA stops at the first that does not exist: -1 hides all.
  const end = chosen.indexOf(undefined);
  return [...new Set((end < 0 ? chosen : chosen.slice(0, end)) as IndexedGpu[])];
}

function tokensOf(visible: string): string[] {
  return visible
    .split(",")
    .map((token) => token.trim())
    .filter((token) => token !== "");
}
