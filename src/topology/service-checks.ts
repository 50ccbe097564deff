/** What is refused of a service's declaration, with an error that names service and setting. */
import { MillraceError } from "../base/errors.js";
import { arrowSchema, t } from "../types/columns.js";
import { holdsContent } from "../types/content-refs.js";
import type { Service } from "./service-contract.js";

/** All of a service that does not depend on its columns' types. */
type Declared = Omit<Service, "handler" | "fallback"> & {
  readonly fallback: Pick<Service, "id" | "input" | "output"> | undefined;
};

export function checkService(service: Declared): void {
  const { batch, queue, retry, load } = service;
  const from = (least: number, values: Readonly<Record<string, number>>) => {
    for (const [what, value] of Object.entries(values)) atLeast(service.id, what, value, least);
  };
  from(1, {
    instances: service.instances,
    concurrency: service.concurrency,
    "batch.rowsMax": batch.rowsMax,
    "batch.bytesMax": batch.bytesMax,
    "queue.rowsMax": queue.rowsMax,
    "queue.bytesMax": queue.bytesMax,
    "retry.attemptsMax": retry.attemptsMax,
    "load.attemptsMax": load.attemptsMax,
    "load.timeoutMs": load.timeoutMs,
    "load.warmTimeoutMs": load.warmTimeoutMs,
  });
  from(0, {
    "batch.delayMsMax": batch.delayMsMax,
    "batch.latencyMsTarget": batch.latencyMsTarget,
    timeoutMs: service.timeoutMs,
    deadlineMs: service.deadlineMs,
    persistAfterMs: service.persistAfterMs,
    "retry.pauseMs": retry.pauseMs,
    "retry.pauseMsMax": retry.pauseMsMax,
  });
  checkCost(service);
  if (service.cache !== "none" && service.cache !== "content") {
    const text = `service "${service.id}": cache is ${String(service.cache)}; give "none" or "content".`;
    throw new MillraceError("MILL_CONFIG", text, { service: service.id, what: "cache" });
  }
  if (service.cache === "content") noContent(service);
  inputColumns(service, "batch.bucketBy", batch.bucketBy);
  inputColumns(service, "affinityBy", service.affinityBy);
  checkFallback(service);
}

/** What an answer refers to lives as long as the row that it was made for; a shared answer outlives that. */
function noContent({ id, output }: Declared): void {
  const column = arrowSchema(output).fields.find(holdsContent)?.name;
  if (column === undefined) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `service "${id}": cache is "content", but content that its column "${column}" refers to may be gone when the answer is given again. Answer with t.binary, or leave cache out.`,
    { service: id, what: "cache", column },
  );
}

function atLeast(service: string, what: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `service "${service}": ${what} is ${value}; give a whole number from ${least} on.`,
    { service, what },
  );
}

function checkCost({ id, batch: { cost } }: Declared): void {
  if (cost === undefined || (typeof cost.of === "function" && cost.max > 0)) return;
  const what = "batch.cost";
  throw new MillraceError(
    "MILL_CONFIG",
    `service "${id}": ${what} needs { of: (row) => number, max: a number above 0 }.`,
    { service: id, what },
  );
}

function inputColumns({ id, input }: Declared, what: string, columns: readonly string[]): void {
  for (const column of columns) {
    if (Object.hasOwn(input, column)) continue;
    const there = Object.keys(input).join(", ");
    throw new MillraceError(
      "MILL_TOPOLOGY_COLUMN",
      `service "${id}": ${what} names "${column}", which is not a column of its input. It has: ${there}.`,
      { service: id, column },
    );
  }
}

/** A fallback is asked with the same rows, and answers in the same columns. A circle cannot be declared: it would have to exist before. */
function checkFallback({ id, input, output, fallback }: Declared): void {
  if (fallback === undefined) return;
  for (const [which, own, other] of [
    ["input", input, fallback.input],
    ["output", output, fallback.output],
  ] as const) {
    const [has, needs] = [t.struct(other).name, t.struct(own).name];
    if (has === needs) continue;
    throw new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `service "${id}": its fallback "${fallback.id}" has the ${which} ${has}; give it the same as "${id}" has: ${needs}.`,
      { service: id, fallback: fallback.id },
    );
  }
}
