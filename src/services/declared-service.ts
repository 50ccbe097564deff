/** A service as a job's spec tells of it: enough for a client, which needs neither the topology nor the handler. */
import { invariant } from "../base/errors.js";
import { id, type ServiceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { columnsFrom } from "../types/columns-from.js";
import { decodeSchema, encodeSchema } from "../wire/arrow.js";
import type { ServiceSpec } from "../wire/control.js";

type Contract = Pick<Service, "concurrency" | "queue" | "timeoutMs" | "deadlineMs" | "retry"> & {
  readonly batch: Pick<Service["batch"], "rowsMax" | "bytesMax" | "delayMsMax" | "latencyMsTarget">;
  /** Its instances are programs of another language. Absent: a version that did not say has submitted the job. */
  readonly program?: boolean;
};

/** What goes into the spec. */
export function contractOf(service: Service): Pick<ServiceSpec, "input" | "output" | "contract"> {
  const { concurrency, queue, timeoutMs, deadlineMs, retry } = service;
  const { rowsMax, bytesMax, delayMsMax, latencyMsTarget } = service.batch;
  const batch = { rowsMax, bytesMax, delayMsMax, latencyMsTarget };
  const program = service.handler.kind === "command";
  const contract: Contract = { concurrency, queue, timeoutMs, deadlineMs, retry, batch, program };
  return {
    input: encodeSchema(arrowSchema(service.input)),
    output: encodeSchema(arrowSchema(service.output)),
    contract: JSON.stringify(contract, (_, value) => (value === Number.POSITIVE_INFINITY ? "Infinity" : value)),
  };
}

/** @returns undefined: the job was submitted by a version that did not say */
export function serviceFrom(spec: ServiceSpec): Service | undefined {
  if (spec.contract === "") return undefined;
  const { program: _, ...contract } = contractFrom(spec);
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

/**
 * How long an instance that serves may be silent; Infinity: that cannot be said. A program reports whatever its calls do. A call of our
 * own may block its process until it is hung (N8 of `desk.ts`).
 * @param beatsMs silence after which heartbeats count as missing
 */
export function silentMsMax(spec: Pick<ServiceSpec, "contract">, beatsMs: number): number {
  if (spec.contract === "") return Number.POSITIVE_INFINITY;
  const { program = false, timeoutMs } = contractFrom(spec);
  if (program) return beatsMs;
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs + limits.callHungMs + beatsMs;
}

function contractFrom({ contract }: Pick<ServiceSpec, "contract">): Contract {
  return JSON.parse(contract, (_, value) => (value === "Infinity" ? Number.POSITIVE_INFINITY : value)) as Contract;
}
