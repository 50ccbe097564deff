/**
 * What the coordinator tells of jobs and workers, for pages and listings: plain values that whoever serves them turns into JSON.
 *
 * Units: `...Ms` is milliseconds; a point in time is milliseconds since the Unix epoch, 0 where it has not come or is not known.
 * `...PerSecond`, and shares of time (0 to 1), are over the last seconds: two reports of the same actor are compared. Counts begin
 * anew with an attempt of a region, but those of sources, sinks and dead letters, which its checkpoints keep.
 *
 * There is no watermark: operators have none yet.
 */
import type { GpuShare, JobState, ServiceCounts } from "../wire/control.js";

export interface JobCounts {
  readonly actors: number;
  readonly actorsRunning: number;
  readonly regions: number;
  /** Attempts of all regions behind their first. */
  readonly restarts: number;
  /** Instances that services are to have, and those that take requests. */
  readonly instancesWanted: number;
  readonly instancesReady: number;
}

export interface JobSummary {
  readonly job: string;
  readonly topology: string;
  readonly state: JobState;
  /** Error code of a job that failed, or is about to; empty: none. */
  readonly code: string;
  /** What is wrong or waited for, for people; empty: nothing. */
  readonly message: string;
  readonly submittedMs: number;
  readonly startedMs: number;
  readonly finishedMs: number;
  /** Rows that the sources have announced so far; 0: not known. */
  readonly rowsTotal: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  /** Rows that `infer` operators have sent and not yet handed on. */
  readonly rowsInFlight: number;
  readonly deadLetters: number;
  readonly counts: JobCounts;
}

/** A job at one moment. */
export interface JobSample {
  readonly atMs: number;
  readonly rowsReadPerSecond: number;
  readonly rowsWrittenPerSecond: number;
  readonly rowsInFlight: number;
  readonly deadLetters: number;
  /** What waits on channels. */
  readonly queuedBytes: number;
  readonly instancesReady: number;
  /** What waits or is worked on at instances. */
  readonly instanceRows: number;
  /** Of the newest checkpoints of its regions, the longest. */
  readonly checkpointMs: number;
  readonly restarts: number;
}

/** All of a job but its actors (`ActorPlace`), of which there may be many. What nobody asks for of it is not put together. */
export interface JobDetail extends JobSummary {
  readonly planHash: string;
  /** SHA-256 of its code. */
  readonly bundle: string;
  readonly params: Readonly<Record<string, string>>;
  readonly parallelism: number;
  /** What one row of the sources is called. */
  readonly unit: string;
  /** 0: only the checkpoint at its end. */
  readonly checkpointIntervalMs: number;
  readonly rowsReadPerSecond: number;
  readonly rowsWrittenPerSecond: number;
  /** In the order of the topology. */
  readonly operators: readonly OperatorDetail[];
  /** Between operators: the graph. */
  readonly edges: readonly EdgeDetail[];
  readonly regions: readonly RegionDetail[];
  readonly services: readonly ServiceDetail[];
  readonly hosts: readonly HostDetail[];
}

/**
 * How the time of an operator or an actor was spent; the three are 1 together, or all 0 where nothing is known yet.
 * `busy`: it works; of `infer` also that its window is full, so that it waits for answers and takes nothing in. `backPressured`: it
 * waits until what it hands on is taken: by a channel, a log, or the operator chained to it. `idle`: it waits for input.
 */
export interface TimeShares {
  readonly busy: number;
  readonly backPressured: number;
  readonly idle: number;
}

/** What an operator does; of all its parallel instances together, or of one. */
export interface OperatorLoadDetail extends TimeShares {
  readonly operator: string;
  /** Rows that it was handed (of a source: none) and has handed on (of a sink: none). */
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly rowsInPerSecond: number;
  readonly rowsOutPerSecond: number;
  /** Requests that have no answer yet, and the rows that are held until they have. Of `infer` alone. */
  readonly requestsInFlight: number;
  readonly rowsInFlight: number;
  /** What has come on channels and waits to be taken. */
  readonly queuedBytes: number;
  readonly queuedBatches: number;
}

/** Shares are means over its parallel instances. */
export interface OperatorDetail extends OperatorLoadDetail {
  /** `source`, `map`, `infer`, `sink`, ... */
  readonly kind: string;
  readonly parallelism: number;
  /** Operators of one chain share an actor; its name is that of its first operator. Its actors are `<chain>-<subtask>`. */
  readonly chain: string;
  /** The service it calls; empty: none. */
  readonly service: string;
  /** Regions of its parallel instances. */
  readonly regions: readonly string[];
  /** Of the parallel instance that has the most: one slow one is what holds the others up. */
  readonly busyMax: number;
  readonly backPressuredMax: number;
}

export interface EdgeDetail {
  readonly from: string;
  readonly to: string;
  /** `chained`: by reference within an actor. `forward`: subtask i to i. `rebalance`: in turns. `hash`: by key. */
  readonly exchange: string;
  /** Over a log between two regions: nothing is known of how full it is. */
  readonly durable: boolean;
  /** Channels that have reported. */
  readonly channels: number;
  /** What has come and waits to be taken, over all of them. */
  readonly queuedBytes: number;
  readonly queuedBatches: number;
  /** What may be under way or wait on all of them together before their senders wait. */
  readonly creditBytes: number;
}

/** Enough to find an actor; all of it is put together when it is asked for. */
export interface ActorPlace {
  readonly actor: string;
  readonly region: string;
  /** Empty: none yet. */
  readonly worker: string;
  /** As in `ActorDetail`. */
  readonly state: string;
  detail(): ActorDetail;
}

export interface ActorDetail extends TimeShares {
  readonly actor: string;
  readonly region: string;
  readonly subtask: number;
  /** Of its region, from 1 on. */
  readonly attempt: number;
  /** `DEPLOYED`, `RUNNING`, `FINISHED` or `FAILED`; empty: not deployed, or it has not reported. */
  readonly state: string;
  /** Empty: none yet. */
  readonly worker: string;
  readonly host: string;
  readonly code: string;
  readonly message: string;
  /** Rows its sources have emitted, its sinks have taken, its `infer` operators hold; records its operators refused. */
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly rowsInFlight: number;
  readonly deadLetters: number;
  readonly rowsReadPerSecond: number;
  readonly rowsWrittenPerSecond: number;
  readonly queuedBytes: number;
  readonly queuedBatches: number;
  /** Empty: none has reported. */
  readonly operators: readonly OperatorLoadDetail[];
}

export interface RegionDetail {
  readonly region: string;
  /** OPENING, FENCING, PLACING, DEPLOYING, RUNNING or FINISHED. */
  readonly phase: string;
  readonly attempt: number;
  readonly actors: number;
  /** Number of its newest committed checkpoint; 0: none. */
  readonly committed: number;
  /** The one that is open now; absent: none is. */
  readonly open?: OpenCheckpointDetail;
  /** Those that ended, newest first: at most `limits.checkpointsListedMax`, since this coordinator leads. */
  readonly checkpoints: readonly CheckpointDetail[];
  /** Newest first: at most `limits.restartsListedMax`. */
  readonly restarts: readonly RestartDetail[];
}

export interface OpenCheckpointDetail {
  readonly number: number;
  readonly triggeredMs: number;
  /** Actors that have acknowledged it. */
  readonly acknowledged: number;
}

export interface CheckpointDetail {
  readonly number: number;
  readonly state: "COMMITTED" | "GIVEN_UP";
  /** Why it was given up; empty: it was not. */
  readonly reason: string;
  /** 0: an earlier leader did it. */
  readonly triggeredMs: number;
  readonly endedMs: number;
  /** From trigger to record; 0: not known. */
  readonly durationMs: number;
  /** Of all snapshots. */
  readonly bytes: number;
  readonly actors: number;
  readonly attempt: number;
  /** Some actor did not wait for a barrier: what was on its way is part of the snapshot. */
  readonly unaligned: boolean;
  /** It was asked for, by a savepoint, a pause or somebody; else its time had come. */
  readonly asked: boolean;
}

export interface RestartDetail {
  /** The attempt that began. */
  readonly attempt: number;
  readonly atMs: number;
  readonly code: string;
  readonly message: string;
}

export interface ServiceDetail {
  readonly service: string;
  /** Operators that call it. */
  readonly callers: readonly string[];
  readonly instancesWanted: number;
  /** What its clients have counted; absent: nobody has called it. */
  readonly counts?: ServiceCounts;
  readonly instances: readonly InstanceDetail[];
}

export interface InstanceDetail {
  readonly service: string;
  readonly instance: string;
  /** Empty: it fits nowhere yet, `message` says why. */
  readonly worker: string;
  /** REQUESTED, PROVISIONING, LOADING, WARMING, READY, DRAINING, STOPPED or FAILED. */
  readonly state: string;
  /** When it came into that state. */
  readonly sinceMs: number;
  readonly code: string;
  /** Why it is in that state; empty: nothing to say. */
  readonly message: string;
  readonly queuedRows: number;
  readonly runningRows: number;
  /** Requests that wait or run there. */
  readonly requests: number;
  /** Calls of its handler, their rows, and how many of them failed, since it began. */
  readonly calls: number;
  readonly rows: number;
  readonly errors: number;
  readonly rowsPerSecond: number;
  /** Smoothed service time of a row, milliseconds; 0: none measured. */
  readonly rowMs: number;
  /** Time of a call over the last minute or so, milliseconds, to about a tenth; 0: there was none. */
  readonly callMsP50: number;
  readonly callMsP99: number;
  /** Rows of a call, mean over the same time; 0: there was none. */
  readonly batchRowsMean: number;
  /** Hosts whose clients have put it aside because it fails more often than its peers, and those where it is on probation. */
  readonly aside: number;
  readonly probation: number;
  readonly gpus: readonly GpuShare[];
  /** Resident memory of its process, and processor time it has used; 0: not known. */
  readonly memoryBytes: number;
  readonly cpuMs: number;
  /** Every state that it has been in, in order. */
  readonly transitions: readonly TransitionDetail[];
}

export interface TransitionDetail {
  readonly state: string;
  readonly enteredMs: number;
  readonly code: string;
  readonly reason: string;
}

export interface HostDetail {
  readonly host: string;
  readonly worker: string;
  /** `asked`, `up` or `gone`. */
  readonly state: string;
  /** Why it has gone; empty: it has not. */
  readonly message: string;
  /** 0: never. */
  readonly heardMs: number;
  readonly actors: number;
  readonly gpus: readonly GpuShare[];
  /** Of its process, as of an instance. */
  readonly memoryBytes: number;
  readonly cpuMs: number;
}

export interface WorkerDetail {
  readonly worker: string;
  /** What it offers. */
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly gpus: readonly WorkerGpuDetail[];
  readonly draining: boolean;
  readonly heardMs: number;
  /** Of its machine: memory that is in use, and processors that are (1.5: one and a half); 0: not known. */
  readonly memoryUsedBytes: number;
  readonly cpusUsed: number;
  /** Of its own process. */
  readonly processMemoryBytes: number;
  /** What runs there, of all jobs. */
  readonly processes: readonly ProcessDetail[];
}

export interface WorkerGpuDetail {
  readonly uuid: string;
  readonly kind: string;
  readonly memoryBytes: number;
  /** Of 1,000, promised to hosts and instances. */
  readonly promisedThousandths: number;
}

export interface ProcessDetail {
  readonly kind: "host" | "instance";
  readonly job: string;
  /** Of an instance; empty: it is a host. */
  readonly service: string;
  readonly name: string;
  readonly state: string;
  readonly memoryBytes: number;
  readonly cpuMs: number;
}
