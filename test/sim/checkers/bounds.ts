/**
 * Memory stays within its bounds, seen on the wire.
 *
 *   MEM1  A channel's sender never has more frames or bytes under way than its receiver has granted; a frame that is
 *         larger than the whole grant goes alone.
 *   MEM2  A receiver has granted exactly what it has handed on and the bounds of one channel: less would be a leak that ends in a
 *         channel which stands still, more would be memory that nobody bounds.
 *   MEM3  The rows that an actor says are in flight stay within the window of `infer`, but for a single larger batch, or within the windows
 *         of those whose work it has taken over.
 *   MEM4  The rows that an instance says it has queued stay within its bound, but for a single larger request.
 */
import { limits } from "../../../src/base/limits.js";
import type { HostReport } from "../../../src/wire/control.js";
import {
  type CreditHeader,
  creditFrame,
  dataFrame,
  decodeFrame,
  frameKind,
  type LoadReport,
} from "../../../src/wire/frames.js";
import { classOfSubject, type SimMessage } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";

interface Channel {
  framesGranted: bigint;
  bytesGranted: bigint;
  acknowledged: bigint;
  bytesSent: bigint;
  /** Bytes of each frame. */
  readonly sent: Map<bigint, bigint>;
  /** Bytes of the frames below `acknowledged`. */
  bytesHanded: bigint;
}

export function boundsChecker({ world, scenario }: CheckedRun): Checker {
  const channels = new Map<string, Channel>();
  const channelOf = (subject: string, channel: string, attempt: number): Channel => {
    const job = subject.split(".")[2];
    const key = `${job} ${channel} of attempt ${attempt}`;
    const known = channels.get(key) ?? {
      framesGranted: 0n,
      bytesGranted: 0n,
      acknowledged: 0n,
      bytesSent: 0n,
      sent: new Map<bigint, bigint>(),
      bytesHanded: 0n,
    };
    channels.set(key, known);
    return known;
  };

  return {
    onMessage(message) {
      const what = classOfSubject(message.subject);
      if (what === "data") onData(message);
      else if (what === "credit") onCredit(message);
      else if (what === "report") onReport(message);
      else if (what === "load") onLoad(message);
    },
  };

  function onData({ subject, payload }: SimMessage): void {
    const { channel, attempt, sequence } = dataFrame.decode(payload).header;
    const known = channelOf(subject, channel, attempt);
    if (known.sent.has(sequence)) return; // sent again
    known.sent.set(sequence, BigInt(payload.length));
    known.bytesSent += BigInt(payload.length);
    const alone = known.acknowledged === sequence;
    if (alone || (sequence < known.framesGranted && known.bytesSent <= known.bytesGranted)) return;
    const granted = `${known.framesGranted} frames and ${known.bytesGranted} bytes`;
    const seen = `frame ${sequence}, ${known.bytesSent} bytes`;
    world.found("bounds (MEM1)", `channel ${channel} within its grant of ${granted}`, seen);
  }

  function onCredit({ subject, payload }: SimMessage): void {
    if (frameKind(payload) !== "credit") return; // a nack asks for frames again
    const { header } = creditFrame.decode(payload);
    const { channel, attempt, acknowledged, bytesGranted, framesGranted } = header;
    const known = channelOf(subject, channel, attempt);
    for (; known.acknowledged < acknowledged; known.acknowledged += 1n) {
      known.bytesHanded += known.sent.get(known.acknowledged) ?? 0n;
    }
    if (acknowledged === known.acknowledged) grantIsExact(known, header);
    if (bytesGranted > known.bytesGranted) known.bytesGranted = bytesGranted;
    if (framesGranted > known.framesGranted) known.framesGranted = framesGranted;
  }

  function grantIsExact(known: Channel, { channel, acknowledged, bytesGranted, framesGranted }: CreditHeader): void {
    const bytes = known.bytesHanded + BigInt(limits.channelCreditBytes);
    const frames = acknowledged + BigInt(limits.channelCreditFrames);
    if (bytesGranted === bytes && framesGranted === frames) return;
    const expected = `a grant of ${frames} frames and ${bytes} bytes on channel ${channel}, of which ${acknowledged} frames were handed on`;
    world.found("bounds (MEM2)", expected, `${framesGranted} frames and ${bytesGranted} bytes`);
  }

  function onReport({ payload }: SimMessage): void {
    const { kind, header } = decodeFrame(payload);
    if (kind !== "host-report") return;
    const rowsMax = Math.max(limits.inferWindowRows, scenario.rowsPerBatch) * (scenario.mergesMax ?? 1);
    for (const { actor, rowsInFlight } of (header as HostReport).actors) {
      if (rowsInFlight <= BigInt(rowsMax)) continue;
      world.found("bounds (MEM3)", `${actor} with at most ${rowsMax} rows in flight`, `${rowsInFlight}`);
    }
  }

  function onLoad({ payload }: SimMessage): void {
    if (frameKind(payload) !== "load-report") return;
    const { instance, queuedRows } = decodeFrame(payload).header as LoadReport;
    const rowsMax = Math.max(limits.instanceQueueRowsMax, scenario.rowsPerBatch);
    if (queuedRows <= rowsMax) return;
    world.found("bounds (MEM4)", `${instance} with at most ${rowsMax} rows queued`, `${queuedRows}`);
  }
}
