/**
 * Empties logs of durable exchanges whose readers have finished, while their job goes on. A writer that was restored publishes again
 * what it had pending, also behind the end of the log's reader, and nobody else would make room for it.
 *
 * Only what a committed checkpoint calls finished counts: such a reader never reads again. A log that is gone is left gone: its job has
 * ended, and nobody would delete another one of its name.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace, OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { jobSubjects } from "../bus/subjects.js";
import type { ExchangeSpec } from "../wire/control.js";
import type { RegionRecord } from "../wire/stored.js";

export interface ReadLogsOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** Asked first: who leads no more changes nothing. */
  leads(): Promise<boolean>;
}

/** What of a job it looks at. */
export interface ReadLogsJob {
  readonly job: JobId;
  readonly exchanges: readonly Pick<ExchangeSpec, "operator" | "readers">[];
  readonly regions: ReadonlyMap<string, { readonly commit: RegionRecord | undefined }>;
}

export class ReadLogs {
  #nextMs = new WeakMap<ReadLogsJob, number>();
  #underWay = new WeakSet<ReadLogsJob>();

  constructor(private readonly options: ReadLogsOptions) {}

  /** Called as often as one likes. */
  look(job: ReadLogsJob): void {
    if (job.exchanges.length === 0 || this.#underWay.has(job)) return;
    const nowMs = this.options.ports.clock.monotonicMs();
    if (nowMs < (this.#nextMs.get(job) ?? 0)) return;
    this.#nextMs.set(job, nowMs + limits.heartbeatIntervalMs);
    const actors = [...job.regions.values()].flatMap(({ commit }) => commit?.actors ?? []);
    const finished = new Set(actors.filter((actor) => actor.finished).map(({ actor }) => actor));
    const { exchangeLog } = jobSubjects(this.options.namespace, job.job);
    const names = job.exchanges.flatMap(({ operator, readers }) =>
      [...readers.entries()]
        .filter(([, reader]) => finished.has(reader))
        .map(([partition]) => exchangeLog(operator as OperatorId, partition)),
    );
    if (names.length > 0) void this.#empty(job, names);
  }

  /** Of a job that has ended, and whose hosts have gone: nobody uses them any more. @throws {MillraceError} `MILL_BUS_*` */
  async delete(job: JobId, exchanges: readonly ExchangeSpec[]): Promise<void> {
    const { bus, namespace } = this.options;
    const { exchangeLog } = jobSubjects(namespace, job);
    for (const { operator, partitions } of exchanges) {
      const name = (partition: number) => exchangeLog(operator as OperatorId, partition);
      await Promise.all(Array.from({ length: partitions }, (_, partition) => bus.deleteLog(name(partition))));
    }
  }

  async #empty(job: ReadLogsJob, names: readonly string[]): Promise<void> {
    const { bus, ports, leads } = this.options;
    this.#underWay.add(job);
    try {
      if (!(await leads())) return;
      for (const name of names) await emptyIfThere(bus, name);
    } catch (error) {
      ports.log.warn("a log that nobody reads any more was not emptied; it is tried again", { job: job.job, error });
    } finally {
      this.#underWay.delete(job);
    }
  }
}

async function emptyIfThere(bus: Bus, name: string): Promise<void> {
  try {
    const log = await bus.existingLog(name);
    await log.purgeBelow((await log.last()) + 1n);
  } catch (error) {
    if (!MillraceError.is(error) || error.code !== "MILL_BUS_LOG_GONE") throw error;
  }
}
