/**
 * Every subject, built in this one place. Each token was checked when its id was made (`base/ids.ts`).
 *
 *     mr.<namespace>.cluster.coordinator.command            requests to the coordinator: submit, describe, cancel
 *     mr.<namespace>.cluster.coordinator.report             heartbeats of workers and hosts
 *     mr.<namespace>.cluster.coordinator.api                HTTP requests that another coordinator has taken
 *     mr.<namespace>.cluster.events                         what has happened, for people
 *     mr.<namespace>.cluster.worker.<worker>.command        start and stop hosts and instances
 *     mr.<namespace>.<job>.host.<host>.command              deploy, start, commit, stop
 *     mr.<namespace>.<job>.splits.<operator>                readers ask a source's enumerator for splits
 *     mr.<namespace>.<job>.channel.<attempt>.<channel>.data      data frames, in order
 *     mr.<namespace>.<job>.channel.<attempt>.<channel>.control   end (and barriers): needs no credit
 *     mr.<namespace>.<job>.channel.<attempt>.<channel>.credit    from the receiver back to the sender
 *     mr.<namespace>.<job>.service.<service>.load           load reports of every instance
 *     mr.<namespace>.<job>.service.<service>.orders         the coordinator to all clients: which instances get no requests
 *     mr.<namespace>.<job>.service.<service>.held           requests that each instance holds
 *     mr.<namespace>.<job>.service.<service>.ask            clients to all instances: what do you hold, what may you forget
 *     mr.<namespace>.<job>.service.<service>.instance.<instance>.request    requests to one instance, and that they are cancelled
 *     mr.<namespace>.<job>.answer.<client>                  answers to one client
 *
 * A log has no dots in its name, so it is not below the root:
 *
 *     <job>-<operator>-<partition>-<hash>                   a partition of a durable exchange, by the operator that reads it
 *
 * A job's id is never `cluster`, so jobs and cluster do not meet.
 */
import { createHash } from "node:crypto";
import type { ChannelId, HostId, InstanceId, JobId, Namespace, OperatorId, ServiceId, WorkerId } from "../base/ids.js";

export interface ChannelSubjects {
  readonly data: string;
  readonly control: string;
  readonly credit: string;
}

export interface ClusterSubjects {
  readonly coordinatorCommand: string;
  readonly coordinatorReport: string;
  readonly coordinatorApi: string;
  readonly events: string;
  workerCommand(worker: WorkerId): string;
}

export interface JobSubjects {
  hostCommand(host: HostId): string;
  splits(operator: OperatorId): string;
  channel(channel: ChannelId, attempt: number): ChannelSubjects;
  load(service: ServiceId): string;
  orders(service: ServiceId): string;
  held(service: ServiceId): string;
  ask(service: ServiceId): string;
  instanceRequest(service: ServiceId, instance: InstanceId): string;
  answer(client: string): string;
  /** Name of a log. */
  exchangeLog(operator: OperatorId, partition: number): string;
}

/** A log's name has at most 128 characters. */
const LOG_PART_CHARS_MAX = 48;
const LOG_HASH_CHARS = 12;

export function clusterSubjects(namespace: Namespace): ClusterSubjects {
  const root = `mr.${namespace}.cluster`;
  return {
    coordinatorCommand: `${root}.coordinator.command`,
    coordinatorReport: `${root}.coordinator.report`,
    coordinatorApi: `${root}.coordinator.api`,
    events: `${root}.events`,
    workerCommand: (worker) => `${root}.worker.${worker}.command`,
  };
}

export function jobSubjects(namespace: Namespace, job: JobId): JobSubjects {
  const root = `mr.${namespace}.${job}`;
  return {
    hostCommand: (host) => `${root}.host.${host}.command`,
    splits: (operator) => `${root}.splits.${operator}`,
    channel(channel, attempt) {
      const at = `${root}.channel.${attempt}.${channel}`;
      return { data: `${at}.data`, control: `${at}.control`, credit: `${at}.credit` };
    },
    load: (service) => `${root}.service.${service}.load`,
    orders: (service) => `${root}.service.${service}.orders`,
    held: (service) => `${root}.service.${service}.held`,
    ask: (service) => `${root}.service.${service}.ask`,
    instanceRequest: (service, instance) => `${root}.service.${service}.instance.${instance}.request`,
    answer: (client) => `${root}.answer.${client}`,
    exchangeLog(operator, partition) {
      // Names may hold dashes and be long: the hash tells all of them apart, the rest is for people.
      const whole = [namespace, job, operator, partition];
      const hash = createHash("sha256").update(JSON.stringify(whole)).digest("hex").slice(0, LOG_HASH_CHARS);
      return `${job.slice(0, LOG_PART_CHARS_MAX)}-${operator.slice(0, LOG_PART_CHARS_MAX)}-${partition}-${hash}`;
    },
  };
}
