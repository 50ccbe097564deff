/** What an operator lends to its function. */
import type { Log, Ports } from "../base/ports.js";
import type { ContentAccess } from "./endpoints.js";

/** A device that an operator may use, or a part of it. */
export interface GrantedGpu {
  /** Its UUID; or its number where a worker was told of it. */
  readonly uuid: string;
  /** 1: all of it. */
  readonly share: number;
  /** 0: not counted. */
  readonly memoryBytes: number;
}

/** What an operator's function is handed beside its rows. */
export interface OperatorContext {
  readonly operator: string;
  readonly subtask: number;
  /** Devices that were promised to this parallel instance; none where it asks for none, or for an optional one that nobody had. */
  readonly gpus: readonly GrantedGpu[];
  readonly content: ContentAccess;
  /** To where the host's worker logs. Lines of a batch that is traced name its trace. */
  readonly log: Log;
  /** Span of the batch, as in a W3C `traceparent` header: for what the function calls. Empty: the batch is not traced. */
  readonly traceparent: string;
  readonly signal: AbortSignal;
  /** For built-in functions, which have limits of time. What a user's function makes must not depend on them. */
  readonly ports: Pick<Ports, "clock" | "random">;
}
