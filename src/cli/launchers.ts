/** The two ways a worker gets its hosts and instances: embedded, and as processes of a cluster. */
import type { HostId, InstanceId, JobId, Namespace, ServiceId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { serveLink } from "../bus/link-bus.js";
import { AssetCache } from "../storage/asset-cache.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Child, Exit, Launcher } from "../worker/worker.js";
import type { LocalAsset } from "./assets.js";
import { startChild } from "./child-process.js";
import type { HostConfig } from "./host-main.js";
import type { InstanceConfig } from "./instance-main.js";
import type { LoadOptions } from "./load-topology.js";
import type { LogLevel } from "./logging.js";
import { makeHost } from "./make-host.js";
import { type PreparedJob, prepareAssets, prepareJob } from "./prepare-job.js";
import { type ClusterSettings, type ContentSettings, contentSettings, type S3Settings } from "./settings.js";

/**
 * One process is started in each turn of the event loop: to start one takes milliseconds, and whoever wants hundreds at once would keep all else
 * of this process from being answered until the last.
 */
class Turns {
  #last: Promise<void> = Promise.resolve();

  next(): Promise<void> {
    this.#last = this.#last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.#last;
  }
}

export interface EmbeddedParts {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly bundleFile: string;
  readonly load: LoadOptions;
  readonly assets: readonly LocalAsset[];
  readonly s3: S3Settings;
  readonly outputRoot: string;
  readonly content: ContentSettings;
  /** Of its children. */
  readonly logLevel: LogLevel;
}

/** Hosts in this process, instances as its children, joined to its bus by a pipe each. */
export function embeddedLauncher(parts: EmbeddedParts): Launcher {
  const { bus, ports, namespace, bundleFile, load } = parts;
  const turns = new Turns();
  return {
    async startHost(job: JobId, id: HostId, _devices, gpus): Promise<Child> {
      const host = await makeHost({ ...parts, job, host: id, gpus });
      await host.open();
      let exit: (exit: Exit) => void = () => {};
      const exited = new Promise<Exit>((resolve) => {
        exit = resolve;
      });
      return { exited, stop: () => void host.close().finally(() => exit({ code: "", message: "" })) };
    },
    async startInstance(job: JobId, service: ServiceId, instance: InstanceId, devices): Promise<Child> {
      const own = parts.assets.filter((asset) => asset.service === service);
      const assets = Object.fromEntries(own.map(({ name, path }) => [name, path]));
      const config: InstanceConfig = {
        nats: undefined,
        namespace,
        job,
        service,
        instance,
        bundleFile,
        load,
        assets,
        store: undefined,
        content: { ...parts.content, s3: parts.s3 },
        logLevel: parts.logLevel,
      };
      const named = { job, service, instance };
      await turns.next();
      const child = startChild("instance-main", config, { link: true, log: ports.log, named, devices });
      serveLink(bus, child.link!, ports);
      return child;
    },
  };
}

/** Hosts and instances as processes with connections of their own. */
export function clusterLauncher(
  settings: ClusterSettings,
  store: ObjectStore,
  cache: string,
  ports: Ports,
  logLevel: LogLevel,
): Launcher {
  const { nats, s3, namespace } = settings;
  const assetCache = new AssetCache(`${cache}/assets`);
  const content = contentSettings(settings.store, cache, process.env);
  const jobs = new Map<JobId, Promise<PreparedJob>>();
  const turns = new Turns();
  const prepared = (job: JobId) => {
    let one = jobs.get(job);
    if (one === undefined) {
      one = prepareJob(job, store, cache);
      jobs.set(job, one);
      one.catch(() => jobs.delete(job)); // the next one tries again
    }
    return one;
  };
  return {
    async startHost(job, host, devices, gpus) {
      const { bundleFile, load } = await prepared(job);
      const outputRoot = settings.store;
      const where = { nats, s3, namespace, outputRoot, content, logLevel };
      const config: HostConfig = { ...where, job, host, gpus, bundleFile, load };
      await turns.next();
      return startChild("host-main", config, { link: false, log: ports.log, named: { job, host }, devices });
    },
    async startInstance(job, service, instance, devices) {
      const { spec, bundleFile, load } = await prepared(job);
      const assets = await prepareAssets(spec, service, store, assetCache);
      const jobStore = { url: settings.store, s3 };
      const config: InstanceConfig = {
        nats,
        namespace,
        job,
        service,
        instance,
        bundleFile,
        load,
        assets,
        store: jobStore,
        content: { ...content, s3 },
        logLevel,
      };
      const named = { job, service, instance };
      await turns.next();
      return startChild("instance-main", config, { link: false, log: ports.log, named, devices });
    },
  };
}
