/** The operators of one actor, each made with what follows it: chained operators, and channels to other actors. */
import type { RecordBatch, Schema } from "apache-arrow";
import type { OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { PlannedChannel } from "../plan/plan.js";
import type { SinkContext } from "../topology/endpoints.js";
import type { DurableNode, OperatorNode, SourceNode } from "../topology/nodes.js";
import { arrowSchema } from "../types/columns.js";
import { lineageFrom, lineageOf, ownBatch, withLineage } from "../types/lineage.js";
import type { ActorOptions } from "./actor-options.js";
import { ApplyOperator } from "./apply-operator.js";
import { MapOperator, PassOperator, SelectOperator } from "./batch-operators.js";
import type { ChannelReceiver, ChannelSender } from "./channel.js";
import { ContentMover, staysAsItIs } from "./content-mover.js";
import { durableReader, openDurableWriter } from "./durable-exchange.js";
import { exchange } from "./exchange.js";
import { fanOut, type Gate, type Parking } from "./gate.js";
import { InferOperator } from "./infer-operator.js";
import { KeyedOperator } from "./keyed-operator.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { ActorMeter, type OperatorMeter, type WaitsFor } from "./operator-meter.js";
import { OperatorTelemetry, SendTelemetry } from "./operator-telemetry.js";
import type { OutputContent } from "./output.js";
import { OutputTelemetry } from "./output-telemetry.js";
import { outside } from "./outside.js";
import { type OwnedIn, ownedIn } from "./owned-content.js";
import { RowsOperator } from "./rows-operator.js";
import { SinkOperator } from "./sink-operator.js";
import { type Assignments, SourceReader } from "./source-reader.js";
import { requestSplit } from "./split-request.js";
import { SplitsAhead, type SplitWish } from "./splits-ahead.js";

export interface ActorInput {
  readonly receiver: ChannelReceiver;
  readonly from: OperatorId;
  readonly operator: OperatorId;
}

export class ActorGraph {
  /** Inputs before those that read them. */
  readonly operators = new Map<OperatorId, Operator>();
  readonly readers: SourceReader[] = [];
  readonly sinks: SinkOperator[] = [];
  readonly inputs: ActorInput[] = [];
  readonly outputs: ChannelSender[] = [];
  /** Ways into channels, by the place's name. */
  readonly channelPlaces = new Map<string, Emit>();
  readonly ownedIn: OwnedIn;
  readonly meter: ActorMeter;
  readonly meters = new Map<OperatorId, OperatorMeter>();
  /** Ways into operators. */
  #entrances = new Map<OperatorId, Emit>();
  #nodes: readonly OperatorNode[];
  #mover: ContentMover;
  /** By the operator that reads them in another actor. */
  #durableWriters = new Map<OperatorId, SinkOperator>();

  constructor(
    private readonly options: ActorOptions,
    private readonly gate: Gate,
    private readonly parking: Parking,
    private readonly runtimeFor: (operator: OperatorId) => OperatorRuntime,
  ) {
    const { actor, plan, content, topology } = options;
    this.ownedIn = ownedIn(options.owned?.prefix);
    this.meter = new ActorMeter(options.ports.clock);
    this.#mover = new ContentMover(content, topology.inlineLimitBytes);
    this.#nodes = options.topology.operators.filter((node) => actor.operators.includes(node.id));
    for (const channel of plan.channels) {
      if (channel.to.actor !== actor.id) continue;
      const { from, to, id } = channel;
      this.inputs.push({ receiver: options.receiverFor(id), from: from.operator, operator: to.operator });
    }
    const made = new Map<OperatorId, Operator>();
    // From the last operator to the first: each is made with the emit of those that follow it.
    for (const node of [...this.#nodes].reverse()) made.set(node.id, this.#make(node));
    for (const node of this.#nodes) this.operators.set(node.id, made.get(node.id)!);
    for (const [id, writer] of this.#durableWriters) this.operators.set(id, writer);
  }

  /** How a sink keeps alive what it publishes. */
  contentOf({ operator, subtask, attempt, output }: Omit<SinkContext, "columns" | "log">): OutputContent {
    const { owned } = this.options;
    return {
      ownedIn: this.ownedIn,
      record: async (checkpoint, name = "", contents) => {
        await owned?.record(operator, `${attempt}-${subtask}-${checkpoint}`, { url: output.url, name, contents });
      },
    };
  }

  /** The way into an operator. */
  entrance(operator: string): Emit {
    return this.#entrances.get(operator as OperatorId)!;
  }

  /** Columns of the batches on their way into a place. */
  schemaOf(place: string): Schema {
    const { topology, plan } = this.options;
    const node = place.startsWith(">")
      ? this.#nodeOf(plan.channels.find((channel) => channel.id === place.slice(1))!.from.operator)
      : this.#nodeOf(topology.operators.find((candidate) => candidate.id === place)!.inputs[0]!);
    return arrowSchema(node.columns);
  }

  #nodeOf(id: OperatorId): OperatorNode {
    return this.options.topology.operators.find((candidate) => candidate.id === id)!;
  }

  #make(node: OperatorNode): Operator {
    const telemetry = new OperatorTelemetry(this.options.ports, node);
    const emit = telemetry.exit(this.#emitOf(node));
    const meter = this.#meterOf(node.id);
    const operator = this.#operator(node, meter, meter.outOf(emit));
    this.#entrances.set(node.id, telemetry.entrance(meter.into((batch) => operator.process(batch))));
    return operator;
  }

  #meterOf(operator: OperatorId): OperatorMeter {
    const meter = this.meter.operator();
    this.meters.set(operator, meter);
    return meter;
  }

  #operator(node: OperatorNode, meter: OperatorMeter, emit: Emit): Operator {
    const { options } = this;
    const plain = this.runtimeFor(node.id);
    const runtime = metered(plain, meter, node.kind === "sink" ? "next" : "own");
    const [before] = node.inputs;
    const input = before === undefined ? {} : this.#nodeOf(before).columns;
    const moveOut = this.#mover.outOf(input);
    switch (node.kind) {
      case "source":
        // Its flow is inside its reading.
        return this.#reader(new SourceReader(node.source, this.#assignmentsOf(node, plain), plain, emit, meter));
      case "durable": {
        const { source, assignments } = durableReader(options, node);
        return this.#reader(new SourceReader(source, assignments, uncounted(runtime), emit));
      }
      // A batch of these is parked for its function alone: that is work, not waiting.
      case "map":
        return new MapOperator(node, plain, plain, emit, moveOut);
      case "mapRows":
      case "flatMap":
      case "filter":
        return new RowsOperator(node, input, runtime, runtime, emit, meter, moveOut);
      case "apply":
        return new ApplyOperator(node, input, plain, plain, emit, moveOut);
      case "select":
        return new SelectOperator(node, emit);
      case "infer": {
        // What was answered since the checkpoint comes again within about the time that there was between checkpoints.
        const askForMs = Math.max(limits.askForMs, 2 * options.topology.checkpointIntervalMs);
        const client = options.clientFor(node.service.id);
        return new InferOperator(node, input, client, runtime, emit, askForMs, moveOut);
      }
      case "reduce":
      case "process":
        return new KeyedOperator(node, input, options.actor.parallelism, runtime, runtime, emit, moveOut);
      case "keyBy":
      case "union":
        return new PassOperator(emit);
      case "sink": {
        const context = {
          columns: node.columns,
          operator: node.id,
          subtask: options.actor.subtask,
          attempt: options.attempt,
          output: options.outputFor(node.sink.url),
          log: runtime.log,
        };
        const content = this.contentOf(context);
        const telemetry = new OutputTelemetry(options.ports, node.id);
        const sink = new SinkOperator(() => node.sink.open(context), runtime, false, moveOut, content, telemetry);
        this.sinks.push(sink);
        return sink;
      }
    }
  }

  #reader(reader: SourceReader): SourceReader {
    this.readers.push(reader);
    return reader;
  }

  #assignmentsOf({ id }: SourceNode, { ports, signal }: OperatorRuntime): Assignments {
    const { bus, actor, subjects } = this.options;
    const subject = subjects.splits(id);
    const ask = (number: bigint, wish: () => SplitWish) =>
      requestSplit(bus, ports.clock, subject, { operator: id, reader: actor.id, number }, wish, signal);
    const splits = new SplitsAhead(ask, ports.clock);
    return (number) => splits.take(number);
  }

  #durableWriter(node: DurableNode): Emit {
    const meter = this.#meterOf(node.id);
    const runtime = metered(uncounted(this.runtimeFor(node.id)), meter, "next");
    const moveOut = this.#mover.outOf(node.columns);
    const content = { ownedIn: this.ownedIn };
    const open = () => openDurableWriter(this.options, node);
    const telemetry = new OutputTelemetry(this.options.ports, node.id);
    const writer = new SinkOperator(open, runtime, true, moveOut, content, telemetry);
    this.sinks.push(writer);
    this.#durableWriters.set(node.id, writer);
    const way = meter.into((batch) => writer.process(batch));
    this.#entrances.set(node.id, way);
    return way;
  }

  /** Everything that reads this operator: those chained to it, and channels to other actors. */
  #emitOf(node: OperatorNode): Emit {
    const { plan, topology, actor } = this.options;
    const targets: Emit[] = [];
    for (const reader of topology.operators.filter((candidate) => candidate.inputs.includes(node.id))) {
      if (reader.kind === "durable") {
        targets.push(this.#durableWriter(reader));
        continue;
      }
      const twice = reader.kind === "union" && reader.inputs.length > 1;
      const named = (way: Emit): Emit => (twice ? (batch) => way(inputOf(batch, node.id)) : way);
      const channels = plan.channels.filter(
        (channel) =>
          channel.from.actor === actor.id && channel.from.operator === node.id && channel.to.operator === reader.id,
      );
      if (channels.length === 0) {
        targets.push(named(this.#entrances.get(reader.id)!));
        continue;
      }
      const ways = channels.map((channel) => this.#wayInto(channel));
      targets.push(named(exchange(channels[0]!.exchange, ways, node.kind === "keyBy" ? node.keys : [], this.gate)));
    }
    return fanOut(this.gate, targets);
  }

  #wayInto(channel: PlannedChannel): Emit {
    const place = `>${channel.id}`;
    const sender = this.options.senderFor(channel.id);
    this.outputs.push(sender);
    const telemetry = new SendTelemetry(this.options.ports, channel.from.operator);
    const send = (batch: RecordBatch) => {
      if (sender.offer(batch)) return;
      const parked = this.parking.wait(
        place,
        batch,
        () => sender.offer(batch),
        () => sender.room(),
      );
      return telemetry.waited(batch, parked);
    };
    const moveOut = sender.local ? staysAsItIs : this.#mover.outOf(this.#nodeOf(channel.from.operator).columns);
    const park: OperatorRuntime["park"] = (...batch) => this.parking.wait(place, ...batch);
    const way = (batch: RecordBatch) => {
      const moved = moveOut(batch);
      return moved instanceof Promise ? outside(moved, batch, park, { rows: () => moved }).then(send) : send(moved);
    };
    this.channelPlaces.set(place, way);
    return way;
  }
}

/** A row that reaches a `union` on two ways is two rows. */
function inputOf(batch: RecordBatch, operator: OperatorId): RecordBatch {
  const lineage = lineageOf(batch);
  if (lineage === undefined) return batch;
  return withLineage(ownBatch(batch), lineageFrom(`${lineage.origin}>${operator}`, lineage.first));
}

/** Its waits, and the work of its own flows, are told to the meter. */
function metered(runtime: OperatorRuntime, meter: OperatorMeter, waitsFor: WaitsFor): OperatorRuntime {
  return {
    ...runtime,
    gate: meter.gate(runtime.gate),
    park: (...batch) => meter.parked(waitsFor, () => runtime.park(...batch)),
  };
}

/** Rows between two regions are neither read from outside nor written to it. */
function uncounted(runtime: OperatorRuntime): OperatorRuntime {
  return { ...runtime, counters: { rowsRead: 0, rowsWritten: 0, deadLetters: 0, rowsInFlight: 0 } };
}
