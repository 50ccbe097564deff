/**
 * One actor: a chain of operators with its inputs and outputs, driven from its sources and channels.
 *
 * Invariants:
 *   A1  Every subscription is made by `open`; nothing flows before `start`.
 *   A2  An actor is PREPARED only when its inputs have ended, every operator has handed on what it had, and every
 *       sink's work is durable. Nothing is visible outside before `commit`.
 *   A3  The first error wins: it stops the actor, what was not committed is dropped, and it is reported once. A failed
 *       actor stays failed, whatever was under way in it when it was stopped.
 *   A4  A finished actor has told its outputs that they have ended.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { ActorId, OperatorId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { JobSubjects } from "../bus/subjects.js";
import type { Plan, PlannedActor } from "../plan/plan.js";
import type { ServiceClient } from "../services/client.js";
import type { ContentAccess, OutputFolder, Sink } from "../topology/endpoints.js";
import type { OperatorContext, OperatorNode, Topology } from "../topology/nodes.js";
import { MapOperator, PassOperator, SelectOperator } from "./batch-operators.js";
import type { ChannelReceiver, ChannelSender } from "./channels.js";
import { DeadLetters } from "./dead-letters.js";
import { exchange } from "./exchange.js";
import { InferOperator } from "./infer-operator.js";
import {
  type BadRecord,
  type Counters,
  type Emit,
  type Operator,
  type OperatorRuntime,
  Turnstile,
} from "./operator.js";
import { RowsOperator } from "./rows-operator.js";
import { SinkOperator } from "./sink-operator.js";
import { SourceReader } from "./source-reader.js";

export interface ActorOptions {
  readonly plan: Plan;
  readonly topology: Topology;
  readonly actor: PlannedActor;
  readonly attempt: number;
  readonly bus: Bus;
  readonly subjects: JobSubjects;
  readonly ports: Ports;
  readonly content: ContentAccess;
  outputFor(url: string): OutputFolder;
  readonly deadLetterSink: Sink;
  clientFor(service: string): ServiceClient;
  senderFor(channel: string): ChannelSender;
  receiverFor(channel: string): ChannelReceiver;
  /** Told after every change of `state`. */
  onChange(): void;
}

/** What a finished actor has ready to publish, by the operator whose sink it is; "" is the dead letters. */
type Prepared = ReadonlyMap<string, Uint8Array>;

export type ActorState =
  | { readonly kind: "DEPLOYED" }
  | { readonly kind: "RUNNING" }
  | { readonly kind: "PREPARED"; readonly prepared: Prepared }
  | { readonly kind: "COMMITTED" }
  | { readonly kind: "FAILED"; readonly error: MillraceError };

/** The checkpoint that ends a job; periodic ones come before it. */
const FINAL_CHECKPOINT = 1n;

export class Actor {
  readonly counters: Counters = { rowsRead: 0, rowsWritten: 0, deadLetters: 0, rowsInFlight: 0 };
  #state: ActorState = { kind: "DEPLOYED" };
  #stop = new AbortController();
  #nodes: OperatorNode[];
  #operators = new Map<OperatorId, Operator>();
  #readers: SourceReader[] = [];
  #inputs: { readonly receiver: ChannelReceiver; readonly operator: OperatorId }[] = [];
  #outputs: ChannelSender[] = [];
  #turnstiles = new Map<OperatorId, Turnstile>();
  #deadLetters: DeadLetters;
  #committing: Promise<void> | undefined;

  constructor(private readonly options: ActorOptions) {
    const { actor, topology, plan } = options;
    this.#nodes = topology.operators.filter((node) => actor.operators.includes(node.id));
    this.#deadLetters = new DeadLetters(options.deadLetterSink, {
      operator: `dead-letters-${actor.operators[0]}`,
      subtask: actor.subtask,
      attempt: options.attempt,
      output: options.outputFor(topology.deadLetters),
      log: options.ports.log,
    });
    for (const channel of plan.channels) {
      if (channel.to.actor !== actor.id) continue;
      this.#inputs.push({ receiver: options.receiverFor(channel.id), operator: channel.to.operator });
    }
    // From the last operator to the first: each is made with the emit of those that follow it.
    for (const node of [...this.#nodes].reverse()) this.#make(node);
  }

  get id(): ActorId {
    return this.options.actor.id;
  }
  get state(): ActorState {
    return this.#state;
  }

  async open(): Promise<void> {
    await Promise.all([
      ...this.#inputs.map((input) => input.receiver.open()),
      ...this.#outputs.map((sender) => sender.open()),
    ]);
  }

  /** Runs to the end of the inputs; how it ended is in `state`. */
  async start(): Promise<void> {
    if (this.#state.kind !== "DEPLOYED") return;
    this.#enter({ kind: "RUNNING" });
    try {
      for (const operator of this.#operators.values()) await operator.open?.();
      this.#stop.signal.throwIfAborted();
      await this.#drive();
      const prepared = await this.#prepare();
      this.#stop.signal.throwIfAborted();
      this.#enter({ kind: "PREPARED", prepared });
    } catch (cause) {
      // Stopped before: what was opened or staged since then must go, too.
      if (this.state.kind === "FAILED") await this.#abortSinks();
      else await this.#fail(cause);
    }
  }

  /** Publishes what was prepared; doing it again, also while it is under way, changes nothing. */
  commit(): Promise<void> {
    if (this.#state.kind === "PREPARED") this.#committing ??= this.#publish(this.#state.prepared);
    return this.#committing ?? Promise.resolve();
  }

  async #publish(all: Prepared): Promise<void> {
    try {
      for (const [operator, prepared] of all) {
        if (operator === "") await this.#deadLetters.commit(prepared);
        else await (this.#operators.get(operator as OperatorId) as SinkOperator).commit(prepared);
      }
      this.#enter({ kind: "COMMITTED" });
    } catch (cause) {
      await this.#fail(cause);
    }
    await this.#close();
  }

  /** Stops at once; what was not committed is dropped. A commit that has begun is finished first: half of one is worse. */
  async stop(): Promise<void> {
    await this.#committing;
    if (this.#state.kind === "COMMITTED") return;
    await this.#fail(new MillraceError("MILL_JOB_FAILED", `actor ${this.id} was told to stop.`));
  }

  #enter(state: ActorState): void {
    this.#state = state;
    this.options.onChange();
  }

  async #fail(cause: unknown): Promise<void> {
    if (this.#state.kind === "FAILED" || this.#state.kind === "COMMITTED") return;
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED", `actor ${this.id}`);
    this.#enter({ kind: "FAILED", error });
    this.#stop.abort(error);
    await this.#close();
    await this.#abortSinks();
  }

  async #abortSinks(): Promise<void> {
    const sinks = [...this.#operators.values()].filter((operator) => operator instanceof SinkOperator);
    const aborts = [this.#deadLetters, ...sinks].map((sink) => sink.abort());
    for (const result of await Promise.allSettled(aborts)) {
      if (result.status === "rejected")
        this.options.ports.log.warn("a sink could not be cleaned up", { error: result.reason });
    }
  }

  async #close(): Promise<void> {
    for (const input of this.#inputs) input.receiver.close();
    for (const output of this.#outputs) output.close();
    for (const operator of this.#operators.values()) await operator.close?.();
  }

  /** Drives every source and channel at once, then ends the operators, inputs first. */
  async #drive(): Promise<void> {
    const stopped = new Promise<never>((_, reject) => {
      this.#stop.signal.addEventListener("abort", () => reject(this.#stop.signal.reason), { once: true });
    });
    const readers = this.#readers.map((reader) => reader.run());
    const channels = this.#inputs.map((input) => this.#pull(input.receiver, input.operator));
    await Promise.race([stopped, Promise.all([...readers, ...channels])]);
    for (const node of this.#nodes) await Promise.race([stopped, this.#operators.get(node.id)?.end()]);
    for (const output of this.#outputs) await output.end();
  }

  async #pull(receiver: ChannelReceiver, operator: OperatorId): Promise<void> {
    const emit = this.#entrance(operator);
    await receiver.start();
    for (let batch = await receiver.next(); batch !== undefined; batch = await receiver.next()) await emit(batch);
  }

  async #prepare(): Promise<Prepared> {
    const prepared = new Map<string, Uint8Array>();
    const letters = await this.#deadLetters.prepare(FINAL_CHECKPOINT);
    if (letters !== undefined) prepared.set("", letters);
    for (const [id, operator] of this.#operators) {
      if (operator instanceof SinkOperator) prepared.set(id, await operator.prepare(FINAL_CHECKPOINT));
    }
    return prepared;
  }

  #make(node: OperatorNode): void {
    const { options } = this;
    const runtime = this.#runtimeFor(node.id);
    const context: OperatorContext = runtime;
    const emit = this.#emitOf(node);
    const input = () => options.topology.operators.find((candidate) => candidate.id === node.inputs[0])!.columns;
    switch (node.kind) {
      case "source":
        this.#readers.push(
          new SourceReader(node, options.bus, options.subjects.splits(node.id), this.id, runtime, emit),
        );
        return;
      case "map":
        this.#operators.set(node.id, new MapOperator(node, context, emit));
        return;
      case "mapRows":
      case "flatMap":
      case "filter":
        this.#operators.set(node.id, new RowsOperator(node, input(), context, runtime, emit));
        return;
      case "select":
        this.#operators.set(node.id, new SelectOperator(node, emit));
        return;
      case "infer":
        this.#operators.set(
          node.id,
          new InferOperator(node, input(), options.clientFor(node.service.id), runtime, emit),
        );
        return;
      case "keyBy":
      case "union":
        this.#operators.set(node.id, new PassOperator(emit));
        return;
      case "sink":
        this.#operators.set(
          node.id,
          new SinkOperator(
            () =>
              node.sink.open({
                columns: node.columns,
                operator: node.id,
                subtask: options.actor.subtask,
                attempt: options.attempt,
                output: options.outputFor(node.sink.url),
                log: runtime.log,
              }),
            runtime,
          ),
        );
    }
  }

  /** Everything that reads this operator: those chained to it, and channels to other actors. */
  #emitOf(node: OperatorNode): Emit {
    const { plan, topology, actor } = this.options;
    const targets: Emit[] = [];
    for (const reader of topology.operators.filter((candidate) => candidate.inputs.includes(node.id))) {
      const channels = plan.channels.filter(
        (channel) =>
          channel.from.actor === actor.id && channel.from.operator === node.id && channel.to.operator === reader.id,
      );
      if (channels.length === 0) {
        targets.push(this.#entrance(reader.id));
        continue;
      }
      const senders = channels.map((channel) => this.options.senderFor(channel.id));
      this.#outputs.push(...senders);
      targets.push(exchange(channels[0]!.exchange, senders, node.kind === "keyBy" ? node.keys : []));
    }
    const [only] = targets;
    if (targets.length === 1 && only !== undefined) return only;
    return async (batch) => {
      for (const target of targets) await target(batch);
    };
  }

  /** The way into an operator. One that several inputs drive lets them in one at a time. */
  #entrance(id: OperatorId): Emit {
    const node = this.#nodes.find((candidate) => candidate.id === id)!;
    const drivers = node.inputs.length + this.#inputs.filter((input) => input.operator === id).length;
    const process = (batch: RecordBatch) => this.#operators.get(id)!.process(batch);
    if (drivers <= 1) return process;
    let turnstile = this.#turnstiles.get(id);
    if (turnstile === undefined) {
      turnstile = new Turnstile();
      this.#turnstiles.set(id, turnstile);
    }
    const one = turnstile;
    return (batch) => one.pass(() => process(batch));
  }

  #runtimeFor(operator: OperatorId): OperatorRuntime {
    const { options } = this;
    return {
      operator,
      subtask: options.actor.subtask,
      attempt: options.attempt,
      ports: options.ports,
      log: options.ports.log.child({ operator, subtask: options.actor.subtask }),
      content: options.content,
      signal: this.#stop.signal,
      counters: this.counters,
      refuse: (record) => this.#refuse({ ...record, operator }),
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
