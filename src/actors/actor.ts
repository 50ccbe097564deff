/**
 * One actor: a chain of operators with its inputs and outputs, driven from its sources and channels.
 *
 * Invariants:
 *   A1  Every subscription is made by `open`; nothing flows before `start`.
 *   A2  A cut holds every row that has come in and is not in an output's hands: operators' states, and parked batches. It is
 *       acknowledged when all of it is durable. There is none before what was restored is in its place, and none after a
 *       flow has failed.
 *   A3  Nothing is visible outside before `complete` names its checkpoint.
 *   A4  The first error wins: it stops the actor, what no checkpoint holds is dropped, and it is reported once.
 *   A5  An actor is FINISHED when its inputs have ended, every operator has handed on what it had, and its outputs know.
 */
import { MillraceError } from "../base/errors.js";
import type { ActorId, OperatorId } from "../base/ids.js";
import type { GrantedGpu } from "../topology/operator-context.js";
import type { ActorLoad, HostGpu } from "../wire/control.js";
import { actorSnapshotFrame, type OperatorState, type ParkedBatch } from "../wire/stored.js";
import { ActorGraph, type ActorInput } from "./actor-graph.js";
import { loadOf } from "./actor-load.js";
import type { ActorOptions, Cut } from "./actor-options.js";
import { Alignment } from "./alignment.js";
import { BlobReader, BlobWriter } from "./blobs.js";
import { DeadLetters } from "./dead-letters.js";
import { Gate, type Parked, Parking } from "./gate.js";
import { InferOperator } from "./infer-operator.js";
import type { BadRecord, Counters, Encode, OperatorRuntime } from "./operator.js";
import { deadLetterCounter } from "./operator-telemetry.js";
import type { TransactionalOutput } from "./output.js";
import { SinkOperator } from "./sink-operator.js";
import { chunksOf, joined } from "./snapshot-chunks.js";
import { SnapshotTelemetry, type SnapshotUnderWay } from "./snapshot-telemetry.js";

export type ActorState =
  | { readonly kind: "DEPLOYED" }
  | { readonly kind: "RUNNING" }
  | { readonly kind: "FINISHED" }
  | { readonly kind: "FAILED"; readonly error: MillraceError };

/** Everything of one moment, not yet encoded. */
interface Taken {
  readonly checkpoint: bigint;
  readonly finished: boolean;
  readonly unaligned: boolean;
  readonly states: readonly (readonly [operator: string, encode: Encode])[];
  readonly parked: readonly Parked[];
  readonly captured: readonly Promise<readonly Parked[]>[];
  readonly counters: Counters;
}

/** The newest that is durable, but for what `acknowledge` does. */
interface Acknowledged {
  readonly cut: Cut;
  underWay: boolean;
}

export class Actor {
  readonly counters: Counters = { rowsRead: 0, rowsWritten: 0, deadLetters: 0, rowsInFlight: 0 };
  /** Everything up to this checkpoint is published. */
  published = 0n;
  /** The same, but for durable exchanges: a full log may keep what is written to them for long. */
  sinksPublished = 0n;
  #state: ActorState = { kind: "DEPLOYED" };
  #stop = new AbortController();
  #gate = new Gate();
  #parking = new Parking(this.#gate);
  #deadLetters: DeadLetters;
  #graph: ActorGraph;
  #alignment: Alignment;
  #acknowledged: Acknowledged | undefined;
  #snapshots: SnapshotTelemetry;
  /** What was restored is in its place. */
  #restored = false;
  /** The newest checkpoint that was asked for before that. */
  #early: (() => void) | undefined;

  constructor(private readonly options: ActorOptions) {
    const { actor, topology, owned } = options;
    this.#snapshots = new SnapshotTelemetry(options.ports, actor.id);
    this.#graph = new ActorGraph(options, this.#gate, this.#parking, (operator) => this.#runtimeFor(operator));
    const letters = {
      operator: `dead-letters-${actor.operators[0]}`,
      subtask: actor.subtask,
      attempt: options.attempt,
      output: options.outputFor(topology.deadLetters),
      log: options.ports.log,
    };
    const { content, ports } = options;
    const kept = { content, prefix: owned?.prefix };
    this.#deadLetters = new DeadLetters(
      options.deadLetterSink,
      letters,
      ports.clock,
      this.#graph.contentOf(letters),
      kept,
    );
    this.#alignment = new Alignment({
      clock: options.ports.clock,
      inputs: this.#graph.inputs.length,
      sourcesRead: () => this.#graph.readers.some((reader) => !reader.ended),
      cut: (checkpoint, late) => this.#cut(checkpoint, late),
      fail: (error) => void this.#fail(error),
    });
  }

  get id(): ActorId {
    return this.options.actor.id;
  }
  get region(): string {
    return this.options.actor.region;
  }
  get attempt(): number {
    return this.options.attempt;
  }
  get state(): ActorState {
    return this.#state;
  }

  load(): ActorLoad {
    return loadOf(this.#graph);
  }

  async open(): Promise<void> {
    const { inputs, outputs } = this.#graph;
    await Promise.all([...inputs.map(({ receiver }) => receiver.open()), ...outputs.map((sender) => sender.open())]);
  }

  /** Runs to the end of the inputs; how it ended is in `state`. */
  async start(): Promise<void> {
    if (this.#state.kind !== "DEPLOYED") return;
    this.#enter({ kind: "RUNNING" });
    try {
      await this.#restore();
      this.#stop.signal.throwIfAborted();
      if (this.options.restored?.finished !== true) await this.#untilStopped(this.#drive());
      for (const output of this.#graph.outputs) output.end();
      this.#stop.signal.throwIfAborted();
      this.#enter({ kind: "FINISHED" });
    } catch (cause) {
      // Stopped before: what was opened since then must go, too.
      if (this.state.kind === "FAILED") await this.#abortOutputs();
      else await this.#fail(cause);
    }
  }

  /** Takes part in a checkpoint; one that it has taken part in is acknowledged again. @param traceparent of the checkpoint */
  trigger(checkpoint: bigint, traceparent = ""): void {
    if (this.#state.kind === "FAILED") return;
    if (!this.#restored) {
      this.#early = () => this.trigger(checkpoint, traceparent);
      return;
    }
    this.#snapshots.asked(checkpoint, traceparent);
    const known = this.#acknowledged;
    if (known?.cut.checkpoint === checkpoint)
      void this.#acknowledge(known, this.#snapshots.begun(checkpoint, bytesOf(known.cut.snapshot)));
    else this.#alignment.trigger(checkpoint);
  }

  /** Publishes everything up to this checkpoint; doing it again, also while it is under way, changes nothing. */
  async complete(checkpoint: bigint): Promise<void> {
    if (!this.#restored || this.#state.kind === "FAILED" || checkpoint <= this.published) return;
    try {
      for (const operator of this.#graph.operators.values()) void operator.committed?.(checkpoint);
      // At once: what waits for room in a full log keeps nothing else from being published.
      const publish = ({ output }: { output: TransactionalOutput }) => output.publish(checkpoint);
      const sinks = Promise.all(this.#sinks.map(publish)).then(() => this.#tellSinksPublished(checkpoint));
      await Promise.all([sinks, ...this.#exchanges.map(publish)]);
      if (checkpoint <= this.published) return;
      this.published = checkpoint;
      this.options.onChange();
    } catch (cause) {
      await this.#fail(cause);
    }
  }

  /** Stops at once; what no checkpoint holds is dropped. */
  async stop(): Promise<void> {
    await this.#fail(new MillraceError("MILL_JOB_FAILED", `actor ${this.id} was told to stop.`));
  }

  get #outputs() {
    return [...this.#sinks, ...this.#exchanges].map(({ output }) => output);
  }
  get #sinks() {
    return [this.#deadLetters, ...this.#graph.sinks.filter(({ durable }) => !durable)];
  }
  get #exchanges() {
    return this.#graph.sinks.filter(({ durable }) => durable);
  }

  #tellSinksPublished(checkpoint: bigint): void {
    if (checkpoint <= this.sinksPublished) return;
    this.sinksPublished = checkpoint;
    this.options.onChange();
  }

  #enter(state: ActorState): void {
    this.#state = state;
    this.options.onChange();
  }

  async #fail(cause: unknown): Promise<void> {
    if (this.#state.kind === "FAILED") return;
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED", `actor ${this.id}`);
    this.#enter({ kind: "FAILED", error });
    this.#stop.abort(error);
    this.#alignment.close();
    for (const { receiver } of this.#graph.inputs) receiver.close();
    for (const output of this.#graph.outputs) output.close();
    for (const operator of this.#graph.operators.values()) await operator.close?.();
    await this.#abortOutputs();
  }

  async #abortOutputs(): Promise<void> {
    for (const result of await Promise.allSettled(this.#outputs.map((output) => output.abort()))) {
      if (result.status === "rejected") {
        this.options.ports.log.warn("an output could not be cleaned up", { error: result.reason });
      }
    }
  }

  async #untilStopped(work: Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    await Promise.race([stopped, work]);
  }

  /** Drives every source and channel at once, then ends the operators, inputs first. */
  async #drive(): Promise<void> {
    for (const { receiver } of this.#graph.inputs) receiver.start((checkpoint) => this.#alignment.heard(checkpoint));
    await this.#replay();
    const readers = this.#graph.readers.map((reader) => reader.run());
    const channels = this.#graph.inputs.map((input, i) => this.#pull(input, i));
    await Promise.all([...readers, ...channels]);
    for (const operator of this.#graph.operators.values()) await operator.end();
  }

  async #pull({ receiver, operator }: ActorInput, input: number): Promise<void> {
    const emit = this.#graph.entrance(operator);
    let held: Parked | undefined;
    const next = () =>
      receiver.next((batch) => {
        held = this.#parking.hold(operator, batch);
      });
    for (let item = await next(); item !== undefined; item = await next()) {
      if (item.kind === "barrier") {
        await this.#alignment.reached(input, item.checkpoint);
        continue;
      }
      const { batch } = item;
      await this.#parking.enter(held!);
      await this.#gate.inside(() => emit(batch));
    }
    this.#alignment.ended(input);
  }

  // Checkpoints

  async #cut(checkpoint: bigint, late: readonly number[]): Promise<void> {
    await this.#gate.close();
    let taken: Taken;
    try {
      if (this.#gate.broken || this.#state.kind === "FAILED") return; // A2
      taken = this.#take(checkpoint, late);
    } finally {
      this.#gate.open();
    }
    void this.#save(taken);
  }

  /** Nothing moves meanwhile: references only, no waiting. */
  #take(checkpoint: bigint, late: readonly number[]): Taken {
    const captured = late.map(async (input) => {
      const { receiver, operator } = this.#graph.inputs[input]!;
      return (await receiver.capture(checkpoint)).map((batch) => ({ place: operator, batch }));
    });
    for (const one of captured) one.catch(() => {}); // met by whoever saves
    const states: (readonly [string, Encode])[] = [];
    const letters = this.#deadLetters.output.cut(checkpoint);
    if (letters !== undefined) states.push(["", letters]);
    for (const [id, operator] of this.#graph.operators) {
      const encode = operator.cut?.(checkpoint);
      if (encode !== undefined) states.push([id, encode]);
    }
    // One that was FINISHED before may be asked before it is again.
    const finished = this.#state.kind === "FINISHED" || this.options.restored?.finished === true;
    if (!finished) for (const output of this.#graph.outputs) output.barrier(checkpoint);
    const counters = { ...this.counters };
    return { checkpoint, finished, unaligned: late.length > 0, states, parked: this.#parking.list, captured, counters };
  }

  async #save({ checkpoint, finished, unaligned, states, parked, captured, counters }: Taken): Promise<void> {
    const told = this.#snapshots.begun(checkpoint);
    let rows: readonly Parked[];
    try {
      rows = await asSaved([...parked, ...(await Promise.all(captured)).flat()]);
    } catch (error) {
      // The coordinator gives the checkpoint up and tries the next one.
      this.options.ports.log.warn("a snapshot could not be taken", { actor: this.id, checkpoint, error });
      told.ended(MillraceError.from(error).code);
      return;
    }
    try {
      const blobs = new BlobWriter(this.#graph.ownedIn);
      const operators: OperatorState[] = [];
      for (const [operator, encode] of states) operators.push({ operator, state: await encode(blobs) });
      const batches: ParkedBatch[] = [];
      for (const { place, batch, saved } of rows) {
        batches.push({ place, blob: blobs.add(batch) });
        for (const hash of saved?.contents?.() ?? []) blobs.contents.add(hash);
      }
      const header = {
        operators,
        parked: batches,
        rowsRead: BigInt(counters.rowsRead),
        rowsWritten: BigInt(counters.rowsWritten),
        deadLetters: BigInt(counters.deadLetters),
        contents: blobs.addContents(blobs.contents),
        blobs: blobs.lengths,
      };
      const snapshot = await chunksOf(actorSnapshotFrame.pieces(header, blobs.pieces), this.options.ports.clock);
      if (this.#acknowledged !== undefined && this.#acknowledged.cut.checkpoint > checkpoint) return;
      this.#acknowledged = { cut: { actor: this.id, checkpoint, finished, unaligned, snapshot }, underWay: false };
      told.encoded(bytesOf(snapshot));
      await this.#acknowledge(this.#acknowledged, told);
    } catch (cause) {
      told.ended(MillraceError.from(cause).code);
      // What an output could not prepare would be missing in every later snapshot, too.
      await this.#fail(cause);
    }
  }

  /** What fails here is tried again when the coordinator asks again. */
  async #acknowledge(acknowledged: Acknowledged, told: SnapshotUnderWay): Promise<void> {
    if (acknowledged.underWay) return;
    acknowledged.underWay = true;
    const { cut } = acknowledged;
    try {
      await this.options.acknowledge(cut);
      told.ended();
    } catch (error) {
      const { checkpoint } = cut;
      this.options.ports.log.warn("a snapshot could not be saved", { actor: this.id, checkpoint, error });
      told.ended(MillraceError.from(error).code);
    }
    acknowledged.underWay = false;
  }

  /** Takes up where the snapshot left off; what it has pending is published. */
  async #restore(): Promise<void> {
    const { restored, attempt } = this.options;
    for (const operator of this.#graph.operators.values()) await operator.open?.();
    const decoded = restored && actorSnapshotFrame.decode(joined(restored.snapshot));
    const blobs = new BlobReader(decoded?.header.blobs ?? [], decoded?.payload ?? new Uint8Array());
    const states = new Map(decoded?.header.operators.map(({ operator, state }) => [operator, state]));
    const recovers = attempt > 1 || restored !== undefined;
    if (recovers) await this.#deadLetters.output.recover(states.get(""), blobs);
    for (const [id, operator] of this.#graph.operators) {
      const state = states.get(id);
      if (operator instanceof SinkOperator) {
        if (recovers) await operator.output.recover(state, blobs);
      } else if (state !== undefined) await operator.restore?.(state, blobs);
    }
    this.published = this.#outputs.every((output) => output.isPublished) ? (restored?.checkpoint ?? 0n) : 0n;
    this.sinksPublished = this.#sinks.every(({ output }) => output.isPublished) ? (restored?.checkpoint ?? 0n) : 0n;
    this.counters.rowsRead = Number(decoded?.header.rowsRead ?? 0n);
    this.counters.rowsWritten = Number(decoded?.header.rowsWritten ?? 0n);
    this.counters.deadLetters = Number(decoded?.header.deadLetters ?? 0n);
    this.#parking.restore(
      (decoded?.header.parked ?? []).map(({ place, blob }) => ({
        place,
        batch: blobs.get(blob, this.#graph.schemaOf(place)),
      })),
    );
    if (restored?.finished === true) for (let i = 0; i < this.#graph.inputs.length; i++) this.#alignment.ended(i);
    this.#restored = true;
    this.#early?.();
    if (restored === undefined) return;
    for (const operator of this.#graph.operators.values()) void operator.committed?.(restored.checkpoint);
    void this.complete(restored.checkpoint);
  }

  /** From the outputs to the inputs, so that nothing is overtaken and everybody whom something waits for works. */
  async #replay(): Promise<void> {
    for (const [place, emit] of this.#graph.channelPlaces) await this.#parking.replay(place, emit);
    for (const [id, operator] of [...this.#graph.operators].reverse()) {
      if (operator instanceof InferOperator) operator.resume();
      await this.#parking.replay(id, this.#graph.entrance(id));
    }
  }

  #runtimeFor(operator: OperatorId): OperatorRuntime {
    const { options } = this;
    const deadLetters = deadLetterCounter(options.ports, operator);
    return {
      operator,
      subtask: options.actor.subtask,
      attempt: options.attempt,
      gpus: (options.gpus ?? []).filter((gpu) => gpu.operator === operator).map(grantedGpu),
      ports: options.ports,
      log: options.ports.log.child({ operator, subtask: options.actor.subtask }),
      traceparent: "",
      content: options.content,
      signal: this.#stop.signal,
      counters: this.counters,
      gate: this.#gate,
      park: (...batch) => this.#parking.wait(operator, ...batch),
      keep: (batch, saved) => this.#parking.keep(operator, batch, saved),
      refuse: (record) => {
        deadLetters.add(1);
        return this.#refuse({ ...record, operator });
      },
      fail: (error) => void this.#fail(error),
    };
  }

  async #refuse(record: BadRecord): Promise<void> {
    this.#stop.signal.throwIfAborted();
    if (this.options.topology.badRecords === "fail") {
      throw new MillraceError(
        "MILL_JOB_FAILED",
        `operator "${record.operator}" refused a record: ${record.message} The job fails because its topology says badRecords: "fail".`,
        { operator: record.operator, reason: record.code },
      );
    }
    this.counters.deadLetters += 1;
    await this.#deadLetters.write(record);
  }
}

/** What a snapshot holds of them. One after another: there may be many, and each of many large values. */
async function asSaved(parked: readonly Parked[]): Promise<Parked[]> {
  const all: Parked[] = [];
  for (const one of parked) all.push(one.saved === undefined ? one : { ...one, batch: await one.saved.rows() });
  return all;
}

function bytesOf(snapshot: readonly Uint8Array[]): number {
  return snapshot.reduce((sum, chunk) => sum + chunk.length, 0);
}

function grantedGpu({ uuid, thousandths, memoryBytes }: HostGpu): GrantedGpu {
  return { uuid, share: thousandths / 1_000, memoryBytes: Number(memoryBytes) };
}
