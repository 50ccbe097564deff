/** A job that does not end by itself, on a cluster of real processes, with what a bench asks it. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { JobId, Namespace } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import type { Bus } from "../src/bus/bus.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { JobHandle } from "../src/cli/job-handle.js";
import { Cluster, finished, flagsOf, type Params } from "../test/e2e/cluster.js";

export const NAMESPACE = "default" as Namespace;

export interface ClusterJob {
  readonly job: JobId;
  readonly handle: JobHandle;
  readonly bus: Bus;
  readonly cluster: Cluster;
  /** Folder in which its processes leave marks. */
  readonly marks: string;
}

/** Runs `use` with a job of `topology`, and stops everything after it. The topology is given `marks` and `params`. */
export async function withClusterJob<T>(
  workers: readonly string[],
  topology: string,
  params: Params,
  use: (job: ClusterJob) => Promise<T>,
): Promise<T> {
  const cluster = await Cluster.start(...workers);
  try {
    const marks = join(cluster.folder, "marks");
    await mkdir(marks);
    const ports = realPorts();
    const bus = await connectNats({ servers: cluster.nats.url, name: "bench" }, ports);
    try {
      const said = finished(await cluster.run("submit", topology, "--no-wait", ...flagsOf({ ...params, marks })));
      const job = /job (\S+) submitted/.exec(said)?.[1] as JobId | undefined;
      if (job === undefined) throw new Error(`the job was not submitted: ${said}`);
      const handle = new JobHandle({ bus, ports, namespace: NAMESPACE, job, unit: "rows", async close() {} });
      const result = await use({ job, handle, bus, cluster, marks });
      await handle.cancel();
      return result;
    } finally {
      await bus.close();
    }
  } finally {
    await cluster.stop();
  }
}
