/**
 * A service: inference, or any service-style work, that lives outside the dataflow graph as a pool of instances.
 * This file is what a user declares; `src/services` runs it.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { id, type ServiceId } from "../base/ids.js";
import type { ArrowColumns, Columns } from "../types/columns.js";

/** How an instance puts requests together into one call of its handler. */
export interface Batching {
  /** Rows of one call at most; also how many rows a client sends in one request. Default 1. */
  readonly rowsMax?: number;
  /** How long an instance that is idle waits for more rows once it has one. Default 0: not at all. */
  readonly delayMsMax?: number;
  /** Rows meet in one call only where these input columns are equal: the shape of an image, the length of a text. */
  readonly bucketBy?: readonly string[];
}

export interface HandlerContext {
  readonly service: string;
  readonly instance: string;
  /** Local path of an asset that the handler declared; its content was checked against the submitted hash. */
  asset(name: string): string;
  /** Aborted when the instance is told to stop. */
  readonly signal: AbortSignal;
}

export interface CallContext {
  /** Refuses one row of the batch; its place in the answer is ignored and the row becomes a dead letter. */
  reject(row: number, error: unknown): void;
  readonly signal: AbortSignal;
}

/** A handler in its instance, model in memory. Calls never overlap. */
export interface LoadedHandler<I extends Columns, O extends Columns> {
  /** Runs once before the instance is READY: one call of the usual shape, so that the first request is not the slow one. */
  warm?(): Promise<void>;
  /** @returns as many rows as the batch has, in its order */
  infer(batch: RecordBatch<ArrowColumns<I>>, context: CallContext): Promise<RecordBatch<ArrowColumns<O>>>;
  unload?(): Promise<void>;
}

/** How to make a `LoadedHandler`. `onnx(...)` makes one; an object literal with `load` is one. */
export interface Handler<I extends Columns, O extends Columns> {
  readonly kind: string;
  /**
   * Files that an instance needs, by name: a path relative to the topology file, or `npm:package/file`.
   * They travel with the job and are verified by SHA-256 where they arrive.
   */
  readonly assets: Readonly<Record<string, string>>;
  load(context: HandlerContext): Promise<LoadedHandler<I, O>>;
}

export interface ServiceSpec<I extends Columns, O extends Columns> {
  readonly input: I;
  readonly output: O;
  readonly handler: Handler<I, O>;
  /** Processes that hold the model, each with its own copy. Default 1. */
  readonly instances?: number;
  readonly batch?: Batching;
}

export interface Service<I extends Columns = Columns, O extends Columns = Columns> {
  readonly id: ServiceId;
  readonly input: I;
  readonly output: O;
  readonly handler: Handler<I, O>;
  readonly instances: number;
  readonly batch: Required<Batching>;
}

/**
 * Declares a service. Two topologies may use the same declaration; each job has its own instances.
 *
 * @throws {MillraceError} `MILL_CONFIG` for a number that is none; `MILL_TOPOLOGY_COLUMN` for a `bucketBy` that is no input
 */
export function service<I extends Columns, O extends Columns>(name: string, spec: ServiceSpec<I, O>): Service<I, O> {
  const { rowsMax = 1, delayMsMax = 0, bucketBy = [] } = spec.batch ?? {};
  atLeast(name, "instances", spec.instances ?? 1, 1);
  atLeast(name, "batch.rowsMax", rowsMax, 1);
  atLeast(name, "batch.delayMsMax", delayMsMax, 0);
  for (const column of bucketBy) {
    if (Object.hasOwn(spec.input, column)) continue;
    const there = Object.keys(spec.input).join(", ");
    throw new MillraceError(
      "MILL_TOPOLOGY_COLUMN",
      `service "${name}": batch.bucketBy names "${column}", which is not a column of its input. It has: ${there}.`,
      { service: name, column },
    );
  }
  return {
    id: id<ServiceId>("service", name),
    input: spec.input,
    output: spec.output,
    handler: spec.handler,
    instances: spec.instances ?? 1,
    batch: { rowsMax, delayMsMax, bucketBy },
  };
}

function atLeast(service: string, what: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `service "${service}": ${what} is ${value}; give a whole number from ${least} on.`,
    { service, what },
  );
}
