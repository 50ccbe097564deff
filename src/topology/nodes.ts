/**
 * The immutable tree of a topology: one node per operator, each naming the nodes it reads. Nothing here runs.
 */
import type { RecordBatch } from "apache-arrow";
import type { OperatorId } from "../base/ids.js";
import type { Columns } from "../types/columns.js";
import type { ColumnFunction } from "./column-function.js";
import type { Sink, Source } from "./endpoints.js";
import type { OperatorContext } from "./operator-context.js";
import type { Needs } from "./resources.js";
import type { Service } from "./service.js";

export type MapFunction = (batch: RecordBatch, context: OperatorContext) => RecordBatch | Promise<RecordBatch>;
export type RowFunction = (row: unknown, context: OperatorContext) => unknown;
export type ReduceFunction = (accumulator: unknown, row: unknown, context: OperatorContext) => unknown;
export type ProcessFunction = (row: unknown, state: KeyState<unknown>, context: OperatorContext) => unknown;

/**
 * What a `process` function keeps for the key of its row. Changes count once the function has returned, and only if none of its
 * rows is refused.
 */
export interface KeyState<Row> {
  /** A copy; undefined: there is nothing yet. */
  get(): Row | undefined;
  /** @throws {MillraceError} `MILL_RECORD_INVALID`: it does not fit the columns of the state */
  set(row: Row): void;
  clear(): void;
}

interface NodeBase {
  readonly id: OperatorId;
  /** Columns of the batches that the operator emits; a sink's are those it takes. */
  readonly columns: Columns;
  readonly inputs: readonly OperatorId[];
  /** undefined: the topology's. */
  readonly parallelism: number | undefined;
  /** Starts an actor of its own, even where it could be chained to its input. */
  readonly isolated: boolean;
  /** Of each parallel instance; undefined: nothing is counted. */
  readonly resources?: Needs;
}

export interface SourceNode extends NodeBase {
  readonly kind: "source";
  readonly source: Source;
}
export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly fn: MapFunction;
}
export interface RowsNode extends NodeBase {
  readonly kind: "mapRows" | "flatMap" | "filter";
  readonly fn: RowFunction;
  /** Calls of `fn` under way at once, for functions that wait on something else than this thread. */
  readonly concurrency: number;
}
/** Adds a function's columns to those of its input. */
export interface ApplyNode extends NodeBase {
  readonly kind: "apply";
  readonly fn: ColumnFunction;
}
export interface SelectNode extends NodeBase {
  readonly kind: "select";
}
export interface InferNode extends NodeBase {
  readonly kind: "infer";
  readonly service: Service;
  /** The list column whose elements are the requests' rows; undefined: the rows of the batch are. */
  readonly each: string | undefined;
  /** Batches leave in the order in which they came; else as soon as they are answered. */
  readonly ordered: boolean;
  /** With `each`: the list column that the answers go to. */
  readonly into: string | undefined;
}
export interface KeyByNode extends NodeBase {
  readonly kind: "keyBy";
  readonly keys: readonly string[];
}
/** Between two regions: the operators before it write a log, those from it on read it. */
export interface DurableNode extends NodeBase {
  readonly kind: "durable";
  /** Bytes that the log of one partition keeps. */
  readonly bytesMax: number;
}
interface KeyedNode extends NodeBase {
  /** Of the `keyBy` that it reads. */
  readonly keys: readonly string[];
  /** Columns of what is kept for each key. */
  readonly state: Columns;
}
export interface ReduceNode extends KeyedNode {
  readonly kind: "reduce";
  readonly fn: ReduceFunction;
  /** What a key's first row meets; undefined: nothing. */
  readonly initial: unknown;
  readonly emit: "end" | "changes";
}
export interface ProcessNode extends KeyedNode {
  readonly kind: "process";
  readonly fn: ProcessFunction;
}
export interface UnionNode extends NodeBase {
  readonly kind: "union";
}
export interface SinkNode extends NodeBase {
  readonly kind: "sink";
  readonly sink: Sink;
}

export type OperatorNode =
  | SourceNode
  | MapNode
  | RowsNode
  | ApplyNode
  | SelectNode
  | InferNode
  | KeyByNode
  | DurableNode
  | ReduceNode
  | ProcessNode
  | UnionNode
  | SinkNode;
export type OperatorKind = OperatorNode["kind"];

/** What happens to a record that its operator refuses. */
export type BadRecordPolicy = "dead-letter" | "fail";

export interface Topology {
  readonly name: string;
  /** Every operator, inputs before those that read them. */
  readonly operators: readonly OperatorNode[];
  readonly services: readonly Service[];
  readonly parallelism: number;
  readonly badRecords: BadRecordPolicy;
  /** Where dead letters go: a folder or prefix, like a sink's. */
  readonly deadLetters: string;
  /** What one row of the sources is called on a progress bar. */
  readonly unit: string;
  /** 0: only the checkpoint at the end. */
  readonly checkpointIntervalMs: number;
  /** Content above it becomes a reference when it leaves its process. */
  readonly inlineLimitBytes: number;
}
