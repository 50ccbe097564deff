/**
 * The page over an API that is made up: jobs of any size and in any state, without a cluster. Numbers change with every answer.
 *
 * The page and its headers are the real ones (`src/api/pages.ts`); what the API says has the coordinator's own types.
 * Not here: changing anything. What is posted is taken and forgotten.
 */
import { join } from "node:path";
import Fastify from "fastify";
import { servePages } from "../../src/api/pages.js";
import { packageRoot } from "../../src/cli/packages.js";
import type * as told from "../../src/coordinator/describe.js";
import type { JobState } from "../../src/wire/control.js";

export interface JobSize {
  readonly name: string;
  readonly operators: number;
  readonly regions: number;
  readonly actors: number;
  readonly services: number;
  readonly instances: number;
  readonly checkpoints: number;
  readonly state: JobState;
  /** Put before every name. */
  readonly prefix: string;
}

const SMALL: JobSize = {
  name: "captions",
  operators: 6,
  regions: 3,
  actors: 12,
  services: 2,
  instances: 5,
  checkpoints: 30,
  state: "RUNNING",
  prefix: "",
};
const LONG = "a-name-that-somebody-has-made-of-the-path-of-a-file-and-of-the-day-on-which-it-was-read-";

/** As large as the page is to be fast with. */
export const LARGE: JobSize = {
  name: "large",
  operators: 50,
  regions: 300,
  actors: 1_000,
  services: 10,
  instances: 200,
  checkpoints: 66,
  state: "RUNNING",
  prefix: "",
};
export const JOBS: readonly JobSize[] = [
  SMALL,
  LARGE,
  { ...SMALL, name: `${LONG}job`, prefix: LONG, state: "DEPLOYING" },
  { ...SMALL, name: "ended", state: "FINISHED" },
  { ...SMALL, name: "failed", state: "FAILED" },
  { ...SMALL, name: "new", operators: 2, services: 0, instances: 0, checkpoints: 0, state: "SUBMITTED" },
];

const NOW_MS = Date.now();
const range = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** A job that changes a little with every `turn`. */
export class MadeUp {
  #turn = 0;

  /** @param jobs that there are @param token that requests need; empty: none */
  constructor(
    readonly jobs: readonly JobSize[] = JOBS,
    readonly token = "",
  ) {}

  #some(seed: number, most: number): number {
    return ((seed * 7919 + this.#turn * 104_729) % 1_000) * (most / 1_000);
  }

  summary(size: JobSize): told.JobSummary {
    const over = size.state === "FINISHED" || size.state === "FAILED";
    const failed = size.state === "FAILED";
    const begun = size.state !== "SUBMITTED";
    return {
      job: size.name,
      topology: `${size.prefix}captions`,
      state: size.state,
      code: failed ? "MILL_SERVICE_UNAVAILABLE" : "",
      message: failed
        ? "service embedder: no instance became ready in 5 tries. The last one said: model embedder.onnx is not in the store."
        : "",
      submittedMs: NOW_MS - 2_000_000,
      startedMs: begun ? NOW_MS - 1_800_000 : 0,
      finishedMs: over ? NOW_MS - 60_000 : 0,
      rowsTotal: begun ? 1_200_000 : 0,
      rowsRead: begun ? 400_000 + this.#turn * 100 : 0,
      rowsWritten: begun ? 380_000 + this.#turn * 100 : 0,
      rowsInFlight: begun && !over ? 412 : 0,
      deadLetters: begun ? 3 : 0,
      counts: {
        actors: size.actors,
        actorsRunning: over ? 0 : size.actors,
        regions: size.regions,
        restarts: 2,
        instancesWanted: size.instances,
        instancesReady: over ? 0 : Math.max(size.instances - 1, 0),
      },
    };
  }

  detail(size: JobSize): Omit<told.JobDetail, "actors"> {
    return {
      ...this.summary(size),
      planHash: "ab".repeat(32),
      bundle: "cd".repeat(32),
      params: {},
      parallelism: 2,
      unit: "rows",
      checkpointIntervalMs: 10_000,
      rowsReadPerSecond: 900 + this.#some(1, 100),
      rowsWrittenPerSecond: 880 + this.#some(2, 100),
      operators: range(size.operators, (i) => this.#operator(size, i)),
      edges: range(Math.max(size.operators - 1, 0), (i) => this.#edge(size, i)),
      regions: range(size.regions, (i) => this.#region(size, i)),
      services: range(size.services, (i) => this.#service(size, i)),
      hosts: [],
    };
  }

  #operatorName = (size: JobSize, i: number): string => `${size.prefix}operator-${i}`;

  /** Up to ten in a line; the lines are the regions, which share them out over their parallel instances. */
  #operator(size: JobSize, i: number): told.OperatorDetail {
    const perRegion = Math.ceil(size.operators / Math.min(size.regions, Math.ceil(size.operators / 3)));
    const group = Math.floor(i / perRegion);
    const groups = Math.ceil(size.operators / perRegion);
    const regions = range(size.regions, (n) => n).filter((n) => n % groups === group);
    const busy = i === 2 ? 0.95 : this.#some(i, 0.6);
    const backPressured = i === 1 ? 0.7 : this.#some(i + 3, 0.2);
    const share = busy + backPressured > 1 ? 1 - busy : backPressured;
    const infer = i > 0 && i <= size.services;
    return {
      operator: this.#operatorName(size, i),
      kind: i === 0 ? "source" : i === size.operators - 1 ? "sink" : infer ? "infer" : "mapRows",
      parallelism: Math.max(Math.round(size.actors / size.operators), 1),
      chain: this.#operatorName(size, i),
      service: infer ? `${size.prefix}service-${i - 1}` : "",
      regions: regions.map((n) => this.#regionName(size, n)),
      busy,
      backPressured: share,
      idle: 1 - busy - share,
      busyMax: busy,
      backPressuredMax: share,
      rowsIn: 400_000 + this.#turn * 100,
      rowsOut: 380_000 + this.#turn * 100,
      rowsInPerSecond: 900 + this.#some(i, 90),
      rowsOutPerSecond: 880 + this.#some(i, 90),
      requestsInFlight: infer ? 12 : 0,
      rowsInFlight: infer ? 96 : 0,
      queuedBytes: i % 4 === 1 ? 90_000 : 0,
      queuedBatches: i % 4 === 1 ? 7 : 0,
    };
  }

  #edge(size: JobSize, i: number): told.EdgeDetail {
    // Some twigs, so that not all is one line.
    const from = i % 7 === 6 ? i - 2 : i;
    const exchange = ["chained", "forward", "rebalance", "hash"][i % 4]!;
    const full = exchange === "rebalance";
    return {
      from: this.#operatorName(size, from),
      to: this.#operatorName(size, i + 1),
      exchange,
      durable: exchange === "hash" && i > 2,
      channels: 4,
      queuedBytes: full ? 900_000 : 0,
      queuedBatches: full ? 12 : 0,
      creditBytes: 1_000_000,
    };
  }

  #regionName = (size: JobSize, i: number): string => `${size.prefix}region-${i}`;

  #region(size: JobSize, i: number): told.RegionDetail {
    const restarts = i === 1 ? 2 : 0;
    return {
      region: this.#regionName(size, i),
      phase: size.state === "FINISHED" ? "FINISHED" : size.state === "SUBMITTED" ? "OPENING" : "RUNNING",
      attempt: 1 + restarts,
      actors: Math.ceil(size.actors / size.regions),
      committed: size.checkpoints,
      checkpoints: range(size.checkpoints, (n) => ({
        number: size.checkpoints - n,
        state: n % 11 === 5 ? ("GIVEN_UP" as const) : ("COMMITTED" as const),
        reason: n % 11 === 5 ? "an actor ended" : "",
        triggeredMs: NOW_MS - n * 10_000 - 900 - ((i * 37) % 400),
        endedMs: NOW_MS - n * 10_000 - ((i * 13) % 500),
        durationMs: 400 + ((i * 37) % 400),
        bytes: 200_000 + ((n * i * 997) % 900_000),
        actors: Math.ceil(size.actors / size.regions),
        attempt: 1,
        unaligned: false,
        asked: n === 9,
      })),
      restarts: range(restarts, (n) => ({
        attempt: 1 + restarts - n,
        atMs: NOW_MS - 300_000 - n * 90_000,
        code: "MILL_HOST_LOST",
        message: "host host-2 has gone",
      })),
    };
  }

  #service(size: JobSize, i: number): told.ServiceDetail {
    const own = Math.ceil(size.instances / size.services);
    const service = `${size.prefix}service-${i}`;
    return {
      service,
      callers: [this.#operatorName(size, i + 1)],
      instancesWanted: own,
      counts: {
        service,
        ...{ calls: 50_000n, rows: 400_000n, duplicateCalls: 16n, repeatedRows: 0n, savedRows: 0n, retries: 3n },
        ...{ timeouts: 0n, fallbackRows: 0n, refusedRows: 1n },
      },
      instances: range(own, (n) => this.#instance(service, n, size)),
    };
  }

  #instance(service: string, n: number, { state }: JobSize): told.InstanceDetail {
    const ready = state === "RUNNING" && n !== 1;
    return {
      service,
      instance: `${service}-${n}`,
      worker: `worker-${n % 3}`,
      state: ready ? "READY" : state === "FAILED" ? "FAILED" : state === "FINISHED" ? "STOPPED" : "LOADING",
      sinceMs: NOW_MS - 600_000,
      code: state === "FAILED" ? "MILL_SERVICE_UNAVAILABLE" : "",
      message: ready ? "" : "412 of 800 MiB",
      queuedRows: ready ? Math.round(this.#some(n, 40)) : 0,
      runningRows: ready ? 8 : 0,
      requests: 3,
      calls: 5_000,
      rows: 40_000,
      errors: n === 2 ? 4 : 0,
      rowsPerSecond: ready ? 200 + this.#some(n, 50) : 0,
      rowMs: 6,
      callMsP50: ready ? 42 : 0,
      callMsP99: ready ? 96 : 0,
      batchRowsMean: 7.5,
      aside: n === 2 ? 1 : 0,
      probation: 0,
      gpus: [],
      memoryBytes: 312_000_000,
      cpuMs: 90_000,
      transitions: [],
    };
  }

  actors(size: JobSize): told.ActorDetail[] {
    return range(size.actors, (i) => ({
      actor: `${this.#operatorName(size, i % size.operators)}-${String(Math.floor(i / size.operators)).padStart(3, "0")}`,
      region: this.#regionName(size, i % size.regions),
      subtask: Math.floor(i / size.operators),
      attempt: 1,
      state: size.state === "FAILED" && i === 0 ? "FAILED" : "RUNNING",
      worker: `worker-${i % 3}`,
      host: `host-${i % 3}`,
      code: "",
      message: size.state === "FAILED" && i === 0 ? "no instance became ready" : "",
      busy: this.#some(i, 0.5),
      backPressured: this.#some(i + 1, 0.3),
      idle: 0.2,
      rowsRead: 400 + this.#turn,
      rowsWritten: 300 + this.#turn,
      rowsInFlight: 4,
      deadLetters: 0,
      rowsReadPerSecond: 3,
      rowsWrittenPerSecond: 3,
      queuedBytes: 4_096,
      queuedBatches: 1,
      operators: [],
    }));
  }

  samples(): told.JobSample[] {
    return range(360, (i) => ({
      atMs: NOW_MS - (360 - i) * 5_000 + this.#turn,
      rowsReadPerSecond: 900 + 90 * Math.sin(i / 9),
      rowsWrittenPerSecond: 880 + 90 * Math.sin(i / 9 - 1),
      rowsInFlight: 400 + 30 * Math.cos(i / 5),
      deadLetters: 3,
      queuedBytes: 90_000 + 9_000 * Math.sin(i / 3),
      instancesReady: 4,
      instanceRows: 90 + 9 * Math.sin(i),
      checkpointMs: 500 + 90 * Math.sin(i / 4),
      restarts: 2,
    }));
  }

  workers(): told.WorkerDetail[] {
    return range(3, (i) => ({
      worker: i === 2 ? `${LONG}worker` : `worker-${i}`,
      cpus: 16,
      memoryBytes: 64 * 2 ** 30,
      gpus:
        i === 0 ? [{ uuid: "GPU-8d2f6a11-77aa", kind: "H200", memoryBytes: 2 ** 37, promisedThousandths: 750 }] : [],
      draining: i === 1,
      heardMs: Date.now() - 1_000,
      memoryUsedBytes: 21 * 2 ** 30,
      cpusUsed: 6.4,
      processMemoryBytes: 90_000_000,
      processes: range(i === 1 ? 0 : 4, (n) => ({
        kind: n === 0 ? ("host" as const) : ("instance" as const),
        job: "captions",
        service: n === 0 ? "" : "service-0",
        name: n === 0 ? "host-0" : `service-0-${n}`,
        state: n === 0 ? "up" : "READY",
        memoryBytes: 312_000_000,
        cpuMs: 1_000,
      })),
    }));
  }

  events(): Record<string, unknown>[] {
    return range(60, (i) => ({
      event: `3-${60 - i}`,
      atMs: NOW_MS - i * 20_000,
      kind: i % 5 === 0 ? "region.restarted" : "instance.state",
      severity: i % 5 === 0 ? "warning" : i === 7 ? "error" : "info",
      job: "captions",
      about: i % 5 === 0 ? "region-1" : "service-0-1",
      code: i % 5 === 0 ? "MILL_HOST_LOST" : "",
      message: i % 5 === 0 ? "attempt 2: host host-2 has gone" : "service-0 READY",
    }));
  }

  next(): void {
    this.#turn += 1;
  }
}

function pageOf<T>(all: readonly T[], query: unknown): { readonly items: T[]; readonly next?: string } {
  const { limit = "100", after = "0" } = query as Record<string, string>;
  const [from, to] = [Number(after), Number(after) + Number(limit)];
  return { items: all.slice(from, to), ...(to < all.length ? { next: String(to) } : {}) };
}

export interface Stub {
  readonly url: string;
  close(): Promise<void>;
}

/** @throws when the page is not built: `npm run build` */
export async function serveMadeUp(madeUp: MadeUp): Promise<Stub> {
  const app = Fastify({ forceCloseConnections: true });
  app.addHook("preHandler", async (request, reply) => {
    const refused = madeUp.token !== "" && request.headers.authorization !== `Bearer ${madeUp.token}`;
    if (request.url.startsWith("/v1/") && refused)
      return reply.code(401).send({ code: "MILL_REQUEST_UNAUTHENTICATED", detail: "no access token was given." });
  });
  // Counts of 64 bits are numbers in JSON, as the real API has them.
  app.setReplySerializer((payload) =>
    JSON.stringify(payload, (_, value) => (typeof value === "bigint" ? Number(value) : value)),
  );
  const sizeOf = (request: { readonly params: unknown }) => {
    const { job } = request.params as { readonly job: string };
    return madeUp.jobs.find(({ name }) => name === job) ?? SMALL;
  };
  const missing = {
    code: "MILL_REQUEST_NOT_FOUND",
    detail: 'there is no job "absent". GET /v1/jobs has those that are.',
  };
  app.get("/v1/cluster", async () => ({ namespace: "default", version: "0.1.0", term: 3, workers: 3, jobs: {} }));
  app.get("/v1/jobs", async () => ({ items: madeUp.jobs.map((size) => madeUp.summary(size)) }));
  app.get("/v1/jobs/absent", async (_, reply) => reply.code(404).send(missing));
  app.get("/v1/jobs/:job", async (request) => {
    madeUp.next();
    const job = madeUp.detail(sizeOf(request));
    const { checkpoints } = request.query as { readonly checkpoints?: string };
    const most = checkpoints === undefined ? undefined : Number(checkpoints);
    return { ...job, regions: job.regions.map((one) => ({ ...one, checkpoints: one.checkpoints.slice(0, most) })) };
  });
  app.get("/v1/jobs/:job/regions", async (request) => pageOf(madeUp.detail(sizeOf(request)).regions, request.query));
  const wishes = { revision: 4, paused: false, stopping: false, services: [], retired: [], quarantined: [] };
  app.get("/v1/jobs/:job/wishes", async () => wishes);
  app.get("/v1/jobs/:job/samples", async () => ({ items: madeUp.samples() }));
  app.get("/v1/jobs/:job/savepoints", async () => ({ items: [] }));
  app.get("/v1/jobs/:job/dead-letters", async () => ({ items: [] }));
  app.get("/v1/jobs/:job/actors", async (request) => {
    madeUp.next();
    return pageOf(madeUp.actors(sizeOf(request)), request.query);
  });
  app.get("/v1/workers", async () => ({ items: madeUp.workers() }));
  app.get("/v1/events", async () => ({ items: madeUp.events() }));
  app.get("/v1/events/stream", (_, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": "text/event-stream" });
    reply.raw.write(": open\n\n");
  });
  app.all("/v1/*", async (_, reply) => reply.code(202).send(wishes));
  await servePages(app, join(packageRoot, "dist", "dashboard"));
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  return { url, close: () => app.close() };
}
