/** One process of `object-ref.ts`: a host that is told by the bench, as a coordinator would, which operator it holds. */
import { join } from "node:path";
import { Host } from "../src/actors/host.js";
import type { HostId, JobId, Namespace } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { jsonl } from "../src/connectors/jsonl.js";
import { outputFolder } from "../src/connectors/output-folder.js";
import { planTopology } from "../src/plan/plan.js";
import { ContentReader } from "../src/storage/content.js";
import { ContentCache } from "../src/storage/content-cache.js";
import { ContentStore } from "../src/storage/content-store.js";
import { MemoryStore } from "../src/storage/memory-store.js";
import { openStore } from "../src/storage/open-store.js";
import type { S3Options } from "../src/storage/s3-store.js";
import { chain, type Work } from "./object-ref-topology.js";

export interface HostSettings {
  readonly nats: string;
  readonly s3: S3Options;
  readonly store: string;
  readonly folder: string;
  /** Of the node's content cache. */
  readonly cacheBytes: number;
  readonly host: string;
  readonly job: string;
  readonly work: Work;
}

export const NAMESPACE = "bench" as Namespace;

/** Ends with the bench also when that is killed. */
process.once("disconnect", () => process.exit());
process.once("message", async (message) => {
  const { nats, s3, store: url, folder, cacheBytes, host: name, job, work } = message as HostSettings;
  const ports = realPorts();
  const bus = await connectNats({ servers: nats, name }, ports);
  const store = openStore(url, { s3 }, ports);
  const cache = new ContentCache({ folder: join(folder, "content"), bytesMax: cacheBytes, ports });
  const owned = new ContentStore({ store, job: job as JobId, clock: ports.clock });
  const topology = chain(work);
  const host = new Host({
    ...{ bus, store, ports, topology, namespace: NAMESPACE, job: job as JobId, host: name as HostId },
    plan: planTopology(topology),
    content: new ContentReader({ s3 }, ports, { cache, owned }),
    deadLetterSink: jsonl(topology.deadLetters),
    outputFor: () => outputFolder(new MemoryStore()),
  });
  await host.open();
  process.send!("ready");
  const before = process.cpuUsage();
  process.on("message", async () => {
    const { user, system } = process.cpuUsage(before);
    await host.close();
    await bus.close();
    process.send!((user + system) / 1000);
    process.disconnect();
  });
});
