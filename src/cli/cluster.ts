/** Connections of one process to a cluster: NATS and the object store, checked before anything else. */
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { connectNats } from "../bus/nats-bus.js";
import type { ObjectStore } from "../storage/object-store.js";
import { openStore } from "../storage/open-store.js";
import type { ClusterSettings } from "./settings.js";

export interface Cluster {
  readonly bus: Bus;
  readonly store: ObjectStore;
  close(): Promise<void>;
}

/** @throws {MillraceError} `MILL_BUS_*`, `MILL_STORE_*` naming the server and the next step */
export async function joinCluster(name: string, settings: ClusterSettings, ports: Ports): Promise<Cluster> {
  const store = openStore(settings.store, { s3: settings.s3 }, ports);
  try {
    await store.check();
    const bus = await connectNats({ ...settings.nats, name }, ports);
    return {
      bus,
      store,
      async close() {
        await bus.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Resolves at the first SIGTERM or SIGINT; `again` runs at the second. */
export function untilTold(again: () => void = () => process.exit(1)): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let told = false;
    const on = (signal: NodeJS.Signals) => {
      if (told) return again();
      told = true;
      resolve(signal);
    };
    process.on("SIGTERM", on);
    process.on("SIGINT", on);
  });
}
