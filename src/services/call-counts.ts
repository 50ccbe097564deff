/** What a client counts of its service, and sums of it. What each number is: `schemas/control/host-report.avsc`. */
import type { ServiceCounts } from "../wire/control.js";

export interface CallCounts {
  calls: number;
  rows: number;
  duplicateCalls: number;
  repeatedRows: number;
  savedRows: number;
  retries: number;
  timeouts: number;
  fallbackRows: number;
  refusedRows: number;
}

export function noCounts(): CallCounts {
  return {
    ...{ calls: 0, rows: 0, duplicateCalls: 0, repeatedRows: 0, savedRows: 0 },
    ...{ retries: 0, timeouts: 0, fallbackRows: 0, refusedRows: 0 },
  };
}

const NAMES = Object.keys(noCounts()) as (keyof CallCounts)[];

/** For a report. */
export function serviceCounts(service: string, counts: CallCounts): ServiceCounts {
  const told = Object.fromEntries(NAMES.map((name) => [name, BigInt(counts[name])])) as Record<
    keyof CallCounts,
    bigint
  >;
  return { service, ...told };
}

/** Not what went well alone, but what failures have cost, in the names of docs/services.md. @returns empty: nothing */
export function countsText(counts: ServiceCounts): string {
  const costs = NAMES.filter((name) => name !== "calls" && name !== "rows" && counts[name] > 0n);
  if (costs.length === 0) return "";
  const told = costs.map((name) => `${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)} ${counts[name]}`);
  return [`${counts.rows} rows in ${counts.calls} calls`, ...told].join(", ");
}

/** By service, in the order in which they are first named. */
export function sumOfCounts(all: readonly ServiceCounts[]): ServiceCounts[] {
  const sums = new Map<string, Record<keyof CallCounts, bigint>>();
  for (const counts of all) {
    const sum = sums.get(counts.service);
    sums.set(counts.service, {
      ...counts,
      ...(sum && (Object.fromEntries(NAMES.map((name) => [name, sum[name] + counts[name]])) as typeof sum)),
    });
  }
  return [...sums].map(([service, sum]) => ({ ...sum, service }));
}
