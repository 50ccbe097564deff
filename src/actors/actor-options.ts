/** What an actor is made from. */
import type { ActorId, OperatorId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { JobSubjects } from "../bus/subjects.js";
import type { Plan, PlannedActor } from "../plan/plan.js";
import type { ServiceClient } from "../services/client.js";
import type { OwnedContent } from "../storage/content-roots.js";
import type { ContentAccess, OutputFolder, Sink } from "../topology/endpoints.js";
import type { Topology } from "../topology/nodes.js";
import type { HostGpu } from "../wire/control.js";
import type { ChannelReceiver, ChannelSender } from "./channel.js";

/** What an actor goes on from. */
export interface Restored {
  readonly checkpoint: bigint;
  readonly finished: boolean;
  /** A frame of kind `actor-snapshot`, in chunks. */
  readonly snapshot: readonly Uint8Array[];
}

/** What an actor would go on from. */
export interface Cut extends Restored {
  readonly actor: ActorId;
  /** It did not wait for every barrier. */
  readonly unaligned: boolean;
}

export interface ActorOptions {
  readonly plan: Plan;
  readonly topology: Topology;
  readonly actor: PlannedActor;
  readonly attempt: number;
  readonly restored: Restored | undefined;
  readonly bus: Bus;
  readonly subjects: JobSubjects;
  readonly ports: Ports;
  readonly content: ContentAccess;
  /** Absent: nothing that the job puts is its own. */
  readonly owned?: OwnedContent;
  /** An object of the job, `jobKeys(job).exchangeSeed(...)`. Absent: no exchange of the job has seeds. */
  seedFor?(operator: OperatorId, partition: number, number: bigint): Promise<Uint8Array>;
  outputFor(url: string): OutputFolder;
  readonly deadLetterSink: Sink;
  /** Devices of its host's operators. Default: none. */
  readonly gpus?: readonly HostGpu[];
  clientFor(service: string): ServiceClient;
  senderFor(channel: string): ChannelSender;
  receiverFor(channel: string): ChannelReceiver;
  /** Makes a cut durable and tells the coordinator of it. */
  acknowledge(cut: Cut): Promise<void>;
  /** Told after every change of `state` and `published`. */
  onChange(): void;
}
