/**
 * The kinds of frames that carry data between actors, clients and service instances.
 * Meaning and range of every field: `schemas/*.avsc`. Control frames: `control.ts`.
 */
import { frame } from "./frame.js";

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
}

export interface BarrierHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly checkpoint: bigint;
  readonly sequence: bigint;
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
}

export interface CreditHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly acknowledged: bigint;
  readonly bytesGranted: bigint;
  readonly framesGranted: bigint;
}

export interface NackHeader {
  readonly channel: string;
  readonly attempt: number;
  readonly from: bigint;
  readonly to: bigint;
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
}

export const dataFrame = frame<DataHeader>("data");
export const barrierFrame = frame<BarrierHeader>("barrier");
export const watermarkFrame = frame<WatermarkHeader>("watermark");
export const endFrame = frame<EndHeader>("end");
export const creditFrame = frame<CreditHeader>("credit");
export const nackFrame = frame<NackHeader>("nack");
export const requestFrame = frame<RequestHeader>("request");
export const loadReportFrame = frame<LoadReport>("load-report");
export const answerFrame = frame<AnswerHeader>("answer");
