/**
 * Clients of the services of running jobs, for callers from outside: the same client as the `infer` operator has, so batching, balancing,
 * retries, limits and quarantine are those of the stream. Any coordinator process has its own; nothing goes over the one that leads.
 */
import { MillraceError } from "../base/errors.js";
import { id, type JobId, type Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { ServiceClient } from "../services/client.js";
import { serviceFrom } from "../services/declared-service.js";
import { jobKeys, openJobs } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Service } from "../topology/service.js";
import { jobSpecFrame } from "../wire/control.js";

export interface PoolOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
}

/** A service of a job that runs. */
export interface OpenService {
  /** `<job>.<service>` */
  readonly name: string;
  readonly job: JobId;
  readonly service: Service;
}

interface Caller {
  readonly client: ServiceClient;
  readonly opened: Promise<void>;
  idle: Timer | undefined;
  calls: number;
}

export class ServicePool {
  /** By job: they do not change while it runs. */
  #jobs = new Map<string, readonly OpenService[]>();
  #listedMs = Number.NEGATIVE_INFINITY;
  #listing: Promise<void> | undefined;
  #callers = new Map<string, Caller>();

  constructor(private readonly options: PoolOptions) {}

  /** Every service of every job that runs. */
  async all(): Promise<readonly OpenService[]> {
    const { clock } = this.options.ports;
    if (clock.monotonicMs() - this.#listedMs > limits.endpointJobsMs) {
      this.#listing ??= this.#list().finally(() => {
        this.#listing = undefined;
      });
      await this.#listing;
    }
    return [...this.#jobs.values()].flat();
  }

  /** @param name `<job>.<service>`, or the service alone where one job has it @throws {MillraceError} `MILL_REQUEST_NOT_FOUND`, `MILL_REQUEST_CONFLICT` */
  async find(name: string): Promise<OpenService> {
    const all = await this.all();
    const found = all.filter((one) => one.name === name || one.service.id === name);
    if (found.length === 1) return found[0]!;
    if (found.length === 0) {
      const known =
        all.length === 0 ? "No job that has one runs." : `There are: ${all.map((one) => one.name).join(", ")}.`;
      throw new MillraceError("MILL_REQUEST_NOT_FOUND", `there is no service "${name}". ${known}`);
    }
    const names = found.map((one) => one.name).join(", ");
    throw new MillraceError("MILL_REQUEST_CONFLICT", `several jobs have a service "${name}". Say which: ${names}.`);
  }

  /** Whether an instance takes requests now. */
  async isReady(open: OpenService): Promise<boolean> {
    const caller = this.#callerFor(open);
    await caller.opened;
    await this.#heard(caller.client);
    return caller.client.readyCount() > 0;
  }

  /** @throws {MillraceError} `MILL_ENDPOINT_BUSY`: no instance is ready, or too many requests are under way here; and what `work` throws */
  async use<T>(open: OpenService, work: (client: ServiceClient) => Promise<T>): Promise<T> {
    const underWay = [...this.#callers.values()].reduce((sum, { calls }) => sum + calls, 0);
    if (underWay >= limits.endpointCallsMax) {
      const message = `${underWay} requests to services are under way in this coordinator, which is the most it takes. Ask again, or another one.`;
      throw new MillraceError("MILL_REQUEST_TOO_MANY", message);
    }
    const caller = this.#callerFor(open);
    caller.calls++;
    try {
      await caller.opened;
      await this.#heard(caller.client);
      if (caller.client.readyCount() === 0)
        throw new MillraceError(
          "MILL_ENDPOINT_BUSY",
          `no instance of ${open.name} is ready. Ask again, or scale it up.`,
        );
      return await work(caller.client);
    } finally {
      caller.calls--;
    }
  }

  close(): void {
    for (const name of [...this.#callers.keys()]) this.#close(name, "this coordinator ends");
  }

  async #list(): Promise<void> {
    const { store, ports } = this.options;
    const jobs = new Set<string>();
    for await (const { key } of store.list(openJobs)) jobs.add(key.slice(openJobs.length));
    for (const job of this.#jobs.keys()) {
      if (jobs.has(job)) continue;
      this.#jobs.delete(job);
      for (const [name] of this.#callers) if (name.startsWith(`${job}.`)) this.#close(name, `job ${job} has ended`);
    }
    for (const job of jobs) if (!this.#jobs.has(job)) this.#jobs.set(job, await this.#read(id<JobId>("job", job)));
    this.#listedMs = ports.clock.monotonicMs();
  }

  async #read(job: JobId): Promise<readonly OpenService[]> {
    const spec = jobSpecFrame.decode(await this.options.store.get(jobKeys(job).spec)).header;
    return spec.services.flatMap((one) => {
      const service = serviceFrom(one);
      return service === undefined ? [] : [{ name: `${job}.${service.id}`, job, service }];
    });
  }

  #callerFor({ name, job, service }: OpenService): Caller {
    const { bus, ports, namespace } = this.options;
    let caller = this.#callers.get(name);
    if (caller === undefined) {
      const who = `endpoint-${ports.random.id(8)}-${service.id}`;
      const client = new ServiceClient({ bus, ports, namespace, job, attempt: 1, client: who, service });
      caller = { client, opened: client.open(), idle: undefined, calls: 0 };
      this.#callers.set(name, caller);
    }
    caller.idle?.cancel();
    caller.idle = ports.clock.after(limits.endpointIdleMs, () => this.#close(name, "nobody has called it for long"));
    return caller;
  }

  #close(name: string, why: string): void {
    const caller = this.#callers.get(name);
    this.#callers.delete(name);
    caller?.idle?.cancel();
    caller?.client.fail(new MillraceError("MILL_SERVICE_LOST", `${name}: ${why}.`));
    caller?.client.close();
  }

  /** Instances answer a new client within a moment; who hears of none waits that long. */
  async #heard(client: ServiceClient): Promise<void> {
    const { clock } = this.options.ports;
    const untilMs = clock.monotonicMs() + limits.endpointHearMs;
    while (client.readyCount() === 0 && clock.monotonicMs() < untilMs) await clock.sleep(20);
  }
}
