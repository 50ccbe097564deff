/** What tests and benches see of a takeover from outside: who holds the lease, how many rows come out, which attempts are at work. */
import { setTimeout as pause } from "node:timers/promises";
import type { Namespace } from "../../src/base/ids.js";
import type { Bus } from "../../src/bus/bus.js";
import { clusterSubjects } from "../../src/bus/subjects.js";
import { LeaseBucket } from "../../src/coordinator/term.js";
import { hostReportFrame } from "../../src/wire/control.js";
import { frameKind } from "../../src/wire/frames.js";
import type { Lease } from "../../src/wire/stored.js";

const LOOK_MS = 20;

/** Waits until another than `before` holds the lease. @returns the lease, and milliseconds since the call */
export async function nextLease(
  bus: Bus,
  namespace: Namespace,
  before: Lease,
  withinMs: number,
): Promise<{ readonly lease: Lease; readonly ms: number }> {
  const bucket = new LeaseBucket(bus, namespace);
  for (const fromMs = performance.now(); ; await pause(LOOK_MS)) {
    const { lease } = (await bucket.read()) ?? {};
    const ms = performance.now() - fromMs;
    if (lease !== undefined && lease.term > before.term && lease.holder !== "") return { lease, ms };
    if (ms > withinMs) throw new Error(`after ${ms.toFixed(0)} ms ${JSON.stringify(lease?.holder)} holds the lease`);
  }
}

interface Seen {
  readonly ms: number;
  readonly rows: number;
}

/** Rows that hosts hand to their sinks, by what they report. */
export class RowsWritten {
  #seen = new Map<string, Seen[]>();
  /** Attempts that actors were seen in, by region. */
  readonly attempts = new Map<string, Set<number>>();

  static async watch(bus: Bus, namespace: Namespace): Promise<RowsWritten> {
    const rows = new RowsWritten();
    await bus.subscribe(clusterSubjects(namespace).coordinatorReport, ({ payload }) => {
      if (frameKind(payload) === "host-report") rows.#take(payload);
    });
    return rows;
  }

  #take(payload: Uint8Array): void {
    const { host, actors } = hostReportFrame.decode(payload).header;
    const rows = actors.reduce((sum, { rowsWritten }) => sum + Number(rowsWritten), 0);
    this.#seen.set(host, [...(this.#seen.get(host) ?? []), { ms: performance.now(), rows }]);
    for (const { region, attempt } of actors)
      this.attempts.set(region, (this.attempts.get(region) ?? new Set()).add(attempt));
  }

  /** Rows between two moments, each between two reports. */
  between(fromMs: number, toMs: number): number {
    return [...this.#seen.values()].reduce((sum, reports) => sum + at(reports, toMs) - at(reports, fromMs), 0);
  }

  /** Rows in the poorest stretch of `stretchMs` between two moments. */
  least(fromMs: number, toMs: number, stretchMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let ms = fromMs; ms + stretchMs <= toMs; ms += stretchMs / 4)
      least = Math.min(least, this.between(ms, ms + stretchMs));
    return least;
  }
}

function at(reports: readonly Seen[], ms: number): number {
  const after = reports.findIndex((one) => one.ms >= ms);
  if (after < 0) return reports.at(-1)!.rows;
  if (after === 0) return reports[0]!.rows;
  const [a, b] = [reports[after - 1]!, reports[after]!];
  return a.rows + ((b.rows - a.rows) * (ms - a.ms)) / (b.ms - a.ms);
}
