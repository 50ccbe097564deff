/**
 * What the sender of a channel may send and what it keeps to send again. Pure: no bus, no clock.
 *
 * Invariants:
 *   W1  It admits no frame that takes it over the granted frames or bytes, except one larger than the grant, alone (N2).
 *   W2  It keeps every frame that the receiver does not have, and no other; so what it keeps stays within the grant.
 *   W3  A credit that comes late, or twice, takes nothing back.
 *   W4  A frame is sent again only when the receiver asks for it, at once the first time, then after pauses that double:
 *       what is slow, and not lost, is not made slower.
 */
import { limits } from "../base/limits.js";
import type { CreditHeader } from "../wire/frames.js";

interface Kept {
  readonly frame: Uint8Array;
  lastSentMs: number;
  repeats: number;
}

export class SendWindow {
  #kept: Kept[] = [];
  #keptBytes = 0;
  #sent = 0n;
  #sentBytes = 0n;
  #acknowledged = 0n;
  #arrived = 0n;
  #grantedBytes = 0n;
  #grantedFrames = 0n;
  /** Asked for, and not sent again yet. */
  #owed = new Set<bigint>();

  /** Frames sent so far, not counting repetitions: the number of the next one. */
  get sent(): bigint {
    return this.#sent;
  }
  /** The receiver has every frame below this number. */
  get arrived(): bigint {
    return this.#arrived;
  }
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** @param bytes of the frame, or a part of them where the rest is not known yet */
  admits(bytes: number): boolean {
    if (this.#grantedFrames === 0n) return false;
    if (this.#acknowledged === this.#sent) return true;
    return this.#sent < this.#grantedFrames && this.#sentBytes + BigInt(bytes) <= this.#grantedBytes;
  }

  add(frame: Uint8Array, nowMs: number): void {
    this.#kept.push({ frame, lastSentMs: nowMs, repeats: 0 });
    this.#keptBytes += frame.length;
    this.#sent += 1n;
    this.#sentBytes += BigInt(frame.length);
  }

  /** Whether the numbers can be true. */
  believes(credit: CreditHeader): boolean {
    return credit.acknowledged >= 0n && credit.acknowledged <= this.#sent && credit.arrived <= this.#sent;
  }

  /** @returns whether anything is new in it, and whether there may be more room for the next frame (W3) */
  credit(credit: CreditHeader): { readonly news: boolean; readonly room: boolean } {
    const grants = [this.#acknowledged, this.#grantedBytes, this.#grantedFrames];
    const arrived = this.#arrived;
    this.#acknowledged = max(this.#acknowledged, credit.acknowledged);
    this.#grantedBytes = max(this.#grantedBytes, credit.bytesGranted);
    this.#grantedFrames = max(this.#grantedFrames, credit.framesGranted);
    this.#forget(max(credit.arrived, credit.acknowledged));
    const now = [this.#acknowledged, this.#grantedBytes, this.#grantedFrames];
    const room = now.some((value, i) => value !== grants[i]);
    return { news: room || this.#arrived !== arrived, room };
  }

  /** The receiver lacks these; `again` gives those that may go out now (W4). */
  ask(from: bigint, to: bigint, nowMs: number): void {
    const last = to < this.#sent ? to : this.#sent;
    for (let sequence = max(from, this.#arrived); sequence < last; sequence += 1n) {
      const { lastSentMs, repeats } = this.#at(sequence);
      if (repeats === 0 || nowMs - lastSentMs >= pauseMs(repeats)) this.#owed.add(sequence);
    }
  }

  /** The next frame to send again. */
  again(nowMs: number): Uint8Array | undefined {
    for (const sequence of this.#owed) {
      this.#owed.delete(sequence);
      if (sequence < this.#arrived) continue;
      const kept = this.#at(sequence);
      kept.lastSentMs = nowMs;
      kept.repeats += 1;
      return kept.frame;
    }
    return undefined;
  }

  /** Nothing will be sent any more. */
  clear(): void {
    this.#kept = [];
    this.#keptBytes = 0;
    this.#owed.clear();
    this.#arrived = this.#sent;
  }

  #at(sequence: bigint): Kept {
    return this.#kept[Number(sequence - this.#arrived)]!;
  }

  #forget(below: bigint): void {
    if (below <= this.#arrived) return;
    for (const kept of this.#kept.splice(0, Number(below - this.#arrived))) this.#keptBytes -= kept.frame.length;
    this.#arrived = below;
  }
}

function pauseMs(repeats: number): number {
  return Math.min(limits.channelGapMs * 2 ** repeats, limits.channelRepeatMsMax);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
