/**
 * The parent's end of a link: does on the parent's bus what the child asks for, and takes it back when the child ends.
 *
 * The child's publications pause while the parent's bus has no room (B4). What waits for a child that does not read is
 * bounded by `limits.busLinkQueueBytesMax`; above it messages to it are dropped and counted in the log (B5).
 */
import type { Duplex } from "node:stream";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "./bus.js";
import { LinkEnd } from "./link-end.js";
import { type LinkFrame, LinkKind } from "./link-frames.js";

export interface ServedLink {
  /** Resolves when the link has ended, whoever ended it. */
  readonly ended: Promise<void>;
  /** Ends the child's subscriptions and the stream. The bus stays open. */
  close(): void;
}

/** Attaches the process at the other end of `stream`, which calls `connectLink`, to `bus`. */
export function serveLink(bus: Bus, stream: Duplex, ports: Ports): ServedLink {
  let resolveEnded = () => {};
  const ended = new Promise<void>((resolve) => {
    resolveEnded = resolve;
  });
  const server = new LinkServer(bus, stream, ports, () => resolveEnded());
  return { ended, close: () => server.close() };
}

class LinkServer {
  private readonly end: LinkEnd;
  /** `undefined` while the bus is still subscribing. */
  private readonly subscriptions = new Map<number, Subscription | undefined>();
  private readonly requests = new Map<number, AbortController>();
  private dropped = 0;

  constructor(
    private readonly bus: Bus,
    stream: Duplex,
    private readonly ports: Ports,
    private readonly onEnd: () => void,
  ) {
    this.end = new LinkEnd(stream, {
      onFrame: (frame) => this.receive(frame),
      onEnd: (error) => this.finish(error),
    });
  }

  close(): void {
    this.end.destroy();
  }

  private finish(error: Error | undefined): void {
    if (error !== undefined)
      this.ports.log[isGone(error) ? "debug" : "warn"]("the link to a child process broke", { error });
    for (const subscription of this.subscriptions.values()) subscription?.unsubscribe();
    this.subscriptions.clear();
    for (const abort of this.requests.values()) abort.abort();
    this.onEnd();
  }

  private receive(frame: LinkFrame): void {
    switch (frame.kind) {
      case LinkKind.publish:
        this.publish(frame);
        return;
      case LinkKind.subscribe:
        void this.subscribe(frame);
        return;
      case LinkKind.unsubscribe:
        this.subscriptions.get(frame.id)?.unsubscribe();
        this.subscriptions.delete(frame.id);
        return;
      case LinkKind.request:
        void this.request(frame);
        return;
      case LinkKind.cancel:
        this.requests.get(frame.id)?.abort();
        return;
      case LinkKind.flush:
        void this.answerWhen(frame.id, this.bus.flush());
        return;
      default:
        this.ports.log.warn("a child process sent a frame that only a parent sends", { kind: frame.kind });
    }
  }

  private publish({ subject, extra, payload }: LinkFrame): void {
    try {
      const room = this.bus.publish(subject, payload, extra === "" ? undefined : { replyTo: extra });
      if (room !== undefined) void this.end.holdUntil(room);
    } catch (error) {
      // The child has checked subject and size: what is left is a bus that has closed, and the link with it.
      this.end.destroy(MillraceError.from(error));
    }
  }

  private async subscribe({ id, subject, extra }: LinkFrame): Promise<void> {
    this.subscriptions.set(id, undefined);
    try {
      const options = extra === "" ? undefined : { queue: extra };
      const subscription = await this.bus.subscribe(subject, (message) => this.forward(id, message), options);
      if (!this.subscriptions.has(id)) return subscription.unsubscribe();
      this.subscriptions.set(id, subscription);
      this.end.send({ kind: LinkKind.done, id });
    } catch (error) {
      this.subscriptions.delete(id);
      this.fail(id, error);
    }
  }

  private forward(id: number, { subject, payload, replyTo }: BusMessage): void {
    if (this.end.pending.size() + payload.byteLength > limits.busLinkQueueBytesMax) {
      this.dropped += 1;
      this.ports.log.error("a child process does not read what it is sent; a message to it was dropped", {
        subject,
        dropped: this.dropped,
        limit: limits.busLinkQueueBytesMax,
      });
      return;
    }
    this.end.send({ kind: LinkKind.message, id, subject, extra: replyTo ?? "", payload });
  }

  private async request({ id, subject, timeoutMs, payload }: LinkFrame): Promise<void> {
    const abort = new AbortController();
    this.requests.set(id, abort);
    try {
      const answer = await this.bus.request(subject, payload, { timeoutMs, signal: abort.signal });
      this.end.send({
        kind: LinkKind.answer,
        id,
        subject: answer.subject,
        extra: answer.replyTo ?? "",
        payload: answer.payload,
      });
    } catch (error) {
      if (!abort.signal.aborted) this.fail(id, error);
    } finally {
      this.requests.delete(id);
    }
  }

  private async answerWhen(id: number, done: Promise<void>): Promise<void> {
    try {
      await done;
      this.end.send({ kind: LinkKind.done, id });
    } catch (error) {
      this.fail(id, error);
    }
  }

  private fail(id: number, error: unknown): void {
    const { code, message } = MillraceError.from(error);
    this.end.send({ kind: LinkKind.failed, id, subject: code, payload: Buffer.from(message) });
  }
}

/** The child ended before it had read everything. Whoever started it says of its end what there is to say. */
function isGone(error: NodeJS.ErrnoException): boolean {
  return error.code === "ECONNRESET" || error.code === "EPIPE";
}
