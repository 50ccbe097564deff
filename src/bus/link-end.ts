/** One end of a link: frames in and out of a duplex byte stream, what waits to be written, and its end. */
import type { Duplex } from "node:stream";
import { encodeLinkFrame, type LinkFrame, LinkFrameReader, type LinkKind } from "./link-frames.js";
import { Pending } from "./pending.js";

export interface LinkEndHandlers {
  onFrame(frame: LinkFrame): void;
  /** Called once when nothing will come or go any more; `error` says why, if it was not the other end's wish. */
  onEnd(error: Error | undefined): void;
}

export class LinkEnd {
  readonly pending = new Pending();
  private open = true;

  constructor(
    private readonly stream: Duplex,
    private readonly handlers: LinkEndHandlers,
  ) {
    const reader = new LinkFrameReader((frame) => {
      if (this.open) handlers.onFrame(frame);
    });
    stream.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.end(error instanceof Error ? error : new Error(String(error)));
      }
    });
    stream.once("end", () => this.end(undefined));
    stream.once("close", () => this.end(undefined));
    stream.on("error", (error) => this.end(error));
  }

  /** Hands the frame to the stream; drops it when the stream has ended. */
  send(frame: Partial<LinkFrame> & { readonly kind: LinkKind }): void {
    if (!this.open) return;
    const parts = encodeLinkFrame(frame);
    const bytes = frame.payload?.byteLength ?? 0;
    this.pending.add(bytes);
    const written = () => this.pending.remove(bytes);
    const [head, payload] = parts;
    if (payload === undefined) {
      this.stream.write(head, written);
      return;
    }
    // One system call for both, and at once: the caller may be about to block its thread with inference.
    this.stream.cork();
    this.stream.write(head);
    this.stream.write(payload, written);
    this.stream.uncork();
  }

  /** Stops reading until `room` resolves, so that the other end feels it. */
  async holdUntil(room: Promise<void>): Promise<void> {
    this.stream.pause();
    await room;
    this.stream.resume();
  }

  /** Writes what waits, then ends the stream. */
  close(): void {
    this.stream.end(() => this.stream.destroy());
  }

  destroy(error?: Error): void {
    this.end(error);
  }

  private end(error: Error | undefined): void {
    if (!this.open) return;
    this.open = false;
    this.stream.destroy();
    this.pending.release();
    this.handlers.onEnd(error);
  }
}
