/** Makes jobs of what was sent to the HTTP API. What it comes to is found out in a process of its own (`plan-child.ts`). */
import { createHash } from "node:crypto";
import type { AskedOnce } from "../api/idempotency.js";
import type { JobRequest, SentAsset, Submissions } from "../api/submissions.js";
import { MillraceError } from "../base/errors.js";
import { id, type JobId, type Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { assetKey, bundleKey, jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type JobSpec, jobSpecFrame } from "../wire/control.js";
import { beginJob, putOnce } from "./begin-job.js";
import { checkBundle } from "./bundle.js";
import { type OutputPlace, withOutputs } from "./outputs.js";
import { type Planner, type PlanRequest, withPlanner } from "./plan-child.js";
import type { Planned } from "./plan-messages.js";
import type { S3Settings } from "./settings.js";
import { jobIdOf } from "./submission.js";

export interface SubmissionsOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly s3: S3Settings;
}

/** What it comes to, and who said so; the bundle, where it was made of source. */
interface Sent {
  readonly planned: Planned;
  readonly planner: Planner;
  readonly made: Uint8Array | undefined;
}

/** Digits of a hash in the id of a job that was asked for with a key. */
const KEY_DIGITS = 12;

export class ApiSubmissions implements Submissions {
  #planning = 0;

  constructor(private readonly options: SubmissionsOptions) {}

  plan(request: JobRequest) {
    return this.#planned(request, async ({ plan, text }) => ({ plan: JSON.parse(plan) as object, text }));
  }

  submit(request: JobRequest, once: AskedOnce | undefined): Promise<JobId> {
    const { store, ports, s3 } = this.options;
    return this.#planned(request, async (planned, planner, made) => {
      const atMs = once?.atMs ?? ports.clock.nowMs();
      const job = jobIdOf(checked(planned.spec).topology, atMs, once?.hash.slice(0, KEY_DIGITS) ?? ports.random.id(4));
      if (once !== undefined && (await this.#isThere(job))) return job;
      await this.#checkAssets(planned, request.assets);
      const outputs = { overwrite: request.overwrite, s3, ports };
      await withOutputs(checkedPlaces(planned.outputs, store.url), outputs, () =>
        this.#begin(job, atMs, request, { planned, planner, made }),
      );
      return job;
    });
  }

  async #begin(job: JobId, atMs: number, request: JobRequest, { planned, planner, made }: Sent): Promise<void> {
    const { bus, store, namespace } = this.options;
    const bundle = request.bundle ?? (await this.#putBundle(made));
    const seeds = request.savepoint === undefined ? [] : await planner.begin(job);
    const spec = encoded({
      ...planned.spec,
      ...{ job, bundle, params: request.params, parallelism: request.parallelism, seeds },
      inputs: { ...planned.inputs, ...request.inputs },
      assets: request.assets.map((asset) => ({ ...asset, sizeBytes: BigInt(asset.sizeBytes) })),
      submittedMs: BigInt(Math.round(atMs)),
    });
    await store.put(jobKeys(job).spec, spec);
    if (await beginJob(bus, namespace, job)) return;
    throw new MillraceError("MILL_NO_LEADER", "no coordinator leads at the moment. Submit it again in some seconds.");
  }

  /** It runs, or has ended; one that was only written goes on. */
  async #isThere(job: JobId): Promise<boolean> {
    const { store } = this.options;
    const { open, report } = jobKeys(job);
    return (await store.head(open)) !== undefined || (await store.head(report)) !== undefined;
  }

  async #planned<T>(request: JobRequest, act: Parameters<typeof withPlanner<T>>[2]): Promise<T> {
    if (this.#planning >= limits.planAtOnceMax) {
      const message = `${this.#planning} submissions are being planned here at the moment. Send it again in some seconds.`;
      throw new MillraceError("MILL_REQUEST_TOO_MANY", message);
    }
    this.#planning++;
    try {
      const { params, parallelism, inputs, savepoint, allowUnmatched } = request;
      const task = { code: await this.#codeOf(request), params, parallelism, inputs, savepoint, allowUnmatched };
      return await withPlanner(task, this.options.store, act);
    } finally {
      this.#planning--;
    }
  }

  async #codeOf({ bundle, topology }: JobRequest): Promise<PlanRequest["code"]> {
    if (bundle === undefined) return { topology: topology ?? "" };
    const { store } = this.options;
    const found = await store.head(bundleKey(bundle));
    if (found === undefined)
      throw new MillraceError("MILL_REQUEST_NOT_FOUND", `there is no bundle ${bundle}. Upload it first.`);
    if (found.sizeBytes > limits.apiBundleBytesMax)
      throw new MillraceError("MILL_REQUEST_TOO_LARGE", `the bundle is larger than ${limits.apiBundleBytesMax} bytes.`);
    const code = await store.get(bundleKey(bundle));
    checkBundle(code, bundle, `${store.url}/${bundleKey(bundle)}`);
    return { bundle: code, sha256: bundle };
  }

  async #putBundle(code: Uint8Array | undefined): Promise<string> {
    if (!(code instanceof Uint8Array) || code.length > limits.apiBundleBytesMax) throw unfit("its bundle is too large");
    const sha256 = createHash("sha256").update(code).digest("hex");
    checkBundle(code, sha256, "the planner");
    await putOnce(this.options.store, bundleKey(sha256), () => code);
    return sha256;
  }

  /** Every one that a handler declares was named and uploaded, and no other. */
  async #checkAssets({ assets: declared }: Planned, sent: readonly SentAsset[]): Promise<void> {
    const nameOf = ({ service, name, source }: Omit<SentAsset, "sha256" | "sizeBytes">) =>
      JSON.stringify([service, name, source]);
    const names = new Set(sent.map(nameOf));
    const missing = declared.find((one) => !names.has(nameOf(one)));
    if (missing !== undefined) {
      const message = `service "${missing.service}" declares the asset "${missing.name}" (${missing.source}), which the request does not name. Upload it, and name it in assets.`;
      throw new MillraceError("MILL_MODEL_MISSING", message);
    }
    const known = new Set(declared.map(nameOf));
    for (const one of sent) {
      if (!known.has(nameOf(one)))
        throw new MillraceError("MILL_CONFIG", `no handler of service "${one.service}" declares "${one.name}".`);
      const found = await this.options.store.head(assetKey(one.sha256));
      if (found?.sizeBytes === one.sizeBytes) continue;
      const what = found === undefined ? "was not uploaded" : `has ${found.sizeBytes} bytes, and not ${one.sizeBytes}`;
      throw new MillraceError("MILL_MODEL_MISSING", `the asset ${one.sha256} ${what}. Upload it first.`);
    }
  }
}

/** What becomes a subject, a key or the name of a process is a name. */
function checked(spec: JobSpec): JobSpec {
  try {
    id("topology", spec.topology);
    for (const { actor, region } of spec.actors) for (const name of [actor, region]) id("actor", name);
    for (const { service } of spec.services) id("service", service);
    for (const source of spec.sources) id("source", source);
    for (const { operator } of [...spec.operators, ...spec.exchanges]) id("operator", operator);
    return spec;
  } catch (cause) {
    throw unfit("it has a name that is none", cause);
  }
}

function encoded(spec: JobSpec): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = jobSpecFrame.encode(spec);
  } catch (cause) {
    throw unfit("it is no plan", cause);
  }
  if (bytes.length > limits.planSpecBytesMax) throw unfit(`its plan has more than ${limits.planSpecBytesMax} bytes`);
  return bytes;
}

/** A folder is on one machine, and it would be this one's. */
function checkedPlaces(places: readonly OutputPlace[], store: string): readonly OutputPlace[] {
  const far = places.find(({ url }) => !url.startsWith("s3://") && !url.startsWith(`${store}/`));
  if (far === undefined) return places;
  const message = `operator "${far.operator}": its output ${far.url} is a folder of one machine. Give an s3:// place, or a relative one: that is below ${store}.`;
  throw new MillraceError("MILL_SINK_UNWRITABLE", message);
}

function unfit(why: string, cause?: unknown): MillraceError {
  return new MillraceError("MILL_TOPOLOGY_LOAD", `the topology cannot be submitted: ${why}.`, {}, { cause });
}
