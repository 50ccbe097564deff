/**
 * The control frames: what coordinator, workers, hosts, instances and clients say to one another apart from data.
 * Every field is documented in `schemas/control/*.avsc`; a test holds types and schemas together.
 */
import { frame } from "./frame.js";
import type { ActorCheckpoint, OperatorSpec, Split } from "./stored.js";

export interface Asset {
  readonly service: string;
  readonly name: string;
  readonly source: string;
  readonly sha256: string;
  readonly sizeBytes: bigint;
}

export interface Resources {
  readonly cpu: number;
  readonly memoryBytes: bigint;
  readonly gpuThousandths: number;
  readonly gpuKind: string;
  readonly gpuMemoryBytes: bigint;
  readonly gpuOptional: boolean;
}

/** Devices that one operator of an actor needs for itself. */
export interface OperatorGpus {
  readonly operator: string;
  readonly thousandths: number;
  readonly kind: string;
  readonly memoryBytes: bigint;
  readonly optional: boolean;
}

export interface ActorSpec {
  readonly actor: string;
  readonly region: string;
  readonly subtask: number;
  readonly resources: Resources;
  readonly gpus: readonly OperatorGpus[];
}

export interface ServiceSpec {
  readonly service: string;
  readonly instances: number;
  readonly resources: Resources;
  readonly loadTimeoutMs: bigint;
  readonly warmTimeoutMs: bigint;
  readonly loadAttemptsMax: number;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly contract: string;
}

export interface ExchangeWriterSpec {
  readonly writer: string;
  readonly actor: string;
}

export interface ExchangeSpec {
  readonly operator: string;
  readonly partitions: number;
  readonly readers: readonly string[];
  readonly writers: readonly ExchangeWriterSpec[];
}

export interface RegionSeed {
  readonly region: string;
  readonly number: bigint;
}

/** An operator that another reads. */
export interface GraphInput {
  readonly operator: string;
  readonly exchange: string;
  readonly durable: boolean;
}

/** Where one operator stands in the plan. */
export interface GraphOperator {
  readonly operator: string;
  readonly inputs: readonly GraphInput[];
  readonly service: string;
  readonly chain: string;
}

export interface JobSpec {
  readonly job: string;
  readonly topology: string;
  readonly bundle: string;
  readonly planHash: string;
  readonly params: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly inputs: Readonly<Record<string, string>>;
  readonly assets: readonly Asset[];
  readonly actors: readonly ActorSpec[];
  readonly services: readonly ServiceSpec[];
  readonly sources: readonly string[];
  readonly unit: string;
  readonly submittedMs: bigint;
  readonly checkpointIntervalMs: bigint;
  readonly exchanges: readonly ExchangeSpec[];
  readonly operators: readonly OperatorSpec[];
  readonly seeds: readonly RegionSeed[];
  readonly graph: readonly GraphOperator[];
  readonly deadLetters: string;
}

export interface SubmitJob {
  readonly job: string;
}

export interface DescribeJob {
  readonly job: string;
}

export interface CancelJob {
  readonly job: string;
}

export interface CollectContent {
  readonly job: string;
  readonly dryRun: boolean;
}

/** What one round of collecting content has found and done. */
export interface ContentReport {
  /** Objects in their place, and in the trash, when it began. */
  readonly contents: number;
  readonly trash: number;
  /** Of all of them, those that a root names. */
  readonly rooted: number;
  readonly broughtBack: number;
  readonly putAway: number;
  readonly purged: number;
  /** Records of published files that are gone. */
  readonly recordsDeleted: number;
  /** Objects that no root names and that are still somewhere. */
  readonly left: number;
  /** Why nothing could go; empty: nothing kept it. */
  readonly heldBy: string;
}

export interface CreateSavepoint {
  readonly job: string;
  readonly name: string;
  readonly stop: boolean;
}

export type SavepointState = "OPEN" | "DONE" | "FAILED";

export interface SavepointReport {
  readonly state: SavepointState;
  readonly code: string;
  readonly message: string;
}

export type JobState =
  | "SUBMITTED"
  | "DEPLOYING"
  | "RUNNING"
  | "COMMITTING"
  | "FINISHED"
  | "FAILING"
  | "FAILED"
  | "CANCELLED";

export interface Transition {
  readonly state: string;
  readonly enteredMs: bigint;
  readonly code: string;
  readonly reason: string;
}

/** What clients of one service have counted. */
export interface ServiceCounts {
  readonly service: string;
  readonly calls: bigint;
  readonly rows: bigint;
  readonly duplicateCalls: bigint;
  readonly repeatedRows: bigint;
  readonly savedRows: bigint;
  readonly retries: bigint;
  readonly timeouts: bigint;
  readonly fallbackRows: bigint;
  readonly refusedRows: bigint;
}

/** What an instance has done. */
export interface InstanceWork {
  readonly requests: number;
  readonly calls: bigint;
  readonly rows: bigint;
  readonly errors: bigint;
  readonly callMsP50: number;
  readonly callMsP99: number;
  readonly batchRowsMean: number;
}

export interface InstanceHistory {
  readonly job: string;
  readonly instance: string;
  readonly transitions: readonly Transition[];
  readonly work: InstanceWork | null;
}

export interface InstanceReport {
  readonly service: string;
  readonly instance: string;
  readonly worker: string;
  readonly state: string;
  readonly queuedRows: number;
  readonly rowMs: number;
  readonly message: string;
  readonly transitions: readonly Transition[];
}

export interface RegionReport {
  readonly region: string;
  readonly phase: string;
  readonly attempt: number;
  readonly committed: bigint;
  readonly checkpointMs: number;
}

export interface ServiceWish {
  readonly service: string;
  readonly instances: number;
}

export interface JobWishes {
  readonly revision: bigint;
  readonly paused: boolean;
  readonly stopping: boolean;
  readonly services: readonly ServiceWish[];
  readonly retired: readonly string[];
  readonly quarantined: readonly string[];
}

export interface ServiceOrders {
  readonly term: bigint;
  readonly sequence: bigint;
  readonly service: string;
  readonly quarantined: readonly string[];
}

export interface DrainWorker {
  readonly term: bigint;
  readonly worker: string;
}

export interface JobReport {
  readonly job: string;
  readonly state: JobState;
  readonly code: string;
  readonly message: string;
  readonly startedMs: bigint;
  readonly finishedMs: bigint;
  readonly rowsTotal: bigint;
  readonly rowsRead: bigint;
  readonly rowsWritten: bigint;
  readonly rowsInFlight: bigint;
  readonly deadLetters: bigint;
  readonly instances: readonly InstanceReport[];
  readonly regions: readonly RegionReport[];
  readonly services: readonly ServiceCounts[];
  readonly wishes: JobWishes;
}

export interface StartHost {
  readonly term: bigint;
  readonly job: string;
  readonly host: string;
  readonly group: string;
  readonly gpus: readonly HostGpu[];
}

export interface StopHost {
  readonly term: bigint;
  readonly job: string;
  readonly host: string;
}

export interface Deploy {
  readonly term: bigint;
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
  readonly actors: readonly string[];
  readonly checkpoint: bigint;
}

export interface DeployEnumerator {
  readonly term: bigint;
  readonly job: string;
  readonly source: string;
  readonly attempt: number;
}

export interface Start {
  readonly term: bigint;
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
}

export interface Trigger {
  readonly term: bigint;
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
  readonly checkpoint: bigint;
  /** Span of the checkpoint; empty: it is not traced. */
  readonly traceparent: string;
}

export interface Complete {
  readonly term: bigint;
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
  readonly checkpoint: bigint;
}

export interface StopRegion {
  readonly term: bigint;
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
}

export interface Snapshot extends ActorCheckpoint {
  readonly job: string;
  readonly region: string;
  readonly attempt: number;
  readonly checkpoint: bigint;
  readonly unaligned: boolean;
}

export interface GpuShare {
  readonly uuid: string;
  readonly thousandths: number;
  readonly memoryBytes: bigint;
}

/** For one operator of a host. */
export interface HostGpu extends GpuShare {
  readonly operator: string;
}

export interface Granted {
  readonly cpu: number;
  readonly memoryBytes: bigint;
  readonly gpus: readonly GpuShare[];
}

export interface StartInstance {
  readonly term: bigint;
  readonly job: string;
  readonly service: string;
  readonly instance: string;
  readonly granted: Granted;
}

export interface StopInstance {
  readonly term: bigint;
  readonly job: string;
  readonly service: string;
  readonly instance: string;
}

export interface HostState {
  readonly host: string;
  readonly job: string;
  readonly state: string;
  readonly code: string;
  readonly message: string;
  readonly group: string;
  readonly gpus: readonly HostGpu[];
}

export interface InstanceState {
  readonly job: string;
  readonly service: string;
  readonly instance: string;
  readonly state: string;
  readonly code: string;
  readonly message: string;
  readonly granted: Granted;
  readonly startedMs: bigint;
  readonly endedMs: bigint;
  readonly launched: boolean;
}

export interface Gpu {
  readonly uuid: string;
  readonly kind: string;
  readonly memoryBytes: bigint;
}

export interface ProcessUsage {
  readonly job: string;
  readonly name: string;
  readonly rssBytes: bigint;
  readonly cpuMs: bigint;
}

/** What is used of a worker's machine. */
export interface MachineUsage {
  readonly memoryBytes: bigint;
  readonly cpus: number;
  readonly rssBytes: bigint;
  readonly processes: readonly ProcessUsage[];
}

export interface WorkerReport {
  readonly worker: string;
  readonly sequence: bigint;
  readonly cpus: number;
  readonly memoryBytes: bigint;
  readonly draining: boolean;
  readonly stopped: boolean;
  readonly hosts: readonly HostState[];
  readonly instances: readonly InstanceState[];
  readonly gpus: readonly Gpu[];
  readonly usage: MachineUsage | null;
}

export interface OperatorLoad {
  readonly operator: string;
  readonly rowsIn: bigint;
  readonly rowsOut: bigint;
  readonly busyMs: number;
  readonly backPressuredMs: number;
  readonly requests: number;
  readonly rowsHeld: number;
}

export interface InputLoad {
  readonly from: string;
  readonly to: string;
  readonly channels: number;
  readonly queuedBytes: bigint;
  readonly queuedBatches: number;
}

/** How an actor has spent its time since its attempt began. */
export interface ActorLoad {
  readonly forMs: number;
  readonly busyMs: number;
  readonly backPressuredMs: number;
  readonly operators: readonly OperatorLoad[];
  readonly inputs: readonly InputLoad[];
}

/** An instance that the clients of a host do not treat like its peers. */
export interface Standing {
  readonly service: string;
  readonly instance: string;
  readonly probation: boolean;
}

export type ActorState = "DEPLOYED" | "RUNNING" | "FINISHED" | "FAILED";

export interface ActorReport {
  readonly actor: string;
  readonly region: string;
  readonly attempt: number;
  readonly state: ActorState;
  readonly published: bigint;
  readonly code: string;
  readonly message: string;
  readonly rowsRead: bigint;
  readonly rowsWritten: bigint;
  readonly rowsInFlight: bigint;
  readonly deadLetters: bigint;
  readonly sinksPublished: bigint;
  readonly load: ActorLoad | null;
}

export interface HostReport {
  readonly host: string;
  readonly job: string;
  readonly sequence: bigint;
  readonly actors: readonly ActorReport[];
  readonly rowsTotal: bigint;
  readonly services: readonly ServiceCounts[];
  readonly standings: readonly Standing[];
}

export interface SplitRequest {
  readonly operator: string;
  readonly reader: string;
  readonly number: bigint;
  readonly ahead: number;
  readonly more: number;
}

export interface SplitAssignment {
  readonly split: Split | null;
  readonly done: boolean;
  readonly code: string;
  readonly message: string;
  readonly more: readonly Split[];
}

export interface Held {
  readonly service: string;
  readonly instance: string;
  readonly requests: readonly string[];
}

export interface Acknowledgement {
  readonly code: string;
  readonly message: string;
}

export interface ApiRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly principal: string;
  readonly role: string;
}

export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export type EventSeverity = "info" | "warning" | "error";

export interface ClusterEvent {
  readonly event: string;
  readonly atMs: bigint;
  readonly kind: string;
  readonly severity: EventSeverity;
  readonly job: string;
  readonly about: string;
  readonly code: string;
  readonly message: string;
}

export const collectContentFrame = frame<CollectContent>("collect-content");
export const contentReportFrame = frame<ContentReport>("content-report");
export const jobSpecFrame = frame<JobSpec>("job-spec");
export const submitJobFrame = frame<SubmitJob>("submit-job");
export const describeJobFrame = frame<DescribeJob>("describe-job");
export const cancelJobFrame = frame<CancelJob>("cancel-job");
export const createSavepointFrame = frame<CreateSavepoint>("create-savepoint");
export const savepointReportFrame = frame<SavepointReport>("savepoint-report");
export const jobReportFrame = frame<JobReport>("job-report");
export const startHostFrame = frame<StartHost>("start-host");
export const stopHostFrame = frame<StopHost>("stop-host");
export const deployFrame = frame<Deploy>("deploy");
export const deployEnumeratorFrame = frame<DeployEnumerator>("deploy-enumerator");
export const startFrame = frame<Start>("start");
export const triggerFrame = frame<Trigger>("trigger");
export const completeFrame = frame<Complete>("complete");
export const stopRegionFrame = frame<StopRegion>("stop-region");
export const snapshotFrame = frame<Snapshot>("snapshot");
export const startInstanceFrame = frame<StartInstance>("start-instance");
export const stopInstanceFrame = frame<StopInstance>("stop-instance");
export const workerReportFrame = frame<WorkerReport>("worker-report");
export const hostReportFrame = frame<HostReport>("host-report");
export const splitRequestFrame = frame<SplitRequest>("split-request");
export const splitAssignmentFrame = frame<SplitAssignment>("split-assignment");
export const instanceHistoryFrame = frame<InstanceHistory>("instance-history");
export const heldFrame = frame<Held>("held");
export const acknowledgementFrame = frame<Acknowledgement>("acknowledgement");
export const serviceOrdersFrame = frame<ServiceOrders>("service-orders");
export const drainWorkerFrame = frame<DrainWorker>("drain-worker");
export const apiRequestFrame = frame<ApiRequest>("api-request");
export const apiResponseFrame = frame<ApiResponse>("api-response");
export const eventFrame = frame<ClusterEvent>("event");
