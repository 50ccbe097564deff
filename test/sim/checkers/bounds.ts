/**
 * Memory stays within its bounds, seen on the wire.
 *
 *   MEM1  A channel's sender never has more frames or bytes under way than its receiver has granted; a frame that is
 *         larger than the whole grant goes alone.
 *   MEM2  The rows that an actor says are in flight stay within the window of `infer`, but for a single larger batch.
 *   MEM3  The rows that an instance says it has queued stay within its bound, but for a single larger request.
 */
import { limits } from "../../../src/base/limits.js";
import type { HostReport } from "../../../src/wire/control.js";
import { creditFrame, dataFrame, decodeFrame, frameKind, type LoadReport } from "../../../src/wire/frames.js";
import { classOfSubject, type SimMessage } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";

interface Channel {
  framesGranted: bigint;
  bytesGranted: bigint;
  acknowledged: bigint;
  bytesSent: bigint;
  readonly sent: Set<bigint>;
}

export function boundsChecker({ world, scenario }: CheckedRun): Checker {
  const channels = new Map<string, Channel>();
  const channelOf = (channel: string, attempt: number): Channel => {
    const key = `${channel} of attempt ${attempt}`;
    const known = channels.get(key) ?? {
      framesGranted: 0n,
      bytesGranted: 0n,
      acknowledged: 0n,
      bytesSent: 0n,
      sent: new Set<bigint>(),
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

  function onData({ payload }: SimMessage): void {
    const { channel, attempt, sequence } = dataFrame.decode(payload).header;
    const known = channelOf(channel, attempt);
    if (known.sent.has(sequence)) return; // sent again
    known.sent.add(sequence);
    known.bytesSent += BigInt(payload.length);
    const alone = known.acknowledged === sequence;
    if (alone || (sequence < known.framesGranted && known.bytesSent <= known.bytesGranted)) return;
    const granted = `${known.framesGranted} frames and ${known.bytesGranted} bytes`;
    const seen = `frame ${sequence}, ${known.bytesSent} bytes`;
    world.found("bounds (MEM1)", `channel ${channel} within its grant of ${granted}`, seen);
  }

  function onCredit({ payload }: SimMessage): void {
    if (frameKind(payload) !== "credit") return; // a nack asks for frames again
    const { channel, attempt, acknowledged, bytesGranted, framesGranted } = creditFrame.decode(payload).header;
    const known = channelOf(channel, attempt);
    if (acknowledged > known.acknowledged) known.acknowledged = acknowledged;
    if (bytesGranted > known.bytesGranted) known.bytesGranted = bytesGranted;
    if (framesGranted > known.framesGranted) known.framesGranted = framesGranted;
  }

  function onReport({ payload }: SimMessage): void {
    const { kind, header } = decodeFrame(payload);
    if (kind !== "host-report") return;
    const rowsMax = Math.max(limits.inferWindowRows, scenario.rowsPerBatch);
    for (const { actor, rowsInFlight } of (header as HostReport).actors) {
      if (rowsInFlight <= BigInt(rowsMax)) continue;
      world.found("bounds (MEM2)", `${actor} with at most ${rowsMax} rows in flight`, `${rowsInFlight}`);
    }
  }

  function onLoad({ payload }: SimMessage): void {
    if (frameKind(payload) !== "load-report") return;
    const { instance, queuedRows } = decodeFrame(payload).header as LoadReport;
    const rowsMax = Math.max(limits.instanceQueueRowsMax, scenario.rowsPerBatch);
    if (queuedRows <= rowsMax) return;
    world.found("bounds (MEM3)", `${instance} with at most ${rowsMax} rows queued`, `${queuedRows}`);
  }
}
