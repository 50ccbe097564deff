/** Every metric there is. `docs/telemetry.md` has the same table; a test holds one to the other. */

export type MetricKind = "counter" | "gauge" | "histogram";

export interface Metric {
  readonly name: string;
  /** As in UCUM. */
  readonly unit: string;
  readonly kind: MetricKind;
  readonly description: string;
  readonly attributes: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  readonly bounds?: readonly number[];
}

/** Seconds, from a fraction of a millisecond to the ten minutes that a call may take. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536];
const BYTES = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864, 1_073_741_824];

const JOB = "millrace.job";
const OPERATOR = [JOB, "millrace.operator"];
const SERVICE = [JOB, "millrace.service"];
const OUTCOME = [...SERVICE, "millrace.outcome"];
const REGION = [JOB, "millrace.region"];

const counter = (name: string, unit: string, attributes: readonly string[], description: string): Metric => ({
  name,
  unit,
  kind: "counter",
  description,
  attributes,
});
const gauge = (name: string, unit: string, attributes: readonly string[], description: string): Metric => ({
  name,
  unit,
  kind: "gauge",
  description,
  attributes,
});
const histogram = (
  name: string,
  unit: string,
  bounds: readonly number[],
  attributes: readonly string[],
  description: string,
): Metric => ({ name, unit, kind: "histogram", description, attributes, bounds });

export const METRICS = {
  operatorRowsIn: counter("millrace.operator.rows.in", "{row}", OPERATOR, "Rows that the operator was handed."),
  operatorRowsOut: counter("millrace.operator.rows.out", "{row}", OPERATOR, "Rows that the operator handed on."),
  operatorBatchesIn: counter("millrace.operator.batches.in", "{batch}", OPERATOR, "Batches that it was handed."),
  operatorBytesIn: counter("millrace.operator.bytes.in", "By", OPERATOR, "Bytes of the batches that it was handed."),
  deadLetters: counter("millrace.operator.dead_letters", "{row}", OPERATOR, "Rows that the operator refused."),
  creditWait: histogram(
    "millrace.channel.credit.wait",
    "s",
    SECONDS,
    OPERATOR,
    "How long a batch of the operator waited for room at its receiver, where it had to.",
  ),
  clientCall: histogram(
    "millrace.service.client.duration",
    "s",
    SECONDS,
    OUTCOME,
    "From the call to its answer, as the caller sees it: with its queue, retries and the way there and back.",
  ),
  clientQueue: histogram(
    "millrace.service.client.queue.wait",
    "s",
    SECONDS,
    SERVICE,
    "How long a request waited at its client for an instance with room.",
  ),
  clientRetries: counter("millrace.service.client.retries", "{call}", SERVICE, "Calls that were tried again."),
  clientInFlight: gauge("millrace.service.client.in_flight", "{row}", SERVICE, "Rows that instances have on board."),
  clientQueued: gauge("millrace.service.client.queued", "{row}", SERVICE, "Rows that wait at clients."),
  queueWait: histogram(
    "millrace.service.queue.wait",
    "s",
    SECONDS,
    SERVICE,
    "How long a request waited in its instance while earlier calls ran.",
  ),
  batchWait: histogram(
    "millrace.service.batch.wait",
    "s",
    SECONDS,
    SERVICE,
    "How long a request waited in its instance for others to share its call.",
  ),
  callDuration: histogram(
    "millrace.service.call.duration",
    "s",
    SECONDS,
    OUTCOME,
    "One call of the handler, with all rows that it was given.",
  ),
  callRows: histogram("millrace.service.call.rows", "{row}", ROWS, SERVICE, "Rows of one call of the handler."),
  queuedRows: gauge("millrace.service.queued", "{row}", SERVICE, "Rows that wait in instances."),
  runningRows: gauge("millrace.service.running", "{row}", SERVICE, "Rows that handlers work on."),
  checkpointDuration: histogram(
    "millrace.checkpoint.duration",
    "s",
    SECONDS,
    REGION,
    "From the trigger of a checkpoint to its record in the region's log.",
  ),
  checkpointSize: histogram(
    "millrace.checkpoint.size",
    "By",
    BYTES,
    REGION,
    "Bytes of the snapshots of a committed checkpoint.",
  ),
  restarts: counter("millrace.region.restarts", "{restart}", REGION, "Attempts of the region after its first."),
  busBytes: counter(
    "millrace.bus.bytes",
    "By",
    ["network.io.direction"],
    "Bytes over this process's connection to NATS.",
  ),
  eventLoopDelayP50: gauge(
    "nodejs.eventloop.delay.p50",
    "s",
    [],
    "How late timers are: the median since the last look.",
  ),
  eventLoopDelayP99: gauge("nodejs.eventloop.delay.p99", "s", [], "The same, 99 of 100."),
  eventLoopDelayMax: gauge("nodejs.eventloop.delay.max", "s", [], "The same, the latest."),
  eventLoopUtilization: gauge("nodejs.eventloop.utilization", "1", [], "Share of time that the event loop was busy."),
  cpuTime: counter("process.cpu.time", "s", ["cpu.mode"], "Processor time of the process."),
  memoryUsage: gauge("process.memory.usage", "By", [], "Memory of the process (RSS)."),
  heapUsed: gauge("v8js.memory.heap.used", "By", [], "Memory that JavaScript objects take."),
} as const satisfies Record<string, Metric>;
