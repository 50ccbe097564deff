/**
 * What a call of a service costs over the bare way there and back: an echo in a second process, over a real nats-server.
 *
 *   ours  `ServiceClient.call` with one row and its id; an `Instance` decodes it, calls the handler, keeps the answer, answers
 *   raw   `request` of `@nats-io/transport-node` with the same bytes as payload; the responder sends back what came
 *
 * Both have the same server and the same two processes, and take turns in short blocks. The ratio is of medians: that of the
 * slower size at one call at a time is the figure. With more at a time both sides keep so many under way. Not measured: hashing rows
 * to their ids, which is the operator's; several instances; calls that share a batch.
 */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { loadavg } from "node:os";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import type { RecordBatch } from "apache-arrow";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { ServiceClient } from "../src/services/client.js";
import { batchFromRows } from "../src/types/batches.js";
import { startNats } from "../test/servers/index.js";
import { columns, echo, job, namespace, rawSubject } from "./call-overhead-service.js";
import { percentile, round } from "./embedded-job.js";

const KiB = 1024;
const SIZES = { "1KB": 1 * KiB, "256KB": 256 * KiB };
const CONCURRENCIES = [1, 32];
const BLOCK_CALLS = 25;
const BLOCK_CALLS_AT_ONCE = 128;
const BLOCK_MS_MAX = 60_000;
/** Of each side and case. Clients and instances live long: before about 2,000 calls the engine has not compiled them. */
const WARM_UP_CALLS = 2_000;
const CALLS_OF_RUN = 1_000;
const TIMEOUT_MS = 30_000;

interface Side {
  /** One call there and back. @returns the bytes that came back */
  call(sample: Sample): Promise<number>;
  close(): Promise<void>;
}

/** What is sent, in the form that each side takes it. */
interface Sample {
  readonly bytes: Uint8Array;
  readonly records: RecordBatch;
}

interface Case {
  readonly size: string;
  readonly concurrency: number;
  readonly ours_p50_ms: number;
  readonly ours_p99_ms: number;
  readonly raw_p50_ms: number;
  readonly raw_p99_ms: number;
  readonly p50_ratio: number;
  readonly p99_ratio: number;
}

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  const server = await startNats({ jetstream: false });
  const worker = fork(new URL("./call-overhead-worker.js", import.meta.url), [server.url]);
  try {
    await Promise.race([
      once(worker, "message"),
      once(worker, "exit").then(() => Promise.reject(new Error("the second process ended before it was ready"))),
    ]);
    const ours = await oursSide(server.url);
    const raw = await rawSide(server.url);
    const cases: Case[] = [];
    for (const [size, bytes] of Object.entries(SIZES)) {
      for (const concurrency of CONCURRENCIES) {
        cases.push(await measure({ ours, raw }, size, sampleOf(bytes), concurrency, options.runs));
        options.log(textOf(cases.at(-1)!));
      }
    }
    await Promise.all([ours.close(), raw.close()]);
    const single = cases.filter(({ concurrency }) => concurrency === 1);
    return {
      name: "call-overhead",
      p50_ratio: Math.max(...single.map(({ p50_ratio: ratio }) => ratio)),
      cases,
      load: round(loadavg()[0]!),
    };
  } finally {
    worker.kill("SIGKILL");
    await server.stop();
  }
}

async function oursSide(url: string): Promise<Side> {
  const ports = realPorts();
  const bus = await connectNats({ servers: url, name: "call-overhead" }, ports);
  const client = new ServiceClient({ bus, ports, namespace, job, attempt: 1, client: "bench", service: echo });
  await client.open();
  let calls = 0;
  const released: string[] = [];
  return {
    async call({ records }) {
      const rowId = String(++calls).padStart(16, "0");
      const answer = await client.call(records, client, { rowIds: [rowId] });
      // As a checkpoint would, so that what is measured is a journal in use and not a full one.
      released.push(rowId);
      if (released.length >= 64) client.release([{ ids: released.splice(0), by: answer.by }]);
      return (answer.records.getChild("bytes")!.get(0) as Uint8Array).byteLength;
    },
    async close() {
      client.close();
      await bus.close();
    },
  };
}

async function rawSide(url: string): Promise<Side> {
  const connection = await connect({ servers: url, name: "call-overhead" });
  return {
    call: async ({ bytes }) => (await connection.request(rawSubject, bytes, { timeout: TIMEOUT_MS })).data.byteLength,
    close: () => connection.close(),
  };
}

function sampleOf(size: number): Sample {
  const bytes = randomBytes(size);
  return { bytes, records: batchFromRows(columns, [{ bytes }]) as unknown as RecordBatch };
}

async function measure(
  sides: { readonly ours: Side; readonly raw: Side },
  size: string,
  sample: Sample,
  concurrency: number,
  runs: number,
): Promise<Case> {
  const took: { readonly ours: number[]; readonly raw: number[] } = { ours: [], raw: [] };
  const calls = concurrency === 1 ? BLOCK_CALLS : BLOCK_CALLS_AT_ONCE;
  for (let done = -WARM_UP_CALLS; done < runs * CALLS_OF_RUN; done += calls) {
    for (const name of ["ours", "raw"] as const) {
      const ms = await within(BLOCK_MS_MAX, blockOf(sides[name], sample, calls, concurrency), `${name}, ${size}`);
      if (done >= 0) took[name].push(...ms);
    }
  }
  const [o50, r50] = [percentile(took.ours, 0.5), percentile(took.raw, 0.5)];
  const [o99, r99] = [percentile(took.ours, 0.99), percentile(took.raw, 0.99)];
  return {
    ...{ size, concurrency },
    ...{ ours_p50_ms: round(o50), ours_p99_ms: round(o99), raw_p50_ms: round(r50), raw_p99_ms: round(r99) },
    ...{ p50_ratio: round(o50 / r50), p99_ratio: round(o99 / r99) },
  };
}

/** @returns how long each call took, in ms */
async function blockOf(side: Side, sample: Sample, calls: number, concurrency: number): Promise<number[]> {
  const tookMs: number[] = [];
  let left = calls;
  const caller = async () => {
    while (left-- > 0) {
      const fromMs = performance.now();
      const back = await side.call(sample);
      tookMs.push(performance.now() - fromMs);
      const sent = sample.bytes.byteLength;
      if (back !== sent) throw new Error(`${sent} bytes were sent and ${back} came back`);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return tookMs;
}

async function within<T>(ms: number, what: Promise<T>, name: string): Promise<T> {
  const over = new AbortController();
  const late = pause(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${name}: a block of calls did not end within ${ms} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([what, late]);
  } finally {
    over.abort();
  }
}

function textOf(one: Case): string {
  const side = (name: string, p50: number, p99: number) => `${name} p50 ${p50.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms`;
  return (
    `call-overhead ${one.size}, ${one.concurrency} at a time: ${side("ours", one.ours_p50_ms, one.ours_p99_ms)}; ` +
    `${side("raw", one.raw_p50_ms, one.raw_p99_ms)}; ratio of p50 ${one.p50_ratio}`
  );
}
