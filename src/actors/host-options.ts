/** What a host is made from. */
import type { HostId, JobId, Namespace } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { Plan } from "../plan/plan.js";
import type { OwnedContent } from "../storage/content-roots.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { ContentAccess, OutputFolder, Sink } from "../topology/endpoints.js";
import type { Topology } from "../topology/nodes.js";
import type { HostGpu } from "../wire/control.js";

export interface HostOptions {
  readonly bus: Bus;
  /** The job's: region logs, snapshots. */
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly host: HostId;
  readonly topology: Topology;
  readonly plan: Plan;
  readonly content: ContentAccess;
  /** Where that content is the job's own. Default: nowhere. */
  readonly owned?: OwnedContent;
  outputFor(url: string): OutputFolder;
  readonly deadLetterSink: Sink;
  /** Devices of its actors' operators. Default: none. */
  readonly gpus?: readonly HostGpu[];
}
