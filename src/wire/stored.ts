/**
 * What is stored: the logs of regions and enumerators, and the snapshots in them. Every field is documented in
 * `schemas/stored/*.avsc`; earlier versions stay readable (F5).
 */
import { frame } from "./frame.js";

/** What one actor is restored from: a frame of kind `actor-snapshot`, inline or as an object. */
export interface ActorCheckpoint {
  readonly actor: string;
  readonly finished: boolean;
  readonly inline: Uint8Array;
  readonly key: string;
  readonly sha256: string;
  readonly sizeBytes: bigint;
}

export interface SavedAnswer {
  readonly code: string;
  readonly message: string;
  readonly schema: Uint8Array;
}

export type RegionRecordKind = "COMMIT" | "FENCE";

export interface RegionRecord {
  readonly kind: RegionRecordKind;
  readonly job: string;
  readonly region: string;
  readonly number: bigint;
  readonly term: bigint;
  readonly attempt: number;
  readonly createdMs: bigint;
  readonly actors: readonly ActorCheckpoint[];
}

/** Who leads a namespace. */
export interface Lease {
  readonly term: bigint;
  readonly holder: string;
  readonly http: string;
  readonly counter: bigint;
}

export interface OperatorState {
  readonly operator: string;
  readonly state: Uint8Array;
}

export interface ParkedBatch {
  readonly place: string;
  readonly blob: number;
}

export interface ActorSnapshot {
  readonly operators: readonly OperatorState[];
  readonly parked: readonly ParkedBatch[];
  readonly rowsRead: bigint;
  readonly rowsWritten: bigint;
  readonly deadLetters: bigint;
  readonly blobs: readonly bigint[];
  readonly contents: number;
}

export interface Split {
  readonly id: string;
  readonly payload: Uint8Array;
  readonly rows: number;
}

export interface StartedSplit {
  readonly id: string;
  readonly payload: Uint8Array;
  readonly rows: number;
  readonly batches: bigint;
  readonly position: Uint8Array | null;
}

export interface SourceState {
  readonly taken: bigint;
  readonly ended: boolean;
  readonly split: Split | null;
  readonly batches: bigint;
  readonly position: Uint8Array | null;
  readonly started: readonly StartedSplit[];
}

export interface RejectedInput {
  readonly row: number;
  readonly code: string;
  readonly message: string;
}

export interface InferCall {
  readonly start: number;
  readonly rows: number;
  readonly answer: number | null;
  readonly rejected: readonly RejectedInput[];
  readonly code: string;
  readonly message: string;
}

export interface InferEntry {
  readonly batch: number;
  readonly done: number;
  readonly calls: readonly InferCall[];
}

export interface InferState {
  readonly entries: readonly InferEntry[];
}

export interface KeyGroupState {
  readonly group: number;
  readonly keys: number;
  readonly states: number;
}

export interface KeyedState {
  readonly keyGroups: number;
  readonly first: number;
  readonly end: number;
  readonly groups: readonly KeyGroupState[];
}

export interface PendingOutput {
  readonly checkpoint: bigint;
  readonly prepared: Uint8Array;
  readonly blob: number;
  readonly contents: number;
}

export interface SinkState {
  readonly pending: readonly PendingOutput[];
}

export interface RecordedAssignment {
  readonly reader: string;
  readonly number: bigint;
  readonly split: Split;
}

export interface SplitRecord {
  readonly source: string;
  readonly number: bigint;
  readonly assignments: readonly RecordedAssignment[];
  readonly listed: boolean;
  readonly term: bigint;
  readonly attempt: number;
}

export interface OperatorSpec {
  readonly operator: string;
  readonly kind: string;
  readonly parallelism: number;
  readonly columns: string;
}

export interface SavepointActor {
  readonly actor: string;
  readonly subtask: number;
  readonly key: string;
  readonly sha256: string;
  readonly sizeBytes: bigint;
}

export interface SavepointRegion {
  readonly region: string;
  readonly number: bigint;
  readonly actors: readonly SavepointActor[];
}

export interface SavepointSource {
  readonly source: string;
  readonly records: bigint;
}

export interface KeptEntries {
  readonly key: string;
  readonly sha256: string;
  readonly sizeBytes: bigint;
}

export interface SavepointPartition {
  readonly next: bigint;
  readonly last: bigint;
  readonly objects: readonly KeptEntries[];
  readonly seeds: number;
}

export interface SavepointExchange {
  readonly operator: string;
  readonly partitions: readonly SavepointPartition[];
}

/** A checkpoint of every region of a job that the user keeps. */
export interface Savepoint {
  readonly job: string;
  readonly name: string;
  readonly topology: string;
  readonly planHash: string;
  readonly createdMs: bigint;
  readonly operators: readonly OperatorSpec[];
  readonly regions: readonly SavepointRegion[];
  readonly sources: readonly SavepointSource[];
  readonly exchanges: readonly SavepointExchange[];
}

export const savepointFrame = frame<Savepoint>("savepoint");
export const regionRecordFrame = frame<RegionRecord>("region-record");
export const actorSnapshotFrame = frame<ActorSnapshot>("actor-snapshot");
export const sourceStateFrame = frame<SourceState>("source-state");
export const inferStateFrame = frame<InferState>("infer-state");
export const keyedStateFrame = frame<KeyedState>("keyed-state");
export const sinkStateFrame = frame<SinkState>("sink-state");
export const splitRecordFrame = frame<SplitRecord>("split-record");
export const savedAnswerFrame = frame<SavedAnswer>("saved-answer");
export const leaseFrame = frame<Lease>("lease");
