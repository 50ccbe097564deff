/**
 * Splits of one source: an enumerator lists them, readers ask for them.
 *
 * Invariants:
 *   E1  A split is assigned to one reader, in the order listed.
 *   E2  `done` is said only when every split is assigned; a source that cannot be listed is an error to every reader.
 *       An enumerator that was closed says nothing more: a reader must not take its end for the end of the source.
 *   E3  No more than `splitsAheadMax` listed splits wait here: the listing goes on as readers take them.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Bus, Subscription } from "../bus/bus.js";
import type { Source, SourceContext, Split } from "../topology/endpoints.js";
import { type SplitAssignment, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";
import { Mailbox } from "./mailbox.js";

export class SplitEnumerator {
  #ready = new Mailbox<Split>({ bytesMax: Number.POSITIVE_INFINITY, itemsMax: limits.splitsAheadMax });
  #subscription: Subscription | undefined;
  #answers: Promise<void> = Promise.resolve();
  #closed = false;
  /** Rows of every split listed so far. */
  rowsTotal = 0;

  constructor(
    private readonly source: Source,
    private readonly subject: string,
    private readonly bus: Bus,
    private readonly context: SourceContext,
  ) {}

  async open(): Promise<void> {
    this.#subscription = await this.bus.subscribe(this.subject, (message) => {
      splitRequestFrame.decode(message.payload);
      if (message.replyTo === undefined) return;
      const replyTo = message.replyTo;
      this.#answers = this.#answers.then(() => this.#answer(replyTo));
    });
  }

  /** Lists the source; resolves when all is listed and taken up by the queue. */
  async run(): Promise<void> {
    try {
      for await (const split of this.source.splits(this.context)) {
        if (this.context.signal.aborted) return;
        this.rowsTotal += split.rows;
        await this.#ready.put(split, 0);
      }
      this.#ready.close();
    } catch (error) {
      this.#ready.fail(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#subscription?.unsubscribe();
    this.#ready.close();
  }

  /** One answer that cannot be sent must not keep the ones after it. */
  async #answer(replyTo: string): Promise<void> {
    const assignment = await this.#next();
    if (this.#closed) return;
    try {
      await this.bus.publish(replyTo, splitAssignmentFrame.encode(assignment));
    } catch (error) {
      this.context.log.error("a split could not be handed out", { splits: assignment.splits.length, error });
    }
  }

  async #next(): Promise<SplitAssignment> {
    try {
      const split = await this.#ready.take();
      return { splits: split === undefined ? [] : [split], done: split === undefined, code: "", message: "" };
    } catch (cause) {
      const error = MillraceError.from(cause);
      return { splits: [], done: true, code: error.code, message: error.message };
    }
  }
}

/** The reader's side. @returns the next split, or undefined when there is none left */
export async function requestSplit(
  bus: Bus,
  subject: string,
  request: { readonly operator: OperatorId; readonly actor: string; readonly attempt: number },
  signal: AbortSignal,
): Promise<Split | undefined> {
  for (;;) {
    const answer = await bus.request(subject, splitRequestFrame.encode(request), {
      timeoutMs: limits.splitRequestTimeoutMs,
      signal,
    });
    const { splits, done, code, message } = splitAssignmentFrame.decode(answer.payload).header;
    if (code !== "")
      throw new MillraceError(isErrorCode(code) ? code : "MILL_INTERNAL", message, { operator: request.operator });
    if (splits[0] !== undefined) return splits[0];
    if (done) return undefined;
  }
}
