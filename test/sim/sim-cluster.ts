/**
 * A whole cluster in one process: the real coordinator, workers, hosts and instances, each in a simulated process with its
 * own connection, store view and clock. How they are put together follows `src/cli` (commands, launchers, host-main,
 * instance-main); only the ports differ.
 */
import { Host } from "../../src/actors/host.js";
import {
  type HostId,
  type InstanceId,
  id,
  type JobId,
  type Namespace,
  type ServiceId,
  type WorkerId,
} from "../../src/base/ids.js";
import { beginFrom } from "../../src/cli/savepoints.js";
import { jobSpec, type Submission } from "../../src/cli/submission.js";
import { jsonl } from "../../src/connectors/jsonl.js";
import { outputFolder } from "../../src/connectors/output-folder.js";
import { Coordinator } from "../../src/coordinator/coordinator.js";
import { type HeldLease, Leadership } from "../../src/coordinator/leadership.js";
import { planTopology } from "../../src/plan/plan.js";
import { Instance } from "../../src/services/instance.js";
import { OwnedContent } from "../../src/storage/content-roots.js";
import { jobKeys } from "../../src/storage/keys.js";
import { type JobSpec, jobSpecFrame } from "../../src/wire/control.js";
import { type Launcher, Worker } from "../../src/worker/worker.js";
import { ActorCrashes } from "./actor-crashes.js";
import { startChild } from "./child.js";
import type { Faults } from "./faults.js";
import type { SharedStore } from "./shared-store.js";
import { SimBus } from "./sim-bus.js";
import type { SimWorld } from "./sim-clock.js";
import { simContent } from "./sim-content.js";
import type { SimNetwork } from "./sim-network.js";
import { type ProcessRole, SimProcess } from "./sim-process.js";
import type { SimRandom } from "./sim-random.js";
import { SimStore } from "./sim-store.js";
import type { Scenario, Turn } from "./topologies/scenario.js";

export const NAMESPACE = id<Namespace>("namespace", "sim");
export const JOB = id<JobId>("job", "job");

/** Which of a scenario's jobs it is: the first one, or one that goes on from its savepoint. */
export const turnOf = (job: string): Turn => (job === JOB ? 0 : 1);

export interface Node {
  readonly process: SimProcess;
  readonly bus: SimBus;
  readonly store: SimStore;
  /** Which machine it is on; machines fail as a whole. */
  readonly machine: string;
}

/** Part of the seeds: drawn apart, so that the others stay what they are. */
const WITH_STANDBY = 0.3;
const AS_PROGRAMS = 0.5;

export class SimCluster {
  /** Every process that was ever started, dead ones too. */
  readonly nodes: Node[] = [];
  #random: SimRandom;
  #started = 0;
  #restarts = 0;
  #skews: boolean;
  /** Two coordinators, of which one leads by a lease and the other stands by; else one, which takes its term at once. */
  readonly hasStandby: boolean;
  readonly actorCrashes: ActorCrashes;
  /** Silence of an instance is judged as that of a program, which reports whatever it does: pauses are longer than that. */
  #asPrograms: boolean;

  constructor(
    readonly world: SimWorld,
    readonly network: SimNetwork,
    readonly shared: SharedStore,
    readonly faults: Faults,
    readonly scenario: Scenario,
  ) {
    this.#random = world.random.fork("cluster");
    this.#skews = faults.isOn("clock-skew");
    this.hasStandby = world.random.fork("coordinators").chance(WITH_STANDBY);
    this.#asPrograms = world.random.fork("programs").chance(AS_PROGRAMS);
    this.actorCrashes = new ActorCrashes(world, () => faults.count("actor-crash"));
  }

  alive(role: ProcessRole): Node[] {
    return this.nodes.filter(({ process }) => process.role === role && !process.isDead);
  }

  /** Puts the job's input and what a submission would have stored. */
  async prepare(): Promise<void> {
    const submitter = this.#spawn("submitter", "client", "client");
    for (const [key, bytes] of this.scenario.inputs) await this.shared.put(key, bytes, submitter.process);
    const spec = this.#asSubmitted(jobSpec(this.#submission(submitter.process, 0), JOB, {}, 0));
    await this.shared.put(jobKeys(JOB).spec, spec, submitter.process);
    submitter.process.end("it has submitted");
  }

  /** What `submit --savepoint` does before the coordinator is asked. @returns a new job, also when it is called again */
  async prepareFrom(savepoint: string, { process, store }: Node): Promise<JobId> {
    this.#restarts += 1;
    const job = id<JobId>("job", `${JOB}-${this.#restarts}`);
    const submission = this.#submission(process, 1);
    const beginning = await beginFrom(savepoint, submission, store, false);
    const seeds = await beginning.write(job, store);
    await store.put(jobKeys(job).spec, this.#asSubmitted(jobSpec(submission, job, beginning.inputs, 0, seeds)));
    return job;
  }

  #asSubmitted(spec: JobSpec): Uint8Array {
    if (!this.#asPrograms) return jobSpecFrame.encode(spec);
    const services = spec.services.map((service) => {
      return { ...service, contract: JSON.stringify({ ...JSON.parse(service.contract), program: true }) };
    });
    return jobSpecFrame.encode({ ...spec, services });
  }

  startCoordinators(): void {
    this.startCoordinator();
    if (this.hasStandby) this.startCoordinator();
  }

  startCoordinator(): Node {
    const node = this.#spawn("coordinator", "coordinator", "machine-c");
    const { bus, store, process } = node;
    const { ports } = process;
    let deposed = false;
    const outputAt = (url: string) => new SimStore(process, this.shared, url.slice("sim:".length));
    const make = (onDeposed: (by?: bigint) => void, lease?: HeldLease) => {
      return new Coordinator({ bus, store, ports, namespace: NAMESPACE, outputAt, onDeposed, ...(lease && { lease }) });
    };
    process.later(0, "starts", () => {
      const one = this.hasStandby
        ? new Leadership({
            ...{ bus, ports, namespace: NAMESPACE, holder: process.name, http: "" },
            make: (lease, onDeposed) => make(onDeposed, lease),
          })
        : make(() => {
            deposed = true;
            process.end("another coordinator leads");
          });
      one.open().catch((error: unknown) => process.end(`it cannot begin: ${String(error)}`));
    });
    // Whoever runs it starts it again, also when it ended by itself, but not one that another has taken the place of.
    process.onEnd(() => {
      if (!deposed) this.#again(() => this.startCoordinator());
    });
    return node;
  }

  startWorker(machine: string): Node {
    const node = this.#spawn(`worker-${machine}`, "worker", machine);
    const { bus, process } = node;
    process.later(0, "starts", () => {
      const worker = new Worker({
        bus,
        ports: process.ports,
        namespace: NAMESPACE,
        // A worker that is started again is another worker.
        worker: id<WorkerId>("worker", process.name),
        cpus: 2,
        memoryBytes: 8_000_000_000,
        launcher: this.#launcher(node),
      });
      worker.open().catch((error: unknown) => process.end(`it cannot begin: ${String(error)}`));
    });
    process.onEnd(() => this.#again(() => this.startWorker(machine)));
    return node;
  }

  #again(start: () => unknown): void {
    this.world.schedule(undefined, this.#random.logBetween(50, 20_000), "is started again", start);
  }

  startClient(): Node {
    return this.#spawn("client", "client", "client");
  }

  #launcher(parent: Node): Launcher {
    return {
      startHost: async (job, host) => this.#startHost(parent, job, host),
      startInstance: async (job, service, instance) => this.#startInstance(parent, job, service, instance),
    };
  }

  #startHost(parent: Node, job: JobId, hostId: HostId) {
    const node = this.#spawn(hostId, "host", parent.machine);
    const { bus, process, store } = node;
    return startChild(parent.process, process, this.#bootMs(), async () => {
      const topology = this.scenario.build(process, turnOf(job));
      const host = new Host({
        bus,
        store,
        ports: process.ports,
        namespace: NAMESPACE,
        job,
        host: hostId,
        topology,
        plan: planTopology(topology),
        content: simContent(store, job, process.ports.clock),
        owned: new OwnedContent(store, job),
        deadLetterSink: jsonl(topology.deadLetters),
        outputFor: (url) => outputFolder(new SimStore(process, this.shared, url)),
      });
      await host.open();
      return async () => {
        await host.close();
        await bus.close();
      };
    });
  }

  #startInstance(parent: Node, job: JobId, serviceId: ServiceId, instanceId: InstanceId) {
    const { bus, process, store } = this.#spawn(instanceId, "instance", parent.machine);
    return startChild(parent.process, process, this.#bootMs(), async () => {
      const service = this.scenario
        .build(process, turnOf(job))
        .services.find((candidate) => candidate.id === serviceId)!;
      const instance = new Instance({
        bus,
        ports: process.ports,
        namespace: NAMESPACE,
        job,
        instance: instanceId,
        service,
        content: simContent(store, job, process.ports.clock),
        asset: (name) => name,
        env: () => undefined,
        openStore: async () => store,
        yieldToMessages: () => process.hop(0, "yields"),
        onHung: (error) => process.end(error.message),
      });
      await instance.start();
      return async () => {
        await instance.drain();
        await bus.close();
      };
    });
  }

  #spawn(name: string, role: ProcessRole, machine: string): Node {
    const process = new SimProcess(this.world, `${name}-${++this.#started}`, role);
    if (this.#skews) {
      process.skewMs = this.#random.between(-3_600_000, 3_600_000);
      this.faults.count("clock-skew");
    }
    const bus = new SimBus(process, this.network);
    const node = { process, bus, store: new SimStore(process, this.shared), machine };
    this.nodes.push(node);
    return node;
  }

  #bootMs(): number {
    return this.#random.logBetween(20, 2_000);
  }

  #submission(process: SimProcess, turn: Turn): Submission {
    const topology = this.scenario.build(process, turn);
    return {
      topology,
      plan: planTopology(topology),
      bundle: { code: new Uint8Array(), sha256: "", external: [] },
      bundleFile: "",
      assets: [],
      options: { params: {}, parallelism: 0, cache: "" },
    };
  }
}
