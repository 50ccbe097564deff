/** Bytes that were published and have not left yet, in the order of publication, and who waits for them to (B4). */
import { limits } from "../base/limits.js";
import { type Deferred, deferred } from "./deferred.js";

export class Pending {
  private bytes = 0;
  private added = 0;
  private removed = 0;
  private room: Deferred<void> | undefined;
  private marks: { readonly at: number; readonly done: Deferred<void> }[] = [];

  add(bytes: number): void {
    this.bytes += bytes;
    this.added += 1;
  }

  /** The oldest message, of `bytes`, has left. */
  remove(bytes: number): void {
    this.bytes -= bytes;
    this.removed += 1;
    if (this.bytes <= limits.busPendingBytesMax) this.releaseRoom();
    while (this.marks[0] !== undefined && this.marks[0].at <= this.removed) this.marks.shift()?.done.resolve();
  }

  /** Bytes that wait. */
  size(): number {
    return this.bytes;
  }

  /** Nothing when there is room, else a promise of room, the same one for everybody who waits. */
  whenRoom(): Promise<void> | undefined {
    if (this.bytes <= limits.busPendingBytesMax) return undefined;
    this.room ??= deferred<void>();
    return this.room.promise;
  }

  /** Resolves when everything added so far has left. */
  whenSent(): Promise<void> {
    if (this.added === this.removed) return Promise.resolve();
    const done = deferred<void>();
    this.marks.push({ at: this.added, done });
    return done.promise;
  }

  /** The connection has ended: nothing will leave any more, and nobody has to wait for it. */
  release(): void {
    this.releaseRoom();
    for (const mark of this.marks.splice(0)) mark.done.resolve();
  }

  private releaseRoom(): void {
    this.room?.resolve();
    this.room = undefined;
  }
}
