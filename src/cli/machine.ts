/** This machine, for `worker/resources.ts`. */
import { execFile } from "node:child_process";
import { availableParallelism, totalmem } from "node:os";
import type { Machine } from "../worker/resources.js";

/** A driver that hangs must not keep a worker from its start. */
const NVIDIA_SMI_TIMEOUT_MS = 10_000;

export function thisMachine(env: Readonly<Record<string, string | undefined>>): Machine {
  return {
    cpus: availableParallelism(),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    visibleDevices: env.CUDA_VISIBLE_DEVICES,
    nvidiaSmi: (query) =>
      new Promise((resolve, reject) => {
        execFile("nvidia-smi", [...query], { timeout: NVIDIA_SMI_TIMEOUT_MS }, (error, stdout) => {
          if (error === null) resolve(stdout);
          else if (error.code === "ENOENT") resolve(undefined);
          else reject(error);
        });
      }),
  };
}
