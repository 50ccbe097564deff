/**
 * A host: holds the actors of one job that were placed in this process, region by region, obeys the coordinator's commands
 * about them and reports their state.
 *
 * Invariants:
 *   T1  A `Deploy` is acknowledged when every subscription of its actors is known to the server, asked again or not; a
 *       `Start` before that is refused.
 *   T2  Reports say all there is to say, on every change and on a heartbeat: a lost one is made good by the next.
 *   T3  A command of an older term, or of another attempt than the region's, is refused and changes nothing. A deployment of a
 *       later attempt ends the earlier one.
 *   T4  A snapshot is told to the coordinator when it is durable.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Timer } from "../base/ports.js";
import type { Subscription } from "../bus/bus.js";
import { Commands } from "../bus/commands.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { clusterSubjects, type JobSubjects, jobSubjects } from "../bus/subjects.js";
import { AnswerStore } from "../services/answer-store.js";
import { serviceCounts } from "../services/call-counts.js";
import { ServiceClient } from "../services/client.js";
import { jobKeys } from "../storage/keys.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import {
  type ActorReport,
  type Complete,
  type Deploy,
  type DeployEnumerator,
  hostReportFrame,
  type Start,
  type Trigger,
} from "../wire/control.js";
import type { Actor } from "./actor.js";
import type { HostOptions } from "./host-options.js";
import { RegionActors } from "./region-actors.js";
import { SplitEnumerator } from "./split-enumerator.js";

const COMMANDS: ReadonlySet<string> = new Set([
  ...["deploy", "deploy-enumerator"],
  ...["start", "trigger", "complete", "stop-region"],
]);

interface KnownEnumerator {
  readonly enumerator: SplitEnumerator;
  readonly deployed: Promise<void>;
}

export class Host {
  #regions = new Map<string, RegionActors>();
  /** The newest attempt of each region that was told to stop: a deployment of it, or of one before, comes late (rule 9). */
  #stopped = new Map<string, number>();
  #enumerators = new Map<string, KnownEnumerator>();
  #clients = new Map<string, ServiceClient>();
  #closed = false;
  #reports = 0n;
  /** When a report had the load of its actors, by the monotonic clock. */
  #loadsToldMs = Number.NEGATIVE_INFINITY;
  #heartbeat: Timer | undefined;
  #reportSoon: Timer | undefined;
  #commands: Commands;
  #command: Subscription | undefined;
  #stop = new AbortController();
  #subjects: JobSubjects;
  #reportSubject: string;

  constructor(private readonly options: HostOptions) {
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#commands = new Commands({
      bus: options.bus,
      log: options.ports.log,
      who: "a host",
      kinds: COMMANDS,
      obey: (kind, header) => this.#obey(kind, header),
    });
    this.#reportSubject = clusterSubjects(options.namespace).coordinatorReport;
  }

  /** Listens for commands and says hello. */
  async open(): Promise<void> {
    for (const service of this.options.topology.services) this.#clientFor(service.id);
    await Promise.all([...this.#clients.values()].map((client) => client.open()));
    const subject = this.#subjects.hostCommand(this.options.host);
    this.#command = await this.#commands.subscribe(subject);
    this.#beat();
  }

  /** Stops every actor; what no checkpoint holds is dropped. */
  async close(): Promise<void> {
    this.#stop.abort(new MillraceError("MILL_JOB_FAILED", "the host was told to stop"));
    this.#closed = true;
    this.#command?.unsubscribe();
    this.#heartbeat?.cancel();
    this.#reportSoon?.cancel();
    await Promise.all([...this.#regions.values()].map((region) => region.stop()));
    for (const { enumerator } of this.#enumerators.values()) enumerator.close();
    for (const client of this.#clients.values()) client.close();
  }

  async #obey(kind: string, header: unknown): Promise<void> {
    if (kind === "deploy") await this.#deploy(header as Deploy);
    else if (kind === "deploy-enumerator") await this.#deployEnumerator(header as DeployEnumerator);
    else await this.#obeyForRegion(kind, header as Start & Partial<Trigger & Complete>);
  }

  async #deploy(command: Deploy): Promise<void> {
    const known = this.#regions.get(command.region);
    const stopped = this.#stopped.get(command.region) ?? 0;
    if (command.attempt <= stopped) throw overtaken(command.region, stopped + 1);
    if (known !== undefined && command.attempt < known.attempt) throw overtaken(command.region, known.attempt);
    // Asked again: an acknowledgement was lost or late, or the deployment failed, and nothing of it was started.
    if (known?.attempt === command.attempt && !known.broken) return known.deployed;
    const next = new RegionActors(
      this.options,
      command,
      (service) => this.#clientFor(service),
      () => this.#soon(),
    );
    this.#regions.set(command.region, next);
    await known?.stop();
    await next.deployed;
    this.#soon();
  }

  async #obeyForRegion(kind: string, command: Start & Partial<Trigger & Complete>): Promise<void> {
    const region = this.#regions.get(command.region);
    if (kind === "stop-region") {
      this.#stopped.set(command.region, Math.max(command.attempt, this.#stopped.get(command.region) ?? 0));
      if (region === undefined || region.attempt > command.attempt) return;
      this.#regions.delete(command.region);
      return region.stop();
    }
    if (region?.attempt !== command.attempt) throw overtaken(command.region, region?.attempt ?? 0);
    if (kind === "start") {
      await region.deployed;
      return region.start();
    }
    for (const actor of region.actors.values()) {
      if (kind === "trigger") actor.trigger(command.checkpoint!, command.traceparent);
      else void actor.complete(command.checkpoint!);
    }
  }

  async #deployEnumerator({ source: operator, term, attempt }: DeployEnumerator): Promise<void> {
    const known = this.#enumerators.get(operator);
    const rank = { term, attempt };
    if (known !== undefined && !known.enumerator.closed) {
      known.enumerator.promote(rank);
      return known.deployed;
    }
    const node = this.options.topology.operators.find((candidate) => candidate.id === operator);
    if (node?.kind !== "source") {
      throw new MillraceError("MILL_PLAN_MISMATCH", `the topology has no source "${operator}".`);
    }
    const { bus, store, content, ports, job, plan } = this.options;
    const enumerator = new SplitEnumerator({
      source: node.source,
      operator,
      subject: this.#subjects.splits(node.id),
      readers: plan.actors.filter(({ operators }) => operators.includes(node.id)).length,
      rank,
      bus,
      store,
      logKey: (number) => jobKeys(job).splitRecord(operator, number),
      pageKey: (size, number) => jobKeys(job).splitPage(operator, size, number),
      clock: ports.clock,
      context: { content, log: ports.log, signal: this.#stop.signal },
    });
    const deployed = enumerator.open();
    this.#enumerators.set(operator, { enumerator, deployed });
    try {
      await deployed;
    } catch (error) {
      enumerator.close();
      if (this.#enumerators.get(operator)?.enumerator === enumerator) this.#enumerators.delete(operator);
      throw error; // it will be asked for again
    }
  }

  /** One client per service and host: its actors share what it knows of the instances. */
  #clientFor(service: string): ServiceClient {
    let client = this.#clients.get(service);
    if (client === undefined) {
      const declared = this.options.topology.services.find((candidate) => candidate.id === service);
      if (declared === undefined)
        throw new MillraceError("MILL_PLAN_MISMATCH", `the topology has no service "${service}".`);
      client = new ServiceClient({
        ...this.options,
        service: declared,
        saved: declared.persistAfterMs === 0 ? undefined : this.#answersOf(declared),
        fallback: declared.fallback && this.#clientFor(declared.fallback.id),
        attempt: 1,
        client: `${this.options.host}-${declared.id}`,
      });
      this.#clients.set(service, client);
    }
    return client;
  }

  #answersOf({ id: service, output }: Service): AnswerStore {
    const { job, ports, store } = this.options;
    return new AnswerStore({ job, service, schema: arrowSchema(output), log: ports.log, store: () => store });
  }

  #beat(): void {
    this.#report();
    this.#heartbeat = this.options.ports.clock.after(limits.hostReportIntervalMs, () => this.#beat());
  }

  /** Changes of one turn go out as one report. */
  #soon(): void {
    if (this.#closed) return;
    this.#reportSoon ??= this.options.ports.clock.after(0, () => {
      this.#reportSoon = undefined;
      this.#report();
    });
  }

  #report(): void {
    const now = this.options.ports.clock.monotonicMs();
    const loads = now - this.#loadsToldMs >= limits.actorLoadIntervalMs;
    if (loads) this.#loadsToldMs = now;
    const actors = [...this.#regions.values()].flatMap((region) => [...region.actors.values()]);
    const enumerators = [...this.#enumerators.values()].filter(({ enumerator }) => !enumerator.closed);
    const frame = hostReportFrame.encode({
      host: this.options.host,
      job: this.options.job,
      sequence: ++this.#reports,
      actors: actors.map((actor) => reportOf(actor, loads)),
      rowsTotal: BigInt(enumerators.reduce((sum, { enumerator }) => sum + enumerator.rowsTotal, 0)),
      services: [...this.#clients].map(([service, { counts }]) => serviceCounts(service, counts)),
      standings: [...this.#clients.values()].flatMap((client) => client.standings()),
    });
    const { bus, ports } = this.options;
    void publishLossy(bus, ports.log, this.#reportSubject, frame);
  }
}

function overtaken(region: string, attempt: number): MillraceError {
  return new MillraceError("MILL_COMMAND_REFUSED", `region "${region}" is in attempt ${attempt} here.`);
}

function reportOf(actor: Actor, load: boolean): ActorReport {
  const { state, counters } = actor;
  const error = state.kind === "FAILED" ? state.error : undefined;
  return {
    actor: actor.id,
    region: actor.region,
    attempt: actor.attempt,
    state: state.kind,
    published: actor.published,
    sinksPublished: actor.sinksPublished,
    code: error === undefined ? "" : isErrorCode(error.code) ? error.code : "MILL_OPERATOR_FAILED",
    message: error?.message ?? "",
    rowsRead: BigInt(counters.rowsRead),
    rowsWritten: BigInt(counters.rowsWritten),
    rowsInFlight: BigInt(counters.rowsInFlight),
    deadLetters: BigInt(counters.deadLetters),
    load: load ? actor.load() : null,
  };
}
