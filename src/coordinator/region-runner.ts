/**
 * Carries out what `checkpoint/region.ts` decides for the regions of a job: commands to hosts, records in the regions' logs.
 *
 * Invariants:
 *   M1  One record of a region's log is written at a time, and its outcome is what the log then holds, whoever wrote it.
 *   M2  A leader that meets a record of a higher term in a log has been deposed.
 *   M3  A record that this leader has created or met counts only if it still leads afterwards: else its number may be one that
 *       was deleted, behind which others have gone on long ago. It begins at the log's true end (L1).
 *   M4  What a host refuses counts while the attempt it was told about goes on. One that stood still meanwhile may find that
 *       the checkpoint it was to begin with has been deleted since (guarantee 8).
 */
import { MillraceError } from "../base/errors.js";
import type { Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { decideRegion, dueInMs, type RegionAction, type RegionPolicy } from "../checkpoint/region.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { completeFrame, deployFrame, startFrame, stopRegionFrame, triggerFrame } from "../wire/control.js";
import { type RegionRecord, regionRecordFrame } from "../wire/stored.js";
import { type Events, regionRestarted } from "./events.js";
import type { JobBook } from "./job-book.js";
import { type Holding, placeGroups, Room, type WorkerFacts } from "./placement.js";
import { failureOf, type RegionBook } from "./region-book.js";
import { RegionFloors } from "./region-floor.js";
import { readRegionLog } from "./region-log.js";
import { RegionRetention } from "./region-retention.js";
import { RegionTelemetry } from "./region-telemetry.js";

/** What an acknowledgement changes; a refusal fails the job if nothing else is said. */
export interface Then {
  readonly done?: () => void;
  readonly refused?: (code: string, message: string) => void;
}

export interface RegionRunnerOptions {
  readonly bus: Bus;
  readonly namespace: Namespace;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly term: bigint;
  readonly events: Events;
  send(book: JobBook, host: string, frame: Uint8Array, then?: Then): void;
  /** Looks at the job again, soon. */
  look(book: JobBook): void;
  workers(): readonly WorkerFacts[];
  /** All that is promised on them. */
  holdings(): readonly Holding[];
  deposed(by: bigint): void;
  /** Whether no other has begun to lead; this one stops, if one has. */
  leads(): Promise<boolean>;
}

export class RegionRunner {
  #floors: RegionFloors;
  #retention: RegionRetention;
  #telemetry: RegionTelemetry;
  /** What is free in one look, less what is placed in it: adding up what is promised takes as long as there is much. */
  #room: Room | undefined;

  constructor(private readonly options: RegionRunnerOptions) {
    const { store, ports } = options;
    this.#floors = new RegionFloors(options.bus, options.namespace);
    this.#retention = new RegionRetention({
      store,
      log: ports.log,
      floors: this.#floors,
      leads: () => options.leads(),
      look: options.look,
    });
    this.#telemetry = new RegionTelemetry(ports);
  }

  /**
   * At those of its regions whose turn it is.
   * @param untilMs what is left then is left for the next look
   * @returns when a checkpoint of any of them is due, whatever else happens; 0: something is left
   */
  look(book: JobBook, untilMs = Number.POSITIVE_INFINITY): number {
    const { clock } = this.options.ports;
    const policy = {
      checkpointIntervalMs: book.checkpointIntervalMs,
      checkpointTimeoutMs: limits.checkpointTimeoutMs,
      failuresMax: limits.regionFailuresMax,
      checkpointFailuresMax: limits.checkpointFailuresMax,
    };
    this.#room = undefined;
    for (const region of book.turns.take(clock.monotonicMs())) {
      region.settle((actor, worker) => book.hostFor(actor, worker)?.host);
      const actions = this.#decide(book, region, policy);
      if (actions.some(({ kind }) => kind === "open-checkpoint")) {
        book.turns.taken(region); // its hosts are told at once, and not in a later turn
        this.#decide(book, region, policy);
      }
      if (clock.monotonicMs() >= untilMs) return 0;
    }
    return book.turns.dueMs;
  }

  #decide(book: JobBook, region: RegionBook, policy: RegionPolicy): readonly RegionAction[] {
    const facts = region.facts((host) => book.host(host), book.adopting);
    const nowMs = this.options.ports.clock.monotonicMs();
    const actions = decideRegion(facts, policy);
    for (const action of actions) this.#carryOut(book, region, action);
    book.turns.due(region, nowMs + dueInMs(facts, policy));
    return actions;
  }

  #carryOut(book: JobBook, region: RegionBook, action: RegionAction): void {
    const { term, ports, look } = this.options;
    const { attempt } = region;
    const base = { term, job: book.job, region: region.region, attempt };
    switch (action.kind) {
      case "enter":
        region.phase = action.phase;
        look(book);
        return;
      case "read-log":
        this.#write(book, region, async () => {
          const first = book.seeds.find((seed) => seed.region === region.region)?.number;
          const floor = () => this.#floors.read(book.job, region.region);
          const log = { store: this.options.store, keys: jobKeys(book.job), region: region.region, first, floor };
          const records = await readRegionLog(log, limits.checkpointsKept);
          const by = records.at(-1)?.term ?? 0n; // terms only grow
          if (by > term) return this.options.deposed(by); // M2
          region.onLog(records);
        });
        return;
      case "fence":
      case "give-up":
        this.#append(book, region, "FENCE", action.kind === "fence" ? action.number : action.checkpoint);
        return;
      case "commit":
        this.#append(book, region, "COMMIT", action.checkpoint);
        return;
      case "place": {
        const groups = book.groups(region);
        const { workers, holdings } = this.options;
        this.#room ??= new Room(workers(), holdings(), book.load());
        const placed = placeGroups(groups, this.#room);
        if (placed.places === undefined) {
          this.#room = undefined; // some of them may have been given room
          book.waitFor(placed.reason, region.region);
          book.turns.unplaced(region);
          return;
        }
        book.waitFor("", region.region);
        book.place(region, groups, placed.places);
        look(book);
        return;
      }
      case "deploy": {
        const { actors, checkpoint } = action;
        this.#send(book, region, action.host, deployFrame.encode({ ...base, actors, checkpoint }), () =>
          region.onDeployed(action.host, attempt),
        );
        return;
      }
      case "start":
        this.#send(book, region, action.host, startFrame.encode(base), () => region.onStarted(action.host, attempt));
        return;
      case "open-checkpoint":
        region.openCheckpoint(action.checkpoint);
        this.#telemetry.opened(book.job, region.region, action.checkpoint);
        return;
      case "trigger": {
        const { checkpoint } = action;
        const traceparent = this.#telemetry.traceOf(book.job, region.region, checkpoint);
        this.#send(book, region, action.host, triggerFrame.encode({ ...base, checkpoint, traceparent }));
        return;
      }
      case "complete":
        this.#send(book, region, action.host, completeFrame.encode({ ...base, checkpoint: action.checkpoint }));
        return;
      case "stop":
        this.#send(book, region, action.host, stopRegionFrame.encode(base));
        return;
      case "restart":
        ports.log.warn("region starts again", { region: region.region, attempt, ...action.failure });
        this.options.events.tell(regionRestarted(book.job, region.region, attempt + 1, action.failure));
        this.#telemetry.restarted(book.job, region.region);
        region.restart(action.failure);
        look(book);
        return;
      case "rest":
        ports.log.info("region rests", { region: region.region, attempt });
        region.rest();
        look(book);
        return;
      case "fail":
        book.onRefused(action.failure.code, action.failure.message);
        look(book);
    }
  }

  /** M4 */
  #send(book: JobBook, region: RegionBook, host: string, frame: Uint8Array, done?: () => void): void {
    const { attempt } = region;
    const refused = (code: string, message: string) => {
      const mayPass = code === "MILL_COMMAND_REFUSED" || failureOf(code, message).passing;
      if (!mayPass && region.attempt === attempt) book.onRefused(code, message);
    };
    this.options.send(book, host, frame, done === undefined ? { refused } : { refused, done });
  }

  /** The commit itself, or a fence. */
  #append(book: JobBook, region: RegionBook, kind: RegionRecord["kind"], number: bigint): void {
    const { store, term, ports } = this.options;
    const record: RegionRecord = {
      kind,
      job: book.job,
      region: region.region,
      number,
      term,
      attempt: region.attempt,
      createdMs: BigInt(Math.round(ports.clock.nowMs())),
      actors: kind === "COMMIT" ? region.manifest() : [],
    };
    const frame = regionRecordFrame.encode(record);
    this.#write(book, region, async () => {
      const made = await store.create(jobKeys(book.job).regionRecord(region.region, number), frame);
      const there = made.created ? record : regionRecordFrame.decode(made.existing).header;
      if (there.term > term) return this.options.deposed(there.term); // M2
      if (!(await this.options.leads())) return; // M3
      if (there.term < term) region.inherit(there.attempt);
      region.onRecord(there);
      this.#telemetry.recorded(book.job, region.region, there);
      const fenced = there.kind === "FENCE" && there.term === term && there.attempt === region.attempt;
      if (region.phase === "FENCING" && fenced) region.phase = "PLACING";
      if (there.kind === "COMMIT") void this.#retention.onCommit(book, region);
    });
  }

  /** M1. What could not be written or read is tried again at a later look, unless that cannot help. */
  #write(book: JobBook, region: RegionBook, work: () => Promise<void>): void {
    if (region.writing) return;
    region.writing = true;
    const run = async () => {
      try {
        await work();
        region.writing = false;
        this.options.look(book);
      } catch (cause) {
        const error = MillraceError.from(cause);
        this.options.ports.log.warn("a region's log could not be reached", { region: region.region, error });
        const { code, message, passing } = failureOf(error.code, error.message);
        if (!passing) book.onRefused(code, `the log of region "${region.region}": ${message}`);
        this.options.ports.clock.after(limits.storeBackoffMsMax, () => {
          region.writing = false;
          this.options.look(book);
        });
      }
    };
    void run();
  }
}
