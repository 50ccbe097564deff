/**
 * What it costs to hand large payloads from process to process: five operators in five processes, over a real nats-server and MinIO, with
 * 5 MB a record. The first and the last operator read all of it; the three between hand the record on, which is what references are for.
 *
 *   ends     each record refers to an object of its own that lies in the store, as in a job over a bucket of files
 *   inline   the first process reads such objects, and the bytes travel with the batch over every hop
 *   all      as `ends`, but all five operators read all of every payload: what references cost where each hop needs the bytes
 *   shared   as `all`, but ten records refer to one object, as the pages of a document or the segments of a recording do
 *   moved    as `ends`, but the first process makes a payload for each record; what it hands on is moved out into the store by itself
 *
 * `throughput_ratio` is `ends` over `inline`, `all_read_throughput_ratio` is `all` over the same `inline`, whose operators between have the
 * bytes in hand and do not look at them. Throughput is from the start of the operators to the last row at the sink: also what fills the
 * hops counts. Processor time is that of the five processes, without the servers'. Bytes are those that the server has taken in, over
 * records and hops: frames, credits, reports and all. Store reads are those that arrive at MinIO, counted by a proxy for each node, in
 * runs of their own in which the last two processes are on another node: with a cache folder of their own. The cache that throughput is measured
 * with is full from the beginning, as that of a node that has been at work for a while: until then each of its files takes memory that the
 * system has to find first. Hosts are told what to do by this process; nothing takes checkpoints, and nothing is published.
 */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { HostId, JobId } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import type { Bus } from "../src/bus/bus.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { clusterSubjects, jobSubjects } from "../src/bus/subjects.js";
import { planTopology } from "../src/plan/plan.js";
import { openStore } from "../src/storage/open-store.js";
import {
  acknowledgementFrame,
  deployEnumeratorFrame,
  deployFrame,
  hostReportFrame,
  startFrame,
} from "../src/wire/control.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../test/servers/index.js";
import { forkAsHost } from "./child.js";
import { round } from "./embedded-job.js";
import { type HostSettings, NAMESPACE } from "./object-ref-host.js";
import { chain, HOPS, type Mode, payloadOf, type Work } from "./object-ref-topology.js";

const MODES = ["inline", "ends", "all", "shared", "moved"] as const satisfies readonly Mode[];
/** Records that refer to one payload, where they share it. */
const RECORDS_OF_SHARED = 10;
const RECORDS: Readonly<Record<Mode, number>> = { inline: 60, ends: 240, all: 160, shared: 400, moved: 120 };
const RECORDS_OF_READS_RUN = 40;
const RUN_MS_MAX = 300_000;
/** More than is under way, and less than one run reads. */
const CACHE_BYTES = 512 * 1024 * 1024;

interface Measured {
  readonly recordsPerS: number;
  /** Processor time of the five processes a record; not that of the servers. */
  readonly cpuMs: number;
  readonly bytesPerRecordHop: number;
}

/** Where a process is, as far as content goes: its node's cache folder, and its node's way to the store. */
interface Node {
  readonly folder: string;
  readonly endpoint: string;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const [nats, minio] = await Promise.all([startNats({ monitoring: true }), startMinio()]);
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const bench = new Bench(nats, minio, folder);
  try {
    await bench.measure("ends"); // fills the cache
    const measured: Record<Mode, Measured[]> = { inline: [], ends: [], all: [], shared: [], moved: [] };
    for (let turn = 1; turn <= options.runs; turn++) {
      for (const mode of MODES) {
        const one = await bench.measure(mode);
        measured[mode].push(one);
        const [records, cpu, bytes] = [round(one.recordsPerS), round(one.cpuMs), Math.round(one.bytesPerRecordHop)];
        const load = loadavg()[0]!.toFixed(1);
        options.log(
          `run ${turn}: ${mode} ${records} records/s, ${cpu} ms of processor time a record, ${bytes} bytes over NATS a record and hop, load ${load}`,
        );
      }
    }
    const reads = await bench.countReads("all");
    const readsOfShared = await bench.countReads("shared");
    const readsOfMoved = await bench.countReads("moved");
    const rate = (mode: Mode) => median(measured[mode].map(({ recordsPerS }) => recordsPerS));
    const ratio = (mode: Mode) => round(rate(mode) / rate("inline"));
    const ofEach = (value: (mode: Mode) => number) => Object.fromEntries(MODES.map((mode) => [mode, value(mode)]));
    const bytes = (mode: Mode) =>
      Math.round(Math.max(...measured[mode].map(({ bytesPerRecordHop }) => bytesPerRecordHop)));
    return {
      name: "object-ref",
      bytes_per_record_hop: Math.max(...MODES.filter((mode) => mode !== "inline").map(bytes)),
      throughput_ratio: ratio("ends"),
      all_read_throughput_ratio: ratio("all"),
      shared_throughput_ratio: ratio("shared"),
      moved_throughput_ratio: ratio("moved"),
      store_reads_per_payload: round(Math.max(...reads, ...readsOfShared, ...readsOfMoved)),
      records_per_s: ofEach((mode) => round(rate(mode))),
      cpu_ms_per_record: ofEach((mode) => round(median(measured[mode].map(({ cpuMs }) => cpuMs)))),
      inline_bytes_per_record_hop: bytes("inline"),
      records_of_one_shared_payload: RECORDS_OF_SHARED,
      store_reads_by_node: reads.map(round),
      shared_store_reads_by_node: readsOfShared.map(round),
      moved_store_reads_by_node: readsOfMoved.map(round),
    };
  } finally {
    await Promise.all([nats.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

class Bench {
  #runs = 0;

  constructor(
    private readonly nats: NatsServer,
    private readonly minio: MinioServer,
    private readonly folder: string,
  ) {}

  async measure(mode: Mode): Promise<Measured> {
    const work = await this.#prepare(mode, RECORDS[mode]);
    const node = { folder: "node", endpoint: this.minio.endpoint };
    return this.#run(work, () => node);
  }

  /** @returns reads a payload, of the node of the first three processes and of that of the last two */
  async countReads(mode: Mode): Promise<number[]> {
    const work = await this.#prepare(mode, RECORDS_OF_READS_RUN);
    const proxies = await Promise.all([countingProxy(this.minio.endpoint), countingProxy(this.minio.endpoint)]);
    const nodes = proxies.map(({ endpoint }, i) => ({ folder: `${work.seed}-node-${i}`, endpoint }));
    try {
      await this.#run(work, (process) => nodes[process < 3 ? 0 : 1]!);
      return proxies.map((proxy) => proxy.reads() / (mode === "moved" ? work.records : work.payloads.length));
    } finally {
      for (const proxy of proxies) proxy.close();
    }
  }

  async #prepare(mode: Mode, records: number): Promise<Work> {
    const seed = ++this.#runs;
    const count = mode === "moved" ? 0 : mode === "shared" ? records / RECORDS_OF_SHARED : records;
    const url = `s3://${this.minio.bucket}/payloads-${seed}`;
    const store = openStore(url, { s3: { ...this.minio } }, realPorts());
    const payloads: string[] = [];
    for (let i = 0; i < count; i++) {
      const bytes = payloadOf(i, seed);
      payloads.push(createHash("sha256").update(bytes).digest("hex"));
      await store.put(`${i}`, bytes);
    }
    await store.close();
    return { mode, records, payloads, seed, prefix: `${url}/` };
  }

  async #run(work: Work, nodeOf: (process: number) => Node): Promise<Measured> {
    const { actors } = planTopology(chain(work));
    const bus = await connectNats({ servers: this.nats.url, name: "bench" }, realPorts());
    const job = `object-ref-${work.seed}` as JobId;
    const hosts: ChildProcess[] = [];
    try {
      const names = actors.map((_, i) => `host-${i}` as HostId);
      for (const [i, host] of names.entries()) {
        const { folder, endpoint } = nodeOf(i);
        const settings: HostSettings = {
          ...{ nats: this.nats.url, s3: { ...this.minio, endpoint }, store: `s3://${this.minio.bucket}/bench` },
          ...{ job, work, host, folder: join(this.folder, folder), cacheBytes: CACHE_BYTES },
        };
        hosts.push(await startHost(settings));
      }
      const done = writtenOf(bus, job, work.records);
      done.catch(() => {}); // met below
      const before = await this.#bytesIn();
      const common = { term: 1n, job, attempt: 1, region: actors[0]!.region };
      const tell = (i: number, frame: Uint8Array) =>
        ask(bus, jobSubjects(NAMESPACE, job).hostCommand(names[i]!), frame);
      for (const [i, { id }] of actors.entries()) {
        await tell(i, deployFrame.encode({ ...common, actors: [id], checkpoint: 0n }));
      }
      await tell(0, deployEnumeratorFrame.encode({ ...common, source: "records" }));
      const fromMs = performance.now();
      for (const i of actors.keys()) await tell(i, startFrame.encode(common));
      await done;
      const seconds = (performance.now() - fromMs) / 1000;
      const bytes = (await this.#bytesIn()) - before;
      const cpuMs = (await Promise.all(hosts.map(stopHost))).reduce((sum, one) => sum + one, 0);
      const { records } = work;
      return { recordsPerS: records / seconds, cpuMs: cpuMs / records, bytesPerRecordHop: bytes / records / HOPS };
    } finally {
      for (const host of hosts) host.kill("SIGKILL");
      await bus.close();
    }
  }

  async #bytesIn(): Promise<number> {
    const answer = await fetch(`${this.nats.monitorUrl}/varz`);
    return ((await answer.json()) as { in_bytes: number }).in_bytes;
  }
}

async function startHost(settings: HostSettings): Promise<ChildProcess> {
  const host = forkAsHost("object-ref-host.js");
  host.send(settings);
  await once(host, "message");
  return host;
}

/** @returns its processor time, in ms */
async function stopHost(host: ChildProcess): Promise<number> {
  host.send("stop");
  const [cpuMs] = await once(host, "message");
  return cpuMs as number;
}

async function ask(bus: Bus, subject: string, frame: Uint8Array): Promise<void> {
  const { payload } = await bus.request(subject, frame, { timeoutMs: 10_000 });
  const { code, message } = acknowledgementFrame.decode(payload).header;
  if (code !== "") throw new Error(message);
}

/** Resolves when a report says that the sink has written all of them. */
function writtenOf(bus: Bus, job: JobId, records: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not ended within ${RUN_MS_MAX} ms`)), RUN_MS_MAX);
    const subscription = bus.subscribe(clusterSubjects(NAMESPACE).coordinatorReport, ({ payload }) => {
      const report = hostReportFrame.decode(payload).header;
      if (report.job !== job) return;
      const failed = report.actors.find(({ code, deadLetters }) => code !== "" || deadLetters > 0n);
      const written = report.actors.reduce((sum, { rowsWritten }) => sum + Number(rowsWritten), 0);
      if (failed === undefined && written < records) return;
      clearTimeout(late);
      void subscription.then((one) => one.unsubscribe());
      if (failed !== undefined) return reject(new Error(`${failed.actor}: ${failed.message || "dead letters"}`));
      resolve();
    });
  });
}

interface CountingProxy {
  readonly endpoint: string;
  /** Payloads that were read through it. */
  reads(): number;
  close(): void;
}

async function countingProxy(target: string): Promise<CountingProxy> {
  let reads = 0;
  const server = createServer((given, answer) => {
    // Not those of logs and lists: a source's enumerator has a log there.
    if (given.method === "GET" && /\/(payloads-\d+|content)\/[^/]+$/.test(given.url!.replace(/\?.*/, ""))) reads += 1;
    const passed = request(`${target}${given.url}`, { method: given.method ?? "GET", headers: given.headers });
    passed.once("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    passed.once("error", (error) => answer.destroy(error));
    given.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { endpoint: `http://127.0.0.1:${port}`, reads: () => reads, close };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
