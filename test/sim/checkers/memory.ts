/**
 * What queues hold, looked at in memory after every change. The other checkers see the wire; what waits inside a process is
 * not to be seen there, so this one wraps the methods of the queues themselves while a run lasts.
 *
 *   HELD1  What waits to be taken from a channel stays within the channel's credit, or is one larger batch alone.
 *   HELD2  What a receiver holds, frames that came early included, stays within the credit, or is one larger frame.
 *   HELD3  What a sender keeps to send it again stays within the credit, or is one larger frame alone.
 *   HELD4  What `infer` has under way stays within its window in rows and bytes, or is one larger batch alone. What one instance takes over
 *          from several, when a job goes on from a savepoint with less parallelism, stays within their windows together.
 *   HELD5  A mailbox holds no more than its bounds, or one larger item alone.
 */
import { Handover } from "../../../src/actors/channel-handover.js";
import { BusChannelReceiver } from "../../../src/actors/channel-receiver.js";
import { SendWindow } from "../../../src/actors/channel-window.js";
import { Mailbox, type MailboxBounds } from "../../../src/actors/mailbox.js";
import { Window } from "../../../src/actors/window.js";
import { limits } from "../../../src/base/limits.js";
import { classOfSubject } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";

interface Held {
  pieces: number;
  rows: number;
  bytes: number;
  /** Of the largest piece so far. */
  rowsMax: number;
  bytesMax: number;
}

export function memoryChecker({ world, scenario }: CheckedRun): Checker {
  const undo: (() => void)[] = [];
  const receivers = new Set<BusChannelReceiver>();
  const waiting = new WeakMap<Handover, number[]>();
  const windows = new WeakMap<Window, Held>();
  let largestFrame = 0;

  /** Calls `then` after each call of the method, before whatever it returns resolves. */
  function after<T extends object, K extends keyof T>(
    type: { prototype: T },
    name: K,
    then: (self: T, args: unknown[], result: unknown) => void,
  ): void {
    const { prototype } = type;
    const original = prototype[name] as (...args: unknown[]) => unknown;
    prototype[name] = function (this: T, ...args: unknown[]): unknown {
      const result = original.apply(this, args);
      then(this, args, result);
      return result;
    } as T[K];
    undo.push(() => {
      prototype[name] = original as T[K];
    });
  }

  after(Handover, "add", (handover, [, bytes]) => {
    const sizes = waiting.get(handover) ?? [];
    waiting.set(handover, sizes);
    sizes.push(bytes as number);
    const left = Number(handover.arrived - handover.handed);
    if (sizes.length > left) sizes.splice(0, sizes.length - left);
    const held = sizes.reduce((sum, size) => sum + size, 0);
    if (left <= 1 || (left <= limits.channelCreditFrames && held <= limits.channelCreditBytes)) return;
    const expected = `${limits.channelCreditFrames} batches and ${limits.channelCreditBytes} bytes at most in a channel`;
    world.found("memory (HELD1)", expected, `${left} batches and ${held} bytes`);
  });
  after(BusChannelReceiver, "open", (receiver) => void receivers.add(receiver));
  after(BusChannelReceiver, "close", (receiver) => void receivers.delete(receiver));
  after(SendWindow, "add", ({ keptBytes }, [frame]) => {
    if (keptBytes <= limits.channelCreditBytes || keptBytes === (frame as Uint8Array).length) return;
    world.found("memory (HELD3)", `${limits.channelCreditBytes} bytes at most kept by a sender`, `${keptBytes}`);
  });
  after(Window, "force", (window, [rows, bytes]) => onForced(window, rows as number, bytes as number));
  after(Window, "tryEnter", (window, _, entered) => {
    const held = windows.get(window);
    if (entered === true && held !== undefined) onEntered(held, 1);
  });
  after(Window, "leave", (window, [rows, bytes]) => {
    const held = windows.get(window);
    if (held === undefined) return;
    held.pieces -= 1;
    held.rows -= rows as number;
    held.bytes -= bytes as number;
  });
  after(Mailbox, "put", (mailbox) => onMailbox(mailbox));

  return {
    onMessage({ subject, payload }) {
      const what = classOfSubject(subject);
      if (what === "data") largestFrame = Math.max(largestFrame, payload.length);
      if (what === "data" || what === "credit") onReceivers();
    },
    release() {
      for (const one of undo.splice(0)) one();
    },
  };

  function onReceivers(): void {
    const bytesMax = Math.max(limits.channelCreditBytes, largestFrame);
    for (const { heldBytes } of receivers) {
      if (heldBytes > bytesMax)
        world.found("memory (HELD2)", `${bytesMax} bytes at most in a receiver`, `${heldBytes}`);
    }
  }

  function onForced(window: Window, rows: number, bytes: number): void {
    const held = windows.get(window) ?? { pieces: 0, rows: 0, bytes: 0, rowsMax: 0, bytesMax: 0 };
    windows.set(window, held);
    held.pieces += 1;
    held.rows += rows;
    held.bytes += bytes;
    held.rowsMax = Math.max(held.rowsMax, rows);
    held.bytesMax = Math.max(held.bytesMax, bytes);
    onEntered(held, scenario.mergesMax ?? 1);
  }

  /** @param merged instances that each had a window of their own */
  function onEntered({ pieces, rows, bytes, rowsMax, bytesMax }: Held, merged: number): void {
    if (pieces <= merged || (rows <= limits.inferWindowRows && bytes <= limits.inferWindowBytes)) return;
    const within = (held: number, bound: number, largest: number) => held <= merged * Math.max(bound, largest);
    const areWithin = within(rows, limits.inferWindowRows, rowsMax) && within(bytes, limits.inferWindowBytes, bytesMax);
    if (merged > 1 && areWithin) return;
    const expected = `${limits.inferWindowRows} rows and ${limits.inferWindowBytes} bytes at most under way in infer`;
    world.found("memory (HELD4)", expected, `${rows} rows and ${bytes} bytes in ${pieces} batches`);
  }

  function onMailbox(mailbox: Mailbox<unknown>): void {
    const { items, bytes } = mailbox;
    const { bounds } = mailbox as unknown as { readonly bounds: MailboxBounds };
    if (items <= 1 || (items <= bounds.itemsMax && bytes <= bounds.bytesMax)) return;
    world.found(
      "memory (HELD5)",
      `${bounds.itemsMax} items and ${bounds.bytesMax} bytes at most`,
      `${items} and ${bytes}`,
    );
  }
}
