/** Jobs, as `coordinator/describe.ts` tells of them. That both say the same is checked by the compiler, below. */
import Type from "typebox";
import type * as told from "../../coordinator/describe.js";
import { Count, List, Long, OneOf, Quantity, Share, Text, TimeMs } from "./basics.js";

export const JOB_STATES = [
  ...["SUBMITTED", "DEPLOYING", "RUNNING", "COMMITTING", "FINISHED", "FAILING", "FAILED", "CANCELLED"],
] as const;
const JobStateSchema = Type.Unsafe<told.JobSummary["state"]>(OneOf(JOB_STATES, "Where the job is in its life."));

const timeShares = {
  busy: Share("Share of time at work; of `infer` also waiting for answers with a full window."),
  backPressured: Share("Share of time waiting until what is handed on is taken."),
  idle: Share("Share of time waiting for input."),
};

const Counts = Type.Object({
  actors: Count("Actors."),
  actorsRunning: Count("Those that run."),
  regions: Count("Regions."),
  restarts: Count("Attempts of all regions behind their first."),
  instancesWanted: Count("Instances that its services are to have."),
  instancesReady: Count("Those that take requests."),
});

const summary = {
  job: Text("Its id."),
  topology: Text("Name of the topology."),
  state: JobStateSchema,
  code: Text("Error code of a job that failed, or is about to."),
  message: Text("What is wrong or waited for."),
  submittedMs: TimeMs("When it was submitted."),
  startedMs: TimeMs("When its first actor started."),
  finishedMs: TimeMs("When it ended."),
  rowsTotal: Count("Rows that the sources have announced so far; 0: not known."),
  rowsRead: Count("Rows that the sources have emitted."),
  rowsWritten: Count("Rows that the sinks have taken."),
  rowsInFlight: Count("Rows that `infer` operators have sent and not yet handed on."),
  deadLetters: Count("Records that operators refused."),
  counts: Counts,
};
export const JobSummary = Type.Object(summary, { title: "JobSummary" });

const operatorLoad = {
  ...timeShares,
  operator: Text("Its id."),
  rowsIn: Count("Rows that it was handed."),
  rowsOut: Count("Rows that it has handed on."),
  rowsInPerSecond: Quantity("Over the last seconds."),
  rowsOutPerSecond: Quantity("Over the last seconds."),
  requestsInFlight: Count("Requests that have no answer yet."),
  rowsInFlight: Count("Rows that are held until they have."),
  queuedBytes: Count("What has come on channels and waits to be taken."),
  queuedBatches: Count("The same in batches."),
};
const OperatorLoad = Type.Object(operatorLoad);

export const OperatorDetail = Type.Object(
  {
    ...operatorLoad,
    kind: Text("`source`, `map`, `infer`, `sink`, ..."),
    parallelism: Count("Its parallel instances."),
    chain: Text("First operator of its chain; its actors are `<chain>-<subtask>`."),
    service: Text("The service that it calls."),
    regions: List(Type.String(), "Regions of its parallel instances."),
    busyMax: Share("Of the parallel instance that has the most."),
    backPressuredMax: Share("Of the parallel instance that has the most."),
  },
  { title: "Operator" },
);

export const EdgeDetail = Type.Object(
  {
    from: Text("Operator."),
    to: Text("Operator."),
    exchange: Text("`chained`, `forward`, `rebalance` or `hash`."),
    durable: Type.Boolean({ description: "Over a log between two regions." }),
    channels: Count("Channels that have reported."),
    queuedBytes: Count("What has come and waits to be taken, over all of them."),
    queuedBatches: Count("The same in batches."),
    creditBytes: Count("What may be under way or wait before senders wait."),
  },
  { title: "Edge" },
);

export const ActorDetail = Type.Object(
  {
    ...timeShares,
    actor: Text("Its id."),
    region: Text("Its region."),
    subtask: Count("Which of its operators' parallel instances it is, from 0 on."),
    attempt: Count("Of its region, from 1 on."),
    state: Text("`DEPLOYED`, `RUNNING`, `FINISHED` or `FAILED`; empty: not deployed, or it has not reported."),
    worker: Text("Where it is."),
    host: Text("The process that holds it."),
    code: Text("Error code of one that failed."),
    message: Text("What failed."),
    rowsRead: Count("Rows that its sources have emitted."),
    rowsWritten: Count("Rows that its sinks have taken."),
    rowsInFlight: Count("Rows that its `infer` operators hold."),
    deadLetters: Count("Records that its operators refused."),
    rowsReadPerSecond: Quantity("Over the last seconds."),
    rowsWrittenPerSecond: Quantity("Over the last seconds."),
    queuedBytes: Count("What has come on channels and waits to be taken."),
    queuedBatches: Count("The same in batches."),
    operators: List(OperatorLoad),
  },
  { title: "Actor" },
);

export const CHECKPOINT_STATES = ["COMMITTED", "GIVEN_UP"] as const;
export const CheckpointDetail = Type.Object(
  {
    number: Count("Number within its region."),
    state: OneOf(CHECKPOINT_STATES, "How it ended."),
    reason: Text("Why it was given up."),
    triggeredMs: TimeMs("When it was triggered."),
    endedMs: TimeMs("When it ended."),
    durationMs: Quantity("From trigger to record; 0: not known."),
    bytes: Count("Of all snapshots."),
    actors: Count("Actors in it."),
    attempt: Count("Of its region."),
    unaligned: Type.Boolean({ description: "What was on its way is part of a snapshot." }),
    asked: Type.Boolean({
      description: "It was asked for, by a savepoint, a pause or somebody; else its time had come.",
    }),
  },
  { title: "Checkpoint" },
);

const OpenCheckpoint = Type.Object({
  number: Count("Number within its region."),
  triggeredMs: TimeMs("When it was triggered."),
  acknowledged: Count("Actors that have acknowledged it."),
});

const Restart = Type.Object({
  attempt: Count("The attempt that began."),
  atMs: TimeMs("When."),
  code: Text("Error code of what it followed."),
  message: Text("Why."),
});

export const RegionDetail = Type.Object(
  {
    region: Text("Its id."),
    phase: Text("OPENING, FENCING, PLACING, DEPLOYING, RUNNING or FINISHED."),
    attempt: Count("From 1 on; grows with every restart."),
    actors: Count("Its actors."),
    committed: Count("Number of its newest committed checkpoint; 0: none."),
    open: Type.Optional(OpenCheckpoint),
    checkpoints: List(CheckpointDetail, "Those that ended, newest first; since this leader began."),
    restarts: List(Restart, "Newest first."),
  },
  { title: "Region" },
);

const ServiceCounts = Type.Object({
  calls: Long("Requests that were sent to instances, every try counted."),
  rows: Long("Rows that were answered, refused ones included."),
  duplicateCalls: Long("Rows that were sent again after work on them may have begun."),
  repeatedRows: Long("Rows that were answered without a call."),
  savedRows: Long("Rows whose answers were found in the store."),
  retries: Long("Requests that failed and were tried again."),
  timeouts: Long("Tries over timeoutMs, requests over deadlineMs."),
  fallbackRows: Long("Rows that were handed to the fallback."),
  refusedRows: Long("Rows that nobody could answer."),
});

const GpuShare = Type.Object({
  uuid: Text("Name of the device."),
  thousandths: Count("How much of it, of 1,000."),
  memoryBytes: Long("How much of its memory; 0: not counted."),
});

const Transition = Type.Object({
  state: Text("A state."),
  enteredMs: TimeMs("When it came into it."),
  code: Text("Error code of FAILED."),
  reason: Text("Why."),
});

export const InstanceDetail = Type.Object(
  {
    service: Text("Its service."),
    instance: Text("Its id."),
    worker: Text("Where it is; empty: it fits nowhere yet, `message` says why."),
    state: Text("REQUESTED, PROVISIONING, LOADING, WARMING, READY, DRAINING, STOPPED or FAILED."),
    sinceMs: TimeMs("When it came into that state."),
    code: Text("Error code of FAILED."),
    message: Text("Why it is in that state."),
    queuedRows: Count("Rows that wait there."),
    runningRows: Count("Rows being worked on."),
    requests: Count("Requests that wait or run there."),
    calls: Count("Calls of its handler since it began."),
    rows: Count("Their rows."),
    errors: Count("Those that failed."),
    rowsPerSecond: Quantity("Over the last seconds."),
    rowMs: Quantity("Smoothed service time of a row; 0: none measured."),
    callMsP50: Quantity("Median time of a call over the last minute or so; 0: there was none."),
    callMsP99: Quantity("99th percentile of the same."),
    batchRowsMean: Quantity("Rows of a call, mean over the same time."),
    aside: Count("Hosts whose clients have put it aside because it fails more often than its peers."),
    probation: Count("Hosts where it is on probation."),
    gpus: List(GpuShare),
    memoryBytes: Count("Resident memory of its process; 0: not known."),
    cpuMs: Quantity("Processor time that it has used; 0: not known."),
    transitions: List(Transition, "Every state that it has been in, in order."),
  },
  { title: "Instance" },
);

export const ServiceDetail = Type.Object(
  {
    service: Text("Its id."),
    callers: List(Type.String(), "Operators that call it."),
    instancesWanted: Count("Instances that it is to have."),
    counts: Type.Optional(ServiceCounts),
    instances: List(InstanceDetail),
  },
  { title: "Service" },
);

const HostDetail = Type.Object(
  {
    host: Text("Its id."),
    worker: Text("Where it is."),
    state: Text("`asked`, `up` or `gone`."),
    message: Text("Why it has gone."),
    heardMs: TimeMs("When it was heard of last."),
    actors: Count("Actors that it holds."),
    gpus: List(GpuShare),
    memoryBytes: Count("Resident memory; 0: not known."),
    cpuMs: Quantity("Processor time that it has used; 0: not known."),
  },
  { title: "Host" },
);

/** Without its actors: those are a list of their own. */
export const JobDetail = Type.Object(
  {
    ...summary,
    planHash: Text("SHA-256 of the plan."),
    bundle: Text("SHA-256 of its code."),
    params: Type.Record(Type.String(), Type.String(), { description: "Parameters of the topology." }),
    parallelism: Count("Of operators that state none; 0: the topology's own."),
    unit: Text("What one row of the sources is called."),
    checkpointIntervalMs: Count("0: only the checkpoint at its end."),
    rowsReadPerSecond: Quantity("Over the last seconds."),
    rowsWrittenPerSecond: Quantity("Over the last seconds."),
    operators: List(OperatorDetail, "In the order of the topology."),
    edges: List(EdgeDetail, "Between operators: the graph."),
    regions: List(RegionDetail),
    services: List(ServiceDetail),
    hosts: List(HostDetail),
  },
  { title: "Job" },
);

export const JobSample = Type.Object(
  {
    atMs: TimeMs("When."),
    rowsReadPerSecond: Quantity("Over the seconds before."),
    rowsWrittenPerSecond: Quantity("Over the seconds before."),
    rowsInFlight: Count("Rows that `infer` operators have sent and not yet handed on."),
    deadLetters: Count("Records that operators refused, so far."),
    queuedBytes: Count("What waited on channels."),
    instancesReady: Count("Instances that took requests."),
    instanceRows: Count("Rows that waited or were worked on at instances."),
    checkpointMs: Quantity("Of the newest checkpoints of its regions, the longest."),
    restarts: Count("Attempts of all regions behind their first, so far."),
  },
  { title: "JobSample" },
);

/** What people want of a job while it runs, beside its topology. */
export const JobWishes = Type.Object(
  {
    revision: Long("Grows with every change; the ETag."),
    paused: Type.Boolean({ description: "Its regions rest behind a checkpoint until it goes on." }),
    stopping: Type.Boolean({ description: "It is cancelled once all of them rest." }),
    services: List(
      Type.Object({ service: Text("Its id."), instances: Count("Instances that it is to have.") }),
      "Services that were scaled.",
    ),
    retired: List(Type.String(), "Instances that drain and end."),
    quarantined: List(Type.String(), "Instances that get no requests and are kept."),
  },
  { title: "JobWishes" },
);
