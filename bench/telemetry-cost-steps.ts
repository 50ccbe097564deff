/**
 * What telemetry itself takes for a batch that is read, passes four operators, and is asked about by one request in a call of its own: the same
 * calls that the runtime makes, with nothing between them, and what they make sent to where the environment says. A process of its own, so that
 * its processor time is that of telemetry. Beside a whole run it shows what is too small for a busy machine. With the argument "turned-off" it
 * is as it is in windows of `telemetry-cost-worker.ts` in which telemetry is turned off.
 */

import { setTimeout as pause } from "node:timers/promises";
import { OperatorTelemetry, ReadTelemetry } from "../src/actors/operator-telemetry.js";
import { realPorts } from "../src/base/real/ports.js";
import { withTelemetry } from "../src/cli/telemetry.js";
import { ClientTelemetry } from "../src/services/client-telemetry.js";
import { DeskTelemetry } from "../src/services/desk-telemetry.js";
import { newPending } from "../src/services/pending.js";
import { traceOf } from "../src/types/batch-trace.js";
import { batchFromRows } from "../src/types/batches.js";
import { t } from "../src/types/columns.js";
import { ownBatch } from "../src/types/lineage.js";
import { SwitchedTelemetry } from "./telemetry-cost-switch.js";

const WARM_UP_ROUNDS = 100;
const ROUNDS = 500;
const BATCHES = 100;
const PAUSE_MS = 5;

/** With the default sampler, in microseconds of processor time, all threads together. */
async function stepsMicros(): Promise<number> {
  const telemetry = await withTelemetry(realPorts(), process.env, { role: "embedded", id: `bench-${process.pid}` });
  const known = telemetry.ports.telemetry!.with({ "millrace.job": "bench" });
  const turnedOff = process.argv[2] === "turned-off";
  const ports = { ...telemetry.ports, telemetry: turnedOff ? new SwitchedTelemetry(known, { isOn: false }) : known };
  const work = stepsWith(ports);
  const rows = Array.from({ length: 64 }, (_, n) => ({ n, payload: new Uint8Array(1_024), text: "x".repeat(64) }));
  const batch = batchFromRows({ n: t.int32, payload: t.binary, text: t.utf8 }, rows);
  const round = async () => {
    for (let i = 0; i < BATCHES; i++) work(ownBatch(batch as never));
    await pause(PAUSE_MS); // what is to be sent is not dropped
  };
  for (let i = 0; i < WARM_UP_ROUNDS; i++) await round();
  const before = process.cpuUsage();
  for (let i = 0; i < ROUNDS; i++) await round();
  await telemetry.close(); // sends what is left
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (ROUNDS * BATCHES);
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

process.send?.(await stepsMicros(), () => process.exit());
