/** A whole job in this process: bus in memory, files for storage, service instances as children. */
import { id, type JobId, type Namespace, type WorkerId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import { MemoryBus } from "../bus/memory-bus.js";
import { clusterSubjects } from "../bus/subjects.js";
import { type CollectorOptions, ContentCollector, endedJob } from "../coordinator/content-collector.js";
import { Coordinator } from "../coordinator/coordinator.js";
import { jobKeys } from "../storage/keys.js";
import { MemoryStore } from "../storage/memory-store.js";
import type { ObjectStore } from "../storage/object-store.js";
import { openStore } from "../storage/open-store.js";
import { jobSpecFrame, submitJobFrame } from "../wire/control.js";
import { findResources } from "../worker/resources.js";
import { Worker } from "../worker/worker.js";
import { outputsAt } from "./content.js";
import { type HttpSettings, serveApi } from "./http-api.js";
import { JobHandle } from "./job-handle.js";
import { jobOutputs } from "./job-outputs.js";
import { embeddedLauncher } from "./launchers.js";
import type { LogLevel } from "./logging.js";
import { thisMachine } from "./machine.js";
import { outputUrl } from "./make-host.js";
import { machineUsed } from "./process-usage.js";
import type { Beginning } from "./savepoints.js";
import { cacheFolder, contentSettings, type S3Settings } from "./settings.js";
import { jobSpec, newJobId, type Submission } from "./submission.js";

/** Content that jobs keep, below the output root: published files refer to it when the job has long ended. */
const OWN_CONTENT = "millrace-content";

export interface EmbeddedOptions {
  readonly outputRoot: string;
  readonly s3: S3Settings;
  readonly ports: Ports;
  /** Of service instances. Default: silent. */
  readonly logLevel?: LogLevel;
  /** Where region logs and snapshots go. Default: this process's memory. */
  readonly store?: ObjectStore;
  /** Begin from a savepoint. */
  readonly beginning?: Beginning;
  /** Where the HTTP API listens. Default: nowhere. */
  readonly http?: HttpSettings;
}

/** Starts the job; its outputs have been checked. Close the handle when it has ended, or to stop it. */
export async function runEmbedded(submission: Submission, options: EmbeddedOptions): Promise<JobHandle> {
  const { ports, s3, outputRoot } = options;
  const namespace = id<Namespace>("namespace", "embedded");
  const bus = new MemoryBus(ports);
  const store = options.store ?? new MemoryStore();
  const job = newJobId(submission.topology.name, ports);
  const seeds = (await options.beginning?.write(job, store)) ?? [];
  const inputs = options.beginning?.inputs ?? {};
  const spec = jobSpec(submission, job, inputs, ports.clock.nowMs(), seeds);
  await store.put(jobKeys(job).spec, jobSpecFrame.encode(spec));

  const content = contentSettings(outputUrl(OWN_CONTENT, outputRoot), cacheFolder(process.env), process.env);
  const contents = openStore(content.store, { s3 }, ports);
  const outputAt = outputsAt(s3, true, ports);
  const coordinator = new Coordinator({ bus, store, ports, namespace, contents, outputAt });
  // Nobody could take another's where nobody asks for one, and asking the driver takes a second on some machines.
  const asksForGpus =
    spec.services.some(({ resources }) => resources.gpuThousandths > 0) ||
    spec.actors.some(({ gpus }) => gpus.length > 0);
  const worker = new Worker({
    bus,
    ports,
    namespace,
    worker: id<WorkerId>("worker", "local"),
    ...(await findResources(thisMachine(process.env), asksForGpus ? {} : { gpus: 0 }, ports.log)),
    used: machineUsed,
    launcher: embeddedLauncher({
      bus,
      store,
      ports,
      namespace,
      bundleFile: submission.bundleFile,
      load: { params: spec.params, parallelism: spec.parallelism, inputs, planHash: spec.planHash },
      assets: submission.assets,
      s3,
      outputRoot,
      content,
      logLevel: options.logLevel ?? "silent",
    }),
  });
  await coordinator.open();
  const api =
    options.http &&
    (await serveApi(options.http, {
      ...{ bus, store, ports, namespace, leader: () => coordinator },
      contents,
      outputs: jobOutputs({ s3, root: outputRoot, files: true, ports }),
    }));
  if (api !== undefined) process.stdout.write(`HTTP API and dashboard at ${api.url}\n`);
  await worker.open();
  await bus.request(clusterSubjects(namespace).coordinatorCommand, submitJobFrame.encode({ job }));
  return new JobHandle({
    bus,
    ports,
    namespace,
    job,
    unit: submission.topology.unit,
    async close() {
      await api?.close();
      await worker.close();
      await coordinator.close();
      await collectAll({ bus, store, contents, ports, namespace, outputAt, leads: async () => true }, job);
      await bus.close();
    },
  });
}

/** The job's content that no published file refers to: nobody is at work any more, so it goes at once, by way of the trash. */
async function collectAll(options: CollectorOptions, job: JobId): Promise<void> {
  try {
    const collector = new ContentCollector(options);
    for (let i = 0; i < 2; i++) await collector.collect(endedJob(job), { ageMsMin: Number.NEGATIVE_INFINITY });
  } catch (error) {
    options.ports.log.warn("what the job has left could not be collected", { job, error });
  }
}
