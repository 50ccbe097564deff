/**
 * What telemetry itself takes for a batch that is read, passes four operators, and is asked about by one request in a call of its own: the same
 * calls that the runtime makes, with nothing between them. Beside a whole run it shows what is too small for a busy machine.
 */
import { OperatorTelemetry, ReadTelemetry } from "../src/actors/operator-telemetry.js";
import { realPorts } from "../src/base/real/ports.js";
import { ClientTelemetry } from "../src/services/client-telemetry.js";
import { DeskTelemetry } from "../src/services/desk-telemetry.js";
import { newPending } from "../src/services/pending.js";
import { openTelemetry } from "../src/telemetry/open.js";
import { traceOf } from "../src/types/batch-trace.js";
import { batchFromRows } from "../src/types/batches.js";
import { t } from "../src/types/columns.js";
import { ownBatch } from "../src/types/lineage.js";
import { percentile } from "./embedded-job.js";

const ROUNDS = 300;
const BATCHES = 100;

/** Median over many rounds, in microseconds; default sampling, spans dropped. */
export async function stepsMicros(): Promise<number> {
  const plain = realPorts();
  const settings = { traces: true, metrics: false, keepMetrics: true, samplerGiven: false };
  const opened = await openTelemetry({ ...settings, metricIntervalMs: 60_000, resource: {} }, plain);
  const ports = { ...plain, telemetry: opened.telemetry.with({ "millrace.job": "bench" }) };
  const work = stepsWith(ports);
  const rows = Array.from({ length: 64 }, (_, n) => ({ n, payload: new Uint8Array(1_024), text: "x".repeat(64) }));
  const batch = batchFromRows({ n: t.int32, payload: t.binary, text: t.utf8 }, rows);
  const micros: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    for (let i = 0; i < BATCHES; i++) work(ownBatch(batch as never));
    micros.push(((performance.now() - startMs) / BATCHES) * 1_000);
  }
  await opened.close();
  return percentile(micros, 0.5);
}

function stepsWith(ports: ReturnType<typeof realPorts>): (batch: ReturnType<typeof ownBatch>) => void {
  const { clock, telemetry } = ports;
  const read = new ReadTelemetry(ports, "source", true);
  const client = new ClientTelemetry(ports, "service", {
    queuedRows: () => 0,
    rowsInFlight: () => 0,
    retries: () => 0,
  });
  const desk = new DeskTelemetry(telemetry!, "service");
  const owner = {};
  const ask = (batch: ReturnType<typeof ownBatch>) => {
    const given = { owner, records: batch, lineageIds: [], ask: false, resolve() {}, reject() {} };
    const request = newPending("r", given, { rowIds: [], bucket: "", affinity: "", deadlineMs: 0 });
    client.follow(request, traceOf(batch));
    request.sentMs = clock.monotonicMs();
    client.sent(request);
    const queued = [{ arrivedMs: clock.monotonicMs() }];
    desk.taken(queued, clock.monotonicMs());
    desk.called(queued, batch.numRows, clock.monotonicMs()).end("", clock.monotonicMs());
    desk.freed(clock.monotonicMs());
    request.resolve({ records: batch, rejected: [] });
  };
  let next = ask as (batch: ReturnType<typeof ownBatch>) => void | Promise<void>;
  for (const id of ["d", "c", "b", "a"]) {
    const operator = new OperatorTelemetry(ports, { id: id as never, kind: "mapRows" });
    next = operator.entrance(operator.exit(next));
  }
  const source = read.exit(next);
  return (batch) => {
    read.asks();
    void source(batch);
  };
}
