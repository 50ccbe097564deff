/** Ours in `balance.ts`: real clients and instances on a memory bus, by a clock that is moved from event to event. */
import type { RecordBatch } from "apache-arrow";
import type { InstanceId, JobId, Namespace } from "../src/base/ids.js";
import type { Log, Ports } from "../src/base/ports.js";
import { MemoryBus } from "../src/bus/memory-bus.js";
import { ServiceClient } from "../src/services/client.js";
import { Instance } from "../src/services/instance.js";
import { type Service, service } from "../src/topology/service.js";
import { batchFromRows } from "../src/types/batches.js";
import { t } from "../src/types/columns.js";
import { noContent } from "../test/unit/actors/support.js";
import { FakeClock } from "../test/unit/coordinator/fake-ports.js";
import { type Load, randomOf } from "./balance-load.js";

const namespace = "bench" as Namespace;
const job = "balance" as JobId;
const columns = { n: t.int32 };

/** @returns how long each request took from its arrival to its answer, in ms */
export async function ours(load: Load, seed: number): Promise<number[]> {
  const clock = new FakeClock();
  const draw = randomOf(seed);
  const random = { next: draw, id: (length: number) => `${Math.floor(draw() * 1e9)}`.padStart(length, "0") };
  const ports: Ports = { clock, random, log: silent };
  const bus = new MemoryBus(ports);
  const instances = load.slowness.map((slow, i) => {
    const working = workerOf(load, slow, clock);
    return new Instance({
      ...{ bus: bus.connect(), ports, namespace, job, service: working },
      instance: `work-${i}` as InstanceId,
      content: noContent,
      asset: (name) => name,
      env: () => undefined,
      yieldToMessages: () => new Promise((resolve) => setImmediate(resolve)),
      onHung: (error) => {
        throw error;
      },
    });
  });
  await Promise.all(instances.map((instance) => instance.start()));
  const clients = Array.from({ length: load.clients }, (_, i) => {
    const options = { bus: bus.connect(), ports, namespace, job, attempt: 1, service: workerOf(load, 1, clock) };
    return new ServiceClient({ ...options, client: `client-${i}` });
  });
  await Promise.all(clients.map((client) => client.open()));
  await clock.settle();

  const tookMs = await arriveAll(load, clients, clock);
  for (const client of clients) client.close();
  return tookMs;
}

function workerOf({ arrivals }: Load, slowness: number, clock: FakeClock): Service {
  return service("work", {
    input: columns,
    output: columns,
    handler: {
      kind: "work",
      assets: {},
      load: async () => ({
        async infer(batch) {
          await clock.sleep(arrivals[batch.getChild("n")!.get(0)!]!.workMs * slowness);
          return batch;
        },
      }),
    },
  }) as unknown as Service;
}

async function arriveAll({ arrivals }: Load, clients: readonly ServiceClient[], clock: FakeClock): Promise<number[]> {
  const startMs = clock.monotonicMs();
  const tookMs: number[] = [];
  const answers: Promise<void>[] = [];
  for (const [n, { atMs, client }] of arrivals.entries()) {
    await clock.advance(startMs + atMs - clock.monotonicMs());
    const records = batchFromRows(columns, [{ n }]) as unknown as RecordBatch;
    const answer = clients[client]!.call(records, clock);
    answers.push(
      answer.then(() => {
        tookMs[n] = clock.monotonicMs() - startMs - atMs;
      }),
    );
  }
  const all = Promise.all(answers);
  let left = true;
  void all.finally(() => {
    left = false;
  });
  while (left) await clock.advance(100);
  await all;
  return tookMs;
}

const silent: Log = {
  debug() {},
  info() {},
  warn() {},
  error(message, fields) {
    throw new Error(`${message} ${JSON.stringify(fields)}`);
  },
  child: () => silent,
};
