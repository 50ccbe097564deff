/**
 * Every bound on a queue, a retry, a batch or a wait, with its unit in its name. The relations that must hold
 * between them are asserted at load, so a bad edit fails at once and not under load.
 */
import { invariant } from "./errors.js";

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** Rows of one frame; a batch over it is sliced. */
  rowsPerFrameMax: 65_536,
  /** Bytes of one frame, header and payload; what the bus must be able to carry, split as it needs to. */
  frameBytesMax: 256 * MiB,
  /** Bytes of the Avro header before the payload: room for the schema of a wide table, or a reason per refused row. */
  frameHeaderBytesMax: 4 * MiB,

  /** Bytes published and not yet flushed on one connection before `publish` asks its caller to wait. */
  busPendingBytesMax: 16 * MiB,
  /** Bytes of split messages that one subscriber may be putting together. */
  busReassemblyBytesMax: 512 * MiB,
  /** Characters of a subject, a pattern or a key; a NATS control line holds 4096 bytes with two of them. */
  busSubjectCharsMax: 1_024,
  /** Bytes that wait for a child process to read them; what comes on top is dropped, as a server drops a slow consumer. */
  busLinkQueueBytesMax: 512 * MiB,
  busConnectTimeoutMs: 5_000,
  /** A connection that misses two answers in a row counts as lost. */
  busPingIntervalMs: 15_000,
  busReconnectDelayMs: 500,
  busRequestTimeoutMs: 5_000,

  /** Bytes that a receiver grants to one channel. A larger single frame passes alone. */
  channelCreditBytes: 16 * MiB,
  channelCreditFrames: 64,
  /** Time that frames may still be on their way after the end that counts them; then they are lost. */
  channelEndTimeoutMs: 10_000,

  /** Bytes above which an upload to S3 is a multipart one, and the size of a part. */
  storeMultipartBytes: 8 * MiB,
  storeAttemptsMax: 5,
  storeBackoffMs: 100,
  storeBackoffMsMax: 5_000,
  storePartsMax: 10_000,
  /** Parts of one upload that are on their way at a time; each is held in memory. */
  storePartsInFlight: 3,
  storeConnectTimeoutMs: 2_000,
  /** Silence on a connection after which a request counts as failed. */
  storeRequestTimeoutMs: 30_000,
  /** All attempts of a check, or of clearing up after a failed upload, together. */
  storeCheckTimeoutMs: 5_000,

  /** Splits that an enumerator lists ahead of its readers. */
  splitsAheadMax: 10_000,
  /** A slow listing may keep a reader waiting this long. */
  splitRequestTimeoutMs: 60_000,

  /** Rows and bytes of requests that one `infer` operator has in flight or waiting to be emitted. */
  inferWindowRows: 1_024,
  inferWindowBytes: 128 * MiB,
  /** Crashes a request may have been on board of before it is dead-lettered. */
  inferCrashesMax: 3,
  /** Time to wait for a READY instance before the job fails. */
  serviceReadyTimeoutMs: 120_000,
  serviceLoadTimeoutMs: 120_000,
  serviceLoadAttemptsMax: 3,
  /** Rows and bytes that one instance queues before it refuses. */
  instanceQueueRowsMax: 4_096,
  instanceQueueBytesMax: 256 * MiB,

  /** Hosts and instances that have ended and that a worker still reports. */
  workerEndedMax: 256,
  heartbeatIntervalMs: 1_000,
  /** Reports of a host also drive progress bars, so they come more often. */
  hostReportIntervalMs: 200,
  /** Silence after which a worker, host or instance counts as lost. */
  heartbeatTimeoutMs: 10_000,
  deployTimeoutMs: 30_000,
  drainTimeoutMs: 30_000,

  /** Pixels of one decoded image. */
  imagePixelsMax: 64_000_000,
} as const;

invariant(limits.frameHeaderBytesMax < limits.frameBytesMax, "a frame has room for its header");
invariant(limits.frameBytesMax <= limits.busReassemblyBytesMax, "the largest frame can be put together again");
invariant(limits.frameBytesMax <= limits.busLinkQueueBytesMax, "the largest frame can cross a link");
invariant(limits.storeMultipartBytes >= 5 * MiB, "S3 refuses smaller parts, except for the last one");
invariant(limits.storeBackoffMs <= limits.storeBackoffMsMax, "pauses between attempts grow");
invariant(limits.storeConnectTimeoutMs < limits.storeCheckTimeoutMs, "a check can try to connect twice");
invariant(limits.heartbeatIntervalMs * 3 <= limits.heartbeatTimeoutMs, "one lost heartbeat is not a lost worker");
