/** Builds a host for one job from its parts; both modes do it here. */
import { isAbsolute, resolve } from "node:path";
import { Host } from "../actors/host.js";
import type { HostOptions } from "../actors/host-options.js";
import { jsonl } from "../connectors/jsonl.js";
import { outputFolder } from "../connectors/output-folder.js";
import { OwnedContent } from "../storage/content-roots.js";
import { openStore } from "../storage/open-store.js";
import { openContent } from "./content.js";
import { portsOfJob } from "./job-telemetry.js";
import { type LoadOptions, loadTopology } from "./load-topology.js";
import type { ContentSettings, S3Settings } from "./settings.js";

export interface HostParts
  extends Pick<HostOptions, "bus" | "store" | "ports" | "namespace" | "job" | "host" | "gpus"> {
  readonly bundleFile: string;
  readonly load: LoadOptions;
  readonly s3: S3Settings;
  /** Where relative output folders are: a folder of this machine, or the cluster's store. */
  readonly outputRoot: string;
  readonly content: ContentSettings;
}

export async function makeHost(parts: HostParts): Promise<Host> {
  const { topology, plan } = await loadTopology(parts.bundleFile, parts.load);
  return new Host({
    ...parts,
    ports: portsOfJob(parts.ports, parts.job),
    topology,
    plan,
    content: openContent({ ...parts, settings: parts.content }),
    owned: new OwnedContent(openStore(parts.content.store, { s3: parts.s3 }, parts.ports), parts.job),
    deadLetterSink: jsonl(topology.deadLetters),
    outputFor: (url) => outputFolder(openStore(outputUrl(url, parts.outputRoot), { s3: parts.s3 }, parts.ports)),
  });
}

/** The place that a sink's `url` names: as it is, or under the root where it is relative. */
export function outputUrl(url: string, root: string): string {
  if (/^[a-z0-9]+:/.test(url)) return url;
  if (isAbsolute(url)) return url;
  return /^[a-z0-9]+:\/\//.test(root) ? `${root.replace(/\/$/, "")}/${url}` : resolve(root, url);
}
