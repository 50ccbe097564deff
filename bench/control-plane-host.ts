/**
 * A host and an instance that do nothing but obey and report, at the product's pace (`limits.ts`): as many reports, of the same size and
 * as often, as those of `actors/host.ts` and `services/instance.ts` whose actors work and whose state does not change.
 */
import { id, type JobId, type Namespace, type ServiceId } from "../src/base/ids.js";
import { limits } from "../src/base/limits.js";
import type { Ports, Timer } from "../src/base/ports.js";
import type { Bus } from "../src/bus/bus.js";
import { Commands } from "../src/bus/commands.js";
import { publishLossy } from "../src/bus/publish-lossy.js";
import { clusterSubjects, jobSubjects } from "../src/bus/subjects.js";
import {
  type ActorLoad,
  type ActorReport,
  type ActorState,
  hostReportFrame,
  instanceHistoryFrame,
  snapshotFrame,
  type Trigger,
} from "../src/wire/control.js";
import { loadReportFrame } from "../src/wire/frames.js";

export interface Played {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** A host was told to begin a checkpoint, or to publish what it holds, for the first time. */
  triggered(): void;
  completed(): void;
  /**
   * What each of a thousand machines would do by itself: piece by piece, in the order in which it was asked for, and between two pieces
   * this process hears what else it is told. So `triggered` tells when a host was told, and not when those before it had obeyed.
   */
  later(piece: () => void): void;
}

interface PlayedRegion {
  readonly region: string;
  readonly attempt: number;
  readonly actors: readonly string[];
  state: ActorState;
  published: bigint;
  /** The newest checkpoint that it was told to begin, and the newest whose snapshots it has told of. */
  triggered: bigint;
  told: bigint;
}

const COMMANDS = new Set(["deploy", "deploy-enumerator", "start", "trigger", "complete", "stop-region"]);
const NEW = { state: "DEPLOYED", published: 0n, triggered: 0n, told: 0n } as const;
const SNAPSHOT = { finished: false, inline: new Uint8Array(64), key: "", sha256: "0".repeat(64), sizeBytes: 64n };

export class PlayedHost {
  #regions = new Map<string, PlayedRegion>();
  #sequence = 0n;
  #rows = 0n;
  #loadsToldMs = 0;
  #beginMs: number;
  #timer: Timer | undefined;
  #reportsSoon = false;
  #closed = false;

  constructor(
    private readonly played: Played,
    private readonly job: JobId,
    private readonly host: string,
  ) {
    this.#beginMs = played.ports.clock.monotonicMs();
  }

  async open(): Promise<void> {
    const { bus, ports, namespace } = this.played;
    const commands = new Commands({
      ...{ bus, log: ports.log, who: "a host", kinds: COMMANDS },
      obey: (kind, header) => this.#obey(kind, header as Trigger & { readonly actors: readonly string[] }),
    });
    await commands.subscribe(jobSubjects(namespace, this.job).hostCommand(id("host", this.host)));
    this.#report();
    // Hosts do not all begin at the same time.
    this.#timer = ports.clock.after(Math.random() * limits.hostReportIntervalMs, () => this.#beat());
  }

  #obey(kind: string, command: Trigger & { readonly actors: readonly string[] }): void {
    const { region, attempt } = command;
    const known = this.#regions.get(region);
    if (kind === "deploy") {
      if (known === undefined || known.attempt < attempt)
        this.#regions.set(region, { region, attempt, actors: command.actors, ...NEW });
    } else if (known?.attempt !== attempt) return;
    else if (kind === "start") known.state = "RUNNING";
    else if (kind === "trigger") this.#trigger(known, command);
    else if (kind === "complete") this.#complete(known, command);
    else if (kind === "stop-region") this.#regions.delete(region);
    if (this.#reportsSoon || kind === "trigger") return; // of a trigger a report says nothing
    this.#reportsSoon = true;
    this.played.later(() => {
      this.#reportsSoon = false;
      if (!this.#closed) this.#report();
    });
  }

  /** Who has told of its snapshots tells of them again; who has not is about to. */
  #trigger(known: PlayedRegion, { checkpoint }: Trigger): void {
    const { region, attempt, actors } = known;
    const isNew = known.triggered < checkpoint;
    if (!isNew && known.told < checkpoint) return;
    known.triggered = checkpoint;
    if (isNew) this.played.triggered();
    this.played.later(() => {
      known.told = checkpoint;
      for (const actor of actors) {
        const about = { job: this.job, region, attempt, checkpoint, actor, unaligned: false };
        this.#publish(snapshotFrame.encode({ ...SNAPSHOT, ...about }));
      }
    });
  }

  #complete(known: PlayedRegion, { checkpoint }: Trigger): void {
    if (known.published < checkpoint) this.played.completed();
    known.published = checkpoint;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #beat(): void {
    this.#report();
    this.#timer = this.played.ports.clock.after(limits.hostReportIntervalMs, () => this.#beat());
  }

  #report(): void {
    const now = this.played.ports.clock.monotonicMs();
    const loads = now - this.#loadsToldMs >= limits.actorLoadIntervalMs;
    if (loads) this.#loadsToldMs = now;
    this.#rows += 100n;
    const actors = [...this.#regions.values()].flatMap((region) =>
      region.actors.map((actor) => this.#reportOf(region, actor, loads ? this.#loadOf(actor, now) : null)),
    );
    const { host, job } = this;
    const about = { host, job, rowsTotal: this.#rows, services: [], standings: [] };
    this.#publish(hostReportFrame.encode({ ...about, sequence: ++this.#sequence, actors }));
  }

  #reportOf({ region, attempt, state, published }: PlayedRegion, actor: string, load: ActorLoad | null): ActorReport {
    const rows = { rowsRead: this.#rows, rowsWritten: this.#rows, rowsInFlight: 0n, deadLetters: 0n };
    const about = { actor, region, attempt, state, published, sinksPublished: published };
    return { ...about, code: "", message: "", ...rows, load };
  }

  #loadOf(actor: string, now: number): ActorLoad {
    const operator = actor.slice(0, actor.lastIndexOf("-"));
    const forMs = now - this.#beginMs;
    const spent = { busyMs: forMs / 2, backPressuredMs: forMs / 10 };
    const own = { operator, rowsIn: this.#rows, rowsOut: this.#rows, ...spent, requests: 0, rowsHeld: 0 };
    const from = `step${Number(operator.slice("step".length)) - 1}`;
    const input = { from, to: operator, channels: 10, queuedBytes: 100_000n, queuedBatches: 10 };
    return { forMs, ...spent, operators: [own], inputs: operator === "step0" ? [] : [input] };
  }

  #publish(frame: Uint8Array): void {
    const { bus, ports, namespace } = this.played;
    void publishLossy(bus, ports.log, clusterSubjects(namespace).coordinatorReport, frame);
  }
}

export class PlayedInstance {
  #sequence = 0n;
  #timer: Timer | undefined;

  constructor(
    private readonly played: Played,
    private readonly job: JobId,
    private readonly service: ServiceId,
    private readonly instance: string,
  ) {}

  open(): void {
    this.#report();
    this.#timer = this.played.ports.clock.after(Math.random() * limits.heartbeatIntervalMs, () => this.#beat());
  }

  close(): void {
    this.#timer?.cancel();
  }

  #beat(): void {
    this.#report();
    this.#timer = this.played.ports.clock.after(limits.heartbeatIntervalMs, () => this.#beat());
  }

  #report(): void {
    const { bus, ports, namespace } = this.played;
    const { job, service, instance } = this;
    const load = { subject: "none", state: "READY", queuedRows: 10, runningRows: 4, rowMs: 3 } as const;
    const about = { service, instance, sequence: ++this.#sequence, reason: "", code: "", enteredMs: 1n };
    void publishLossy(
      bus,
      ports.log,
      jobSubjects(namespace, job).load(service),
      loadReportFrame.encode({ ...load, ...about }),
    );
    const rows = this.#sequence * 1_000n;
    const work = { requests: 3, calls: rows, rows, errors: 0n, callMsP50: 2, callMsP99: 9, batchRowsMean: 8 };
    const transitions = ["PROVISIONING", "LOADING", "WARMING", "READY"].map((state) => {
      return { state, enteredMs: 1n, code: "", reason: "" };
    });
    const history = instanceHistoryFrame.encode({ job, instance, transitions, work });
    void publishLossy(bus, ports.log, clusterSubjects(namespace).coordinatorReport, history);
  }
}
