/** Branded identifiers: strings that cannot be mixed up, checked once where they enter. */
import { MillraceError } from "./errors.js";

declare const brand: unique symbol;
type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type Namespace = Id<"namespace">;
export type JobId = Id<"job">;
/** An operator's stable id within its topology; state finds its operator by it. */
export type OperatorId = Id<"operator">;
/** One parallel instance of a chain of operators: `<head operator>-<subtask>`. */
export type ActorId = Id<"actor">;
export type RegionId = Id<"region">;
/** `<from actor>.<operator>-<to actor>`: unique within a job. */
export type ChannelId = Id<"channel">;
export type ServiceId = Id<"service">;
export type InstanceId = Id<"instance">;
export type WorkerId = Id<"worker">;
export type HostId = Id<"host">;

/** Safe as a token of a NATS subject, a file name and a part of an S3 key. */
const TOKEN = /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,126}[a-zA-Z0-9])?$/;

/**
 * @throws {MillraceError} `MILL_CONFIG` when `text` is not 1 to 128 of [a-zA-Z0-9_-], first and last a letter or digit.
 */
export function id<T extends Id<string>>(kind: string, text: string): T {
  if (!TOKEN.test(text)) {
    throw new MillraceError(
      "MILL_CONFIG",
      `${kind} "${text}" is not a valid name. Use 1 to 128 letters, digits, "-" or "_", starting and ending with a letter or digit.`,
      { kind, text },
    );
  }
  return text as T;
}
