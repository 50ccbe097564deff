/** Runs seeds in several processes: a simulation owns its process's clock while it runs. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ProfileName } from "./faults.js";
import type { SimResult } from "./simulate.js";

/** To a child: simulate this. It answers with the result. */
export interface SeedOrder {
  readonly seed: number;
  readonly profile: ProfileName;
}

export interface PoolOptions {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  readonly profile: ProfileName;
  /** In the order in which they end. @returns true to stop */
  onResult(result: SimResult): boolean;
}

export async function runSeeds(options: PoolOptions): Promise<void> {
  let next = options.from;
  const end = options.from + options.seeds;
  let stopped = false;
  const work = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      const order = () => {
        if (stopped || next >= end) return child.disconnect();
        child.send({ seed: next++, profile: options.profile } satisfies SeedOrder);
      };
      child.on("message", (result) => {
        stopped = options.onResult(result as SimResult) || stopped;
        order();
      });
      child.on("exit", (status) => {
        if (status === 0) resolve();
        else reject(new Error(`a process that simulated seeds below ${next} ended with status ${status}`));
      });
      order();
    });
  const file = fileURLToPath(new URL("seed-worker.js", import.meta.url));
  const jobs = Math.min(options.jobs, options.seeds);
  await Promise.all(Array.from({ length: jobs }, () => work(fork(file, { serialization: "advanced" }))));
}
