/** An embedded job whose region logs and snapshots are in a real S3, for measurements of checkpoints. */
import { join } from "node:path";
import { realPorts } from "../src/base/real/ports.js";
import { runEmbedded } from "../src/cli/embedded.js";
import type { HttpSettings } from "../src/cli/http-api.js";
import type { JobHandle } from "../src/cli/job-handle.js";
import { packageRoot } from "../src/cli/packages.js";
import { readSubmission } from "../src/cli/submission.js";
import { openStore } from "../src/storage/open-store.js";
import type { MinioServer } from "../test/servers/index.js";

export async function startNumbers(
  minio: MinioServer,
  folder: string,
  params: Readonly<Record<string, string>>,
  http?: HttpSettings,
): Promise<JobHandle> {
  const ports = realPorts();
  const submission = await readSubmission(join(packageRoot, "bench/topologies/numbers.ts"), {
    params,
    parallelism: 0,
    cache: join(folder, "cache"),
  });
  const store = openStore(`s3://${minio.bucket}/bench`, { s3: { ...minio } }, ports);
  return runEmbedded(submission, { outputRoot: folder, s3: {}, ports, store, ...(http && { http }) });
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.ceil(part * sorted.length), sorted.length) - 1] ?? Number.NaN;
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
