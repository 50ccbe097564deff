/**
 * The kinds of frames that carry data between actors, clients and service instances.
 * Meaning and range of every field: `schemas/*.avsc`. Control frames: `control.ts`.
 */
import { type Frame, frame } from "./frame.js";

export { decodeFrame, frameKind } from "./frame.js";

/** How a frame names the Arrow schema of its payload; see `SchemaSender` and `SchemaReceiver` in `arrow.ts`. */
export interface SchemaFields {
  readonly schemaId: Uint8Array;
  readonly schema: Uint8Array | null;
}

export interface DataHeader extends SchemaFields {
  readonly channel: string;
  readonly attempt: number;
  readonly sequence: bigint;
  readonly rows: number;
  readonly barriers: bigint;
  /** Empty: not traced. */
  readonly traceparent: string;
}

export interface BarrierHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly checkpoint: bigint;
  readonly sequence: bigint;
  readonly index: bigint;
}

export interface WatermarkHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly sequence: bigint;
  readonly timestampMs: bigint;
}

export interface EndHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly sequence: bigint;
  readonly barriers: bigint;
}

export interface CreditHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly acknowledged: bigint;
  readonly bytesGranted: bigint;
  readonly framesGranted: bigint;
  readonly arrived: bigint;
  readonly barriers: bigint;
  readonly ended: boolean;
}

export interface NackHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly from: bigint;
  readonly to: bigint;
}

export interface PollHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly sequence: bigint;
}

export interface RequestHeader extends SchemaFields {
  readonly id: string;
  readonly client: string;
  readonly service: string;
  readonly instance: string;
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly crashes: number;
  readonly bucket: string;
  readonly rows: number;
  /** 16 bytes each; empty: the rows have no ids. */
  readonly rowIds: Uint8Array;
  readonly traceparent: string;
}

export interface CancelHeader {
  readonly client: string;
  readonly requests: readonly string[];
}

export interface AskHeader {
  readonly client: string;
  readonly service: string;
  readonly rowIds: Uint8Array;
  readonly round: number;
}

export interface HoldingHeader {
  readonly service: string;
  readonly instance: string;
  readonly rowIds: Uint8Array;
  readonly round: number;
}

export interface ReleaseHeader {
  readonly service: string;
  readonly rowIds: Uint8Array;
  readonly requests: readonly string[];
}

export type LifeCycle =
  | "REQUESTED"
  | "PROVISIONING"
  | "LOADING"
  | "WARMING"
  | "READY"
  | "DRAINING"
  | "STOPPED"
  | "FAILED";

export interface LoadReport {
  readonly service: string;
  readonly instance: string;
  readonly sequence: bigint;
  readonly subject: string;
  readonly state: LifeCycle;
  readonly queuedRows: number;
  readonly runningRows: number;
  readonly rowMs: number;
  readonly reason: string;
  readonly code: string;
  readonly enteredMs: bigint;
}

export type AnswerStatus = "OK" | "REJECTED" | "RETURNED" | "FAILED" | "EXPIRED";

export interface RejectedRow {
  readonly row: number;
  readonly code: string;
  readonly message: string;
}

export interface AnswerHeader extends SchemaFields {
  readonly id: string;
  readonly instance: string;
  readonly status: AnswerStatus;
  readonly code: string;
  readonly message: string;
  readonly rejectedRows: readonly RejectedRow[];
  readonly rows: number;
  readonly load: LoadReport;
  readonly retryAfterMs: number;
  readonly repeatedRows: number;
  readonly traceparent: string;
}

/** A frame whose writer may leave out the fields that have a default. */
export interface WithDefaults<Header, Optional extends keyof Header> extends Pick<Frame<Header>, "kind" | "decode"> {
  encode(
    header: Omit<Header, Optional> & Partial<Pick<Header, Optional>>,
    payload?: Uint8Array | readonly Uint8Array[],
  ): Uint8Array;
}

export const dataFrame: WithDefaults<DataHeader, "barriers" | "traceparent"> = frame<DataHeader>("data");
export const barrierFrame: WithDefaults<BarrierHeader, "index"> = frame<BarrierHeader>("barrier");
export const watermarkFrame = frame<WatermarkHeader>("watermark");
export const endFrame: WithDefaults<EndHeader, "barriers"> = frame<EndHeader>("end");
export const creditFrame: WithDefaults<CreditHeader, "arrived" | "barriers" | "ended"> = frame<CreditHeader>("credit");
export const nackFrame = frame<NackHeader>("nack");
export const pollFrame = frame<PollHeader>("poll");
export const requestFrame: WithDefaults<RequestHeader, "rowIds" | "traceparent"> = frame<RequestHeader>("request");
export const loadReportFrame = frame<LoadReport>("load-report");
export const answerFrame: WithDefaults<AnswerHeader, "retryAfterMs" | "repeatedRows" | "traceparent"> =
  frame<AnswerHeader>("answer");
export const cancelFrame = frame<CancelHeader>("cancel");
export const askFrame = frame<AskHeader>("ask");
export const holdingFrame = frame<HoldingHeader>("holding");
export const releaseFrame = frame<ReleaseHeader>("release");
