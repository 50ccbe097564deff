/**
 * Whether checkpoints wait for inference: their duration, from trigger to the record in the region's log on MinIO, while
 * calls of 0.1, 1, 10 and 30 s are in flight and the window of `infer` is full (1,024 rows of 1 KiB, about 1.2 MB a snapshot).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type MinioServer, startMinio } from "../test/servers/index.js";
import { percentile, round, startNumbers } from "./embedded-job.js";

const CALLS_MS = [100, 1_000, 10_000, 30_000];
const SAMPLES = 150;
const LOOK_MS = 20;

export async function run({ log }: { readonly log: (line: string) => void }): Promise<Record<string, unknown>> {
  const minio = await startMinio();
  const p50: Record<string, number> = {};
  const p99: Record<string, number> = {};
  try {
    for (const callMs of CALLS_MS) {
      const took = await checkpointsDuring(callMs, minio);
      p50[callMs] = round(percentile(took, 0.5));
      p99[callMs] = round(percentile(took, 0.99));
      log(`calls of ${callMs} ms: ${took.length} checkpoints, p50 ${p50[callMs]} ms, p99 ${p99[callMs]} ms`);
    }
  } finally {
    await minio.stop();
  }
  return { name: "checkpoint-vs-call", p50_ms: p50, p99_ms: p99, p99_ratio: round(p99[30_000]! / p99[100]!) };
}

async function checkpointsDuring(callMs: number, minio: MinioServer): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const params = { count: "1000000", bytes: "1024", callMs: String(callMs), intervalMs: "50", output: `${folder}/out` };
  const job = await startNumbers(minio, folder, params);
  try {
    const took = new Map<bigint, number>();
    let firstMs = 0;
    // A call of the full length is in flight from the first sample to the last.
    while (took.size < SAMPLES || performance.now() - firstMs < callMs) {
      const [region] = (await job.report()).regions;
      if (region?.phase === "RUNNING" && region.checkpointMs > 0) {
        took.set(region.committed, region.checkpointMs);
        if (firstMs === 0) firstMs = performance.now();
      }
      await pause(LOOK_MS);
    }
    return [...took.values()];
  } finally {
    await job.cancel();
    await job.close();
    await rm(folder, { recursive: true, force: true });
  }
}
