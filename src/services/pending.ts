/** A request of a client, from the call to its answer. */
import type { Span } from "../base/telemetry.js";
import type { Given } from "./fallback.js";
import type { Answer } from "./split-request.js";

/** What a request may say beyond its rows. */
export interface CallOptions {
  /** Rows of different calls meet in one batch of an instance only where this is equal. */
  readonly bucket?: string;
  /** Requests with the same go to the same instance, if that can be. */
  readonly affinity?: string;
  /** One for each row, or none: who it is. */
  readonly rowIds?: readonly string[];
  /** One for each row: what is in it. Found out where they are not given, and the service shares answers. */
  readonly cacheIds?: readonly string[];
  /** Whoever called has been restored: an instance may hold these rows already (S10). */
  readonly ask?: boolean;
  /** What its span is a child of, as in a `traceparent` header; empty: it has none. */
  readonly trace?: string;
}

/** Rows of one call that nobody will ask about again. */
export interface PassedRows {
  readonly ids: readonly string[];
  /** As their answer said. */
  readonly by: Answer["by"];
}

export interface Pending extends Omit<Given, "resolve" | "reject"> {
  resolve: Given["resolve"];
  reject: Given["reject"];
  /** Another one after each refusal (S14). */
  id: string;
  readonly rows: number;
  readonly bucket: string;
  readonly affinity: string;
  /** As instances of this service know its rows; or none. */
  readonly rowIds: readonly string[];
  /** By the monotonic clock; Infinity: none. */
  readonly deadlineMs: number;
  crashes: number;
  tries: number;
  sentMs: number;
  /** Not sent before that. */
  notBeforeMs: number;
  /** Where it failed last. */
  avoid: string;
  /** Instance that has said it holds the rows. */
  holder: string;
  readonly suspect: boolean;
  /** Another instance than the one that answers in the end may keep answers of its rows. */
  scattered: boolean;
  /** Of the call that it is, or is a part of; undefined: it is not traced. */
  span: Span | undefined;
  /** When the call began, by the monotonic clock; 0: nobody wants to know, or it is a part. */
  calledMs: number;
}

/** Not sent yet. Its parts are written out: to spread so many takes longer than to send them. */
export function newPending(
  id: string,
  { owner, records, lineageIds, ask, resolve, reject }: Given,
  { rowIds, bucket, affinity, deadlineMs }: Pick<Pending, "rowIds" | "bucket" | "affinity" | "deadlineMs">,
): Pending {
  return {
    id,
    owner,
    records,
    rows: records.numRows,
    bucket,
    affinity,
    rowIds,
    lineageIds,
    ask,
    deadlineMs,
    resolve,
    reject,
    crashes: 0,
    tries: 0,
    sentMs: 0,
    notBeforeMs: 0,
    avoid: "",
    holder: "",
    suspect: false,
    scattered: ask,
    span: undefined,
    calledMs: 0,
  };
}

export function rowsOf(requests: Iterable<Pick<Pending, "rows">>): number {
  let sum = 0;
  for (const { rows } of requests) sum += rows;
  return sum;
}
