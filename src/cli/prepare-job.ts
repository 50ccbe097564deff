/** What a process needs of a job before it can run a part of it: spec, bundle, models; all checked by their hashes. */
import type { JobId } from "../base/ids.js";
import type { AssetCache } from "../storage/asset-cache.js";
import { assetKey, bundleKey, jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type JobSpec, jobSpecFrame } from "../wire/control.js";
import { type LoadOptions, placeBundle } from "./load-topology.js";

export interface PreparedJob {
  readonly spec: JobSpec;
  readonly bundleFile: string;
  readonly load: LoadOptions;
}

export async function prepareJob(job: JobId, store: ObjectStore, cache: string): Promise<PreparedJob> {
  const spec = jobSpecFrame.decode(await store.get(jobKeys(job).spec)).header;
  const key = bundleKey(spec.bundle);
  const bundleFile = await placeBundle(await store.get(key), spec.bundle, `${store.url}/${key}`, cache);
  return { spec, bundleFile, load: loadOptions(spec) };
}

export function loadOptions(spec: JobSpec): LoadOptions {
  const { params, parallelism, inputs, planHash, bundle } = spec;
  return { params, parallelism, inputs, planHash, bundle };
}

/** Local path by name of every asset of the service, downloaded once per machine. */
export async function prepareAssets(
  spec: JobSpec,
  service: string,
  store: ObjectStore,
  assets: AssetCache,
): Promise<Record<string, string>> {
  const own = spec.assets.filter((asset) => asset.service === service);
  const paths = await Promise.all(own.map(({ sha256 }) => assets.file(sha256, () => store.stream(assetKey(sha256)))));
  return Object.fromEntries(own.map(({ name }, i) => [name, paths[i]!]));
}
