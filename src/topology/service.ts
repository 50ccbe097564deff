/** Declares services: fills in what was not said, and refuses what cannot be. What there is to say: `service-contract.ts`. */
import { id, type ServiceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Columns } from "../types/columns.js";
import { needsOf } from "./resources.js";
import { checkService } from "./service-checks.js";
import type { Service, ServiceSpec } from "./service-contract.js";

export type * from "./service-contract.js";

/**
 * Declares a service. Two topologies may use the same declaration; each job has its own instances.
 *
 * @throws {MillraceError} `MILL_CONFIG` for a number that is none; `MILL_TOPOLOGY_COLUMN` for a `bucketBy` or `affinityBy` that is no
 *   input; `MILL_TOPOLOGY_TYPE` for a fallback with other columns
 */
export function service<I extends Columns, O extends Columns>(name: string, spec: ServiceSpec<I, O>): Service<I, O> {
  const { handler, batch = {}, queue = {}, retry = {}, load = {} } = spec;
  const made: Service<I, O> = {
    id: id<ServiceId>("service", name),
    input: spec.input,
    output: spec.output,
    handler,
    instances: spec.instances ?? 1,
    batch: {
      rowsMax: batch.rowsMax ?? handler.defaults?.batch?.rowsMax ?? 1,
      bytesMax: batch.bytesMax ?? limits.callBytesMax,
      delayMsMax: batch.delayMsMax ?? 0,
      bucketBy: batch.bucketBy ?? [],
      cost: batch.cost,
      latencyMsTarget: batch.latencyMsTarget ?? 0,
    },
    concurrency: spec.concurrency ?? handler.defaults?.concurrency ?? 1,
    queue: {
      rowsMax: queue.rowsMax ?? limits.instanceQueueRowsMax,
      bytesMax: queue.bytesMax ?? limits.instanceQueueBytesMax,
    },
    timeoutMs: spec.timeoutMs ?? limits.callTimeoutMs,
    deadlineMs: spec.deadlineMs ?? limits.callDeadlineMs,
    retry: {
      attemptsMax: retry.attemptsMax ?? limits.callAttemptsMax,
      pauseMs: retry.pauseMs ?? limits.callPauseMs,
      pauseMsMax: retry.pauseMsMax ?? limits.callPauseMsMax,
    },
    fallback: spec.fallback,
    affinityBy: spec.affinityBy ?? [],
    persistAfterMs: spec.persistAfterMs ?? limits.answerPersistMs,
    cache: spec.cache ?? "none",
    load: {
      timeoutMs: load.timeoutMs ?? limits.serviceLoadTimeoutMs,
      warmTimeoutMs: load.warmTimeoutMs ?? limits.serviceWarmTimeoutMs,
      attemptsMax: load.attemptsMax ?? limits.serviceLoadAttemptsMax,
    },
    resources: needsOf(`service "${name}"`, spec.resources ?? {}, 1),
  };
  checkService(made);
  return made;
}
