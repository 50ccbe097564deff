/** What both kinds of processes of `scale-out.ts` know: where 1,000 requests can be queued. */
import { setTimeout as pause } from "node:timers/promises";
import type { InstanceId, JobId, Namespace } from "../src/base/ids.js";
import { type Service, service } from "../src/topology/service.js";
import { t } from "../src/types/columns.js";

export const namespace = "bench" as Namespace;
export const job = "scale-out" as JobId;
export const columns = { n: t.int32 };

export type Place = "clients" | "instances";

/** How calls of the service are made, so that requests wait there. */
const CALLS: Readonly<Record<Place, { readonly rowsMax: number; readonly callMs: number }>> = {
  // Little is sent ahead: nearly all of it waits at the clients.
  clients: { rowsMax: 1, callMs: 20 },
  // Room for two calls of each client at each instance: all of it is sent at once.
  instances: { rowsMax: 32, callMs: 400 },
};

export function workOf(place: Place): Service {
  const { rowsMax, callMs } = CALLS[place];
  return service("work", {
    input: columns,
    output: columns,
    batch: { rowsMax },
    handler: {
      kind: "work",
      assets: {},
      load: async () => ({
        async infer(batch) {
          await pause(callMs);
          return batch;
        },
      }),
    },
  }) as unknown as Service;
}

export const instanceId = (i: number) => `work-${i}` as InstanceId;
