/**
 * A host: holds the actors of one job that were placed in this process, obeys the coordinator's commands about them
 * and reports their state.
 *
 * Invariants:
 *   T1  A `Deploy` is acknowledged when every subscription of its actors is known to the server, asked again or not; a
 *       `Start` before that is refused.
 *   T2  Reports say all there is to say, on every change and on a heartbeat: a lost one is made good by the next.
 *   T3  A command of an older term or another attempt is refused and changes nothing.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { ActorId, ChannelId, HostId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import { clusterSubjects, type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { Plan } from "../plan/plan.js";
import { ServiceClient } from "../services/client.js";
import type { ContentAccess, OutputFolder, Sink } from "../topology/endpoints.js";
import type { Topology } from "../topology/nodes.js";
import {
  type ActorReport,
  acknowledgementFrame,
  type Commit,
  type Deploy,
  hostReportFrame,
  type Start,
} from "../wire/control.js";
import { decodeFrame } from "../wire/frames.js";
import { Actor } from "./actor.js";
import { BusChannelReceiver, BusChannelSender } from "./bus-channel.js";
import { type ChannelReceiver, type ChannelSender, LocalChannel } from "./channels.js";
import { SplitEnumerator } from "./splits.js";

export interface HostOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly host: HostId;
  readonly topology: Topology;
  readonly plan: Plan;
  readonly content: ContentAccess;
  outputFor(url: string): OutputFolder;
  readonly deadLetterSink: Sink;
}

export class Host {
  #actors = new Map<ActorId, Actor>();
  #enumerators: SplitEnumerator[] = [];
  #clients = new Map<string, ServiceClient>();
  #local = new Map<ChannelId, LocalChannel>();
  #attempt = 0;
  #term = 0n;
  #deployed: Promise<void> | undefined;
  #ready = false;
  #started = false;
  #closed = false;
  #reports = 0n;
  #heartbeat: Timer | undefined;
  #reportSoon: Timer | undefined;
  #command: Subscription | undefined;
  #stop = new AbortController();
  #subjects: JobSubjects;
  #reportSubject: string;

  constructor(private readonly options: HostOptions) {
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#reportSubject = clusterSubjects(options.namespace).coordinatorReport;
  }

  /** Listens for commands and says hello. */
  async open(): Promise<void> {
    const subject = this.#subjects.hostCommand(this.options.host);
    this.#command = await this.options.bus.subscribe(subject, (message) => void this.#obey(message));
    this.#beat();
  }

  /** Stops every actor; what was not committed is dropped. */
  async close(): Promise<void> {
    this.#stop.abort(new MillraceError("MILL_JOB_FAILED", "the host was told to stop"));
    this.#closed = true;
    this.#command?.unsubscribe();
    this.#heartbeat?.cancel();
    this.#reportSoon?.cancel();
    await Promise.all([...this.#actors.values()].map((actor) => actor.stop()));
    for (const enumerator of this.#enumerators) enumerator.close();
    for (const client of this.#clients.values()) client.close();
  }

  async #obey(message: BusMessage): Promise<void> {
    let code = "";
    let text = "";
    try {
      const { kind, header } = decodeFrame(message.payload);
      if (kind !== "deploy" && kind !== "start" && kind !== "commit")
        throw new MillraceError("MILL_COMMAND_REFUSED", `a host does not know the command "${kind}".`);
      const command = header as Deploy | Start | Commit;
      if (command.term < this.#term) {
        throw new MillraceError(
          "MILL_COMMAND_REFUSED",
          `term ${command.term} is over; the coordinator of term ${this.#term} leads.`,
        );
      }
      this.#term = command.term;
      if (kind === "deploy") await this.#deploy(header as Deploy);
      else if (kind === "start") this.#start(header as Start);
      else this.#commit(header as Commit);
    } catch (cause) {
      const error = MillraceError.from(cause);
      this.options.ports.log.error("a command failed", { error });
      code = error.code;
      text = error.message;
    }
    if (message.replyTo !== undefined) {
      await this.#publish(message.replyTo, acknowledgementFrame.encode({ code, message: text }));
    }
  }

  #deploy(command: Deploy): Promise<void> {
    if (this.#attempt !== 0 && command.attempt !== this.#attempt)
      throw new MillraceError("MILL_COMMAND_REFUSED", `this host runs attempt ${this.#attempt}.`);
    this.#attempt = command.attempt;
    // Asked again, because an acknowledgement was lost or late: the answer is that of the first time.
    this.#deployed ??= this.#openActors(command);
    return this.#deployed;
  }

  async #openActors(command: Deploy): Promise<void> {
    const mine = this.options.plan.actors.filter((actor) => command.actors.includes(actor.id));
    const unknown = command.actors.find((id) => !mine.some((actor) => actor.id === id));
    if (unknown !== undefined) throw new MillraceError("MILL_PLAN_MISMATCH", `the plan has no actor "${unknown}".`);
    const here = new Set(mine.map((actor) => actor.id));
    for (const actor of mine) {
      this.#actors.set(
        actor.id,
        new Actor({
          ...this.options,
          actor,
          attempt: command.attempt,
          subjects: this.#subjects,
          clientFor: (service) => this.#clientFor(service),
          senderFor: (channel) => this.#channel(channel as ChannelId, here).sender,
          receiverFor: (channel) => this.#channel(channel as ChannelId, here).receiver,
          onChange: () => this.#soon(),
        }),
      );
    }
    for (const operator of command.enumerators) this.#addEnumerator(operator);
    await Promise.all([
      ...[...this.#actors.values()].map((actor) => actor.open()),
      ...[...this.#clients.values()].map((client) => client.open()),
      ...this.#enumerators.map((enumerator) => enumerator.open()),
    ]);
    this.#ready = true;
  }

  #start(command: Start): void {
    if (command.attempt !== this.#attempt || !this.#ready)
      throw new MillraceError("MILL_COMMAND_REFUSED", `attempt ${command.attempt} is not deployed here.`);
    if (this.#started) return;
    this.#started = true;
    for (const enumerator of this.#enumerators) void enumerator.run();
    for (const actor of this.#actors.values()) void actor.start();
  }

  #commit(command: Commit): void {
    if (command.attempt !== this.#attempt)
      throw new MillraceError("MILL_COMMAND_REFUSED", `attempt ${command.attempt} is not deployed here.`);
    for (const actor of this.options.plan.actors) {
      if (actor.region === command.region) void this.#actors.get(actor.id)?.commit();
    }
  }

  #addEnumerator(operator: string): void {
    const node = this.options.topology.operators.find((candidate) => candidate.id === operator);
    if (node?.kind !== "source")
      throw new MillraceError("MILL_PLAN_MISMATCH", `the topology has no source "${operator}".`);
    const { bus, content, ports } = this.options;
    this.#enumerators.push(
      new SplitEnumerator(node.source, this.#subjects.splits(node.id), bus, {
        content,
        log: ports.log,
        signal: this.#stop.signal,
      }),
    );
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
        attempt: this.#attempt,
        client: `${this.options.host}-${declared.id}-${this.#attempt}`,
      });
      this.#clients.set(service, client);
    }
    return client;
  }

  /** Both ends in this host: one mailbox. Else the end that is here, over the bus. */
  #channel(id: ChannelId, here: ReadonlySet<string>): { sender: ChannelSender; receiver: ChannelReceiver } {
    const channel = this.options.plan.channels.find((candidate) => candidate.id === id)!;
    if (here.has(channel.from.actor) && here.has(channel.to.actor)) {
      let local = this.#local.get(id);
      if (local === undefined) {
        local = new LocalChannel();
        this.#local.set(id, local);
      }
      return { sender: local, receiver: local };
    }
    const from = this.options.topology.operators.find((node) => node.id === channel.from.operator)!;
    const options = {
      bus: this.options.bus,
      clock: this.options.ports.clock,
      channel: id,
      attempt: this.#attempt,
      subjects: this.#subjects.channel(id, this.#attempt),
      columns: from.columns,
    };
    return { sender: new BusChannelSender(options), receiver: new BusChannelReceiver(options) };
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
    const frame = hostReportFrame.encode({
      host: this.options.host,
      job: this.options.job,
      attempt: this.#attempt,
      sequence: ++this.#reports,
      actors: [...this.#actors.values()].map(reportOf),
      rowsTotal: BigInt(this.#enumerators.reduce((sum, enumerator) => sum + enumerator.rowsTotal, 0)),
    });
    void this.#publish(this.#reportSubject, frame);
  }

  /** What is lost here is asked for or said again. */
  async #publish(subject: string, frame: Uint8Array): Promise<void> {
    try {
      await this.options.bus.publish(subject, frame);
    } catch (error) {
      this.options.ports.log.debug("a message was not sent", { subject, error });
    }
  }
}

function reportOf(actor: Actor): ActorReport {
  const { state, counters } = actor;
  const error = state.kind === "FAILED" ? state.error : undefined;
  return {
    actor: actor.id,
    state: state.kind,
    code: error === undefined ? "" : isErrorCode(error.code) ? error.code : "MILL_OPERATOR_FAILED",
    message: error?.message ?? "",
    rowsRead: BigInt(counters.rowsRead),
    rowsWritten: BigInt(counters.rowsWritten),
    rowsInFlight: BigInt(counters.rowsInFlight),
    deadLetters: BigInt(counters.deadLetters),
  };
}
