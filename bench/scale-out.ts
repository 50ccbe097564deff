/**
 * How soon a new instance has its part of what is queued: four busy instances and four clients over a real nats-server, each instance a
 * process of its own, 1,000 requests queued; a fifth becomes READY.
 *
 * Requests wait at the clients until an instance has room (decision 0006), so the queue is at clients and instances together. The part of
 * an instance is what it holds, queued or running: requests sent to it that it has not answered. It has its part as soon as that is the
 * mean of all five, less one call. That this is the right measure is shown by `work_after`: what it answers in the second after, over
 * the mean of all. Time counts from the moment at which the instance says that it became READY, by the clock of this machine.
 *
 *   clients     calls of one row: nearly all is queued at the clients, and what is answered is replaced
 *   instances   calls of 32 rows: all 1,000 are at the four instances, and once the fifth is READY nothing is replaced, so that they must
 *               give back
 *
 * The figure is the median of the slower of the two. Not measured: starting a process, loading a model.
 */
import { type ChildProcess, fork } from "node:child_process";
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { RecordBatch } from "apache-arrow";
import { realPorts } from "../src/base/real/ports.js";
import type { Bus } from "../src/bus/bus.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { jobSubjects } from "../src/bus/subjects.js";
import { ServiceClient } from "../src/services/client.js";
import { batchFromRows } from "../src/types/batches.js";
import { answerFrame, frameKind, type LoadReport, loadReportFrame } from "../src/wire/frames.js";
import { startNats } from "../test/servers/index.js";
import { percentile, round } from "./embedded-job.js";
import { columns, instanceId, job, namespace, type Place, workOf } from "./scale-out-service.js";

const BEFORE = 4;
const CLIENTS = 4;
const QUEUED = 1_000;
const PLACES: readonly Place[] = ["clients", "instances"];
const STEADY_MS = 1_000;
const AFTER_MS = 1_000;
const BOUND_MS = 30_000;
const subjects = jobSubjects(namespace, job);

interface Turn {
  readonly shareMs: number;
  /** What the new one has answered in the second after, over the mean of all. */
  readonly workAfter: number;
}

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  const server = await startNats({ jetstream: false });
  const bus = await connectNats({ servers: server.url, name: "scale-out" }, realPorts());
  try {
    const turns: Record<Place, Turn[]> = { clients: [], instances: [] };
    for (let turn = 1; turn <= options.runs; turn++) {
      for (const place of PLACES) {
        const done = await scaleOut(server.url, bus, place);
        turns[place].push(done);
        const work = `${done.workAfter.toFixed(2)} of the mean in the second after`;
        options.log(`scale-out run ${turn}, queued at ${place}: its part after ${done.shareMs} ms, ${work}`);
      }
    }
    const medianOf = (place: Place, what: keyof Turn) =>
      round(
        percentile(
          turns[place].map((turn) => turn[what]),
          0.5,
        ),
      );
    return {
      name: "scale-out",
      share_ms: Math.max(...PLACES.map((place) => medianOf(place, "shareMs"))),
      cases: PLACES.map((place) => ({
        queued_at: place,
        share_ms: medianOf(place, "shareMs"),
        work_after: medianOf(place, "workAfter"),
        all_ms: turns[place].map(({ shareMs }) => shareMs),
      })),
      queued: QUEUED,
      load: round(loadavg()[0]!),
    };
  } finally {
    await bus.close();
    await server.stop();
  }
}

async function scaleOut(url: string, bus: Bus, place: Place): Promise<Turn> {
  const started: ChildProcess[] = [];
  const start = (i: number) => {
    const process = fork(new URL("./scale-out-worker.js", import.meta.url), [url, place, String(i)]);
    process.once("exit", (status) => {
      if (status !== null) held.ended = `instance ${i} ended with status ${status}`;
    });
    started.push(process);
  };
  const held = new Holdings(bus);
  let clients: Clients | undefined;
  try {
    await held.open();
    for (let i = 0; i < BEFORE; i++) start(i);
    await until(`${BEFORE} instances to be READY`, () => held.ready.size === BEFORE, held);
    clients = await openClients(url, place, held);
    clients.fill();
    await pause(STEADY_MS);
    const added = instanceId(BEFORE);
    held.onChange = () => {
      const counts = [...held.ready.keys()].map((id) => held.of(id));
      const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
      if (held.ready.has(added) && held.of(added) + workOf(place).batch.rowsMax >= mean) held.sharedMs ??= Date.now();
    };
    start(BEFORE);
    await until("the new instance to have its part", () => held.sharedMs !== undefined, held);
    const before = new Map(held.answered);
    await pause(AFTER_MS);
    const work = [...held.ready.keys()].map((id) => (held.answered.get(id) ?? 0) - (before.get(id) ?? 0));
    const mean = work.reduce((sum, count) => sum + count, 0) / work.length;
    const ofAdded = (held.answered.get(added) ?? 0) - (before.get(added) ?? 0);
    return { shareMs: held.sharedMs! - Number(held.ready.get(added)), workAfter: ofAdded / mean };
  } finally {
    for (const process of started) process.kill("SIGKILL");
    await clients?.close();
    held.close();
  }
}

/** What each instance holds, by the requests and answers that pass. */
class Holdings {
  /** When each became READY, by the wall clock. */
  readonly ready = new Map<string, bigint>();
  readonly answered = new Map<string, number>();
  sharedMs: number | undefined;
  /** An instance that was not killed has ended. */
  ended: string | undefined;
  onChange = () => {};
  #sent = new Map<string, number>();
  #returned = new Map<string, number>();
  #subscriptions: { unsubscribe(): void }[] = [];

  constructor(private readonly bus: Bus) {}

  async open(): Promise<void> {
    const service = workOf("clients").id;
    const count = (counts: Map<string, number>, id: string) => {
      counts.set(id, (counts.get(id) ?? 0) + 1);
      this.onChange();
    };
    this.#subscriptions = await Promise.all([
      this.bus.subscribe(subjects.load(service), ({ payload }) =>
        this.#onReport(loadReportFrame.decode(payload).header),
      ),
      ...Array.from({ length: BEFORE + 1 }, (_, i) =>
        this.bus.subscribe(subjects.instanceRequest(service, instanceId(i)), ({ payload }) => {
          if (frameKind(payload) === "request") count(this.#sent, instanceId(i));
        }),
      ),
      ...Array.from({ length: CLIENTS }, (_, i) =>
        this.bus.subscribe(subjects.answer(clientId(i)), ({ payload }) => {
          if (frameKind(payload) !== "answer") return;
          const { instance, status } = answerFrame.decode(payload).header;
          if (status === "OK") count(this.answered, instance);
          else count(this.#returned, instance);
        }),
      ),
    ]);
  }

  of(id: string): number {
    return (this.#sent.get(id) ?? 0) - (this.answered.get(id) ?? 0) - (this.#returned.get(id) ?? 0);
  }

  #onReport({ instance, state, enteredMs }: LoadReport): void {
    if (state === "READY") this.ready.set(instance, enteredMs);
    this.onChange();
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }
}

interface Clients {
  /** Queues all requests. */
  fill(): void;
  close(): Promise<void>;
}

async function openClients(url: string, place: Place, held: Holdings): Promise<Clients> {
  const ports = realPorts();
  const service = workOf(place);
  let open = true;
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, i) => {
      const bus = await connectNats({ servers: url, name: clientId(i) }, ports);
      const client = new ServiceClient({ bus, ports, namespace, job, attempt: 1, client: clientId(i), service });
      await client.open();
      return { bus, client };
    }),
  );
  const again = async (client: ServiceClient, n: number) => {
    do await client.call(batchFromRows(columns, [{ n }]) as unknown as RecordBatch, client);
    while (open && !(held.ready.size > BEFORE && place === "instances"));
  };
  return {
    fill() {
      for (let n = 0; n < QUEUED; n++) {
        again(clients[n % CLIENTS]!.client, n).catch((error: unknown) => {
          if (open) throw error;
        });
      }
    },
    async close() {
      open = false;
      for (const { client } of clients) client.close();
      await Promise.all(clients.map(({ bus }) => bus.close()));
    },
  };
}

function clientId(i: number): string {
  return `client-${i}`;
}

async function until(what: string, isSo: () => boolean, held: Holdings): Promise<void> {
  const fromMs = performance.now();
  while (!isSo()) {
    await pause(5);
    if (held.ended !== undefined) throw new Error(`${held.ended}, while waiting for ${what}`);
    if (performance.now() - fromMs > BOUND_MS) throw new Error(`waited ${BOUND_MS} ms for ${what}`);
  }
}
