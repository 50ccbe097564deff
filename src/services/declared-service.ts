/** A service as a job's spec tells of it: enough for a client, which needs neither the topology nor the handler. */
import { invariant } from "../base/errors.js";
import { id, type ServiceId } from "../base/ids.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { columnsFrom } from "../types/columns-from.js";
import { decodeSchema, encodeSchema } from "../wire/arrow.js";
import type { ServiceSpec } from "../wire/control.js";

type Contract = Pick<Service, "concurrency" | "queue" | "timeoutMs" | "deadlineMs" | "retry"> & {
  readonly batch: Pick<Service["batch"], "rowsMax" | "bytesMax" | "delayMsMax" | "latencyMsTarget">;
};

/** What goes into the spec. */
export function contractOf(service: Service): Pick<ServiceSpec, "input" | "output" | "contract"> {
  const { concurrency, queue, timeoutMs, deadlineMs, retry } = service;
  const { rowsMax, bytesMax, delayMsMax, latencyMsTarget } = service.batch;
  const batch = { rowsMax, bytesMax, delayMsMax, latencyMsTarget };
  const contract: Contract = { concurrency, queue, timeoutMs, deadlineMs, retry, batch };
  return {
    input: encodeSchema(arrowSchema(service.input)),
    output: encodeSchema(arrowSchema(service.output)),
    contract: JSON.stringify(contract, (_, value) => (value === Number.POSITIVE_INFINITY ? "Infinity" : value)),
  };
}

/** @returns undefined: the job was submitted by a version that did not say */
export function serviceFrom(spec: ServiceSpec): Service | undefined {
  if (spec.contract === "") return undefined;
  const contract = JSON.parse(spec.contract, (_, value) =>
    value === "Infinity" ? Number.POSITIVE_INFINITY : value,
  ) as Contract;
  return {
    id: id<ServiceId>("service", spec.service),
    input: columnsFrom(decodeSchema(spec.input)),
    output: columnsFrom(decodeSchema(spec.output)),
    handler: { kind: "remote", assets: {}, load: async () => invariant(false, "a client loads no model") as never },
    instances: spec.instances,
    ...contract,
    batch: { ...contract.batch, bucketBy: [], cost: undefined },
    fallback: undefined,
    affinityBy: [],
    persistAfterMs: 0,
    cache: "none",
    load: {
      timeoutMs: Number(spec.loadTimeoutMs),
      warmTimeoutMs: Number(spec.warmTimeoutMs),
      attemptsMax: spec.loadAttemptsMax,
    },
    resources: undefined as never,
  };
}
