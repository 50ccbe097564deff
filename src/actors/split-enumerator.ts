/**
 * Hands out the splits of one source. It is a region of its own, and its log is its state.
 *
 * Invariants:
 *   D1  An assignment is in the log before its reader is told of it; the same question has the same answer for ever.
 *   D2  A split is assigned once. A restarted enumerator lists the source again and leaves out what its log names.
 *   D3  Each record of the log is created once; an enumerator that meets another's record has been replaced, and stops.
 *   D4  Questions that come while a record is written are answered by the next one, together.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Bus, Subscription } from "../bus/bus.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Source, SourceContext, Split } from "../topology/endpoints.js";
import { type SplitAssignment, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";
import { type RecordedAssignment, splitRecordFrame } from "../wire/stored.js";
import { Mailbox } from "./mailbox.js";

export interface SplitEnumeratorOptions {
  readonly source: Source;
  readonly operator: string;
  /** Where readers ask. */
  readonly subject: string;
  readonly bus: Bus;
  readonly store: ObjectStore;
  /** Key of record `number` of the log. */
  logKey(number: bigint): string;
  readonly context: SourceContext;
}

interface Question {
  readonly reader: string;
  readonly number: bigint;
  readonly replyTo: string;
}

export class SplitEnumerator {
  #listed = new Mailbox<Split>({ bytesMax: Number.POSITIVE_INFINITY, itemsMax: limits.splitsAheadMax });
  #subscription: Subscription | undefined;
  #questions: Question[] = [];
  #answering = false;
  #assigned = new Map<string, Split>();
  #known = new Set<string>();
  #newest = 0n;
  /** Every split was listed and assigned. */
  #done = false;
  #doneRecorded = false;
  #closed = false;
  /** Rows of every split listed or assigned so far. */
  rowsTotal = 0;

  constructor(private readonly options: SplitEnumeratorOptions) {}

  /** Reads the log, then listens. */
  async open(): Promise<void> {
    await this.#readLog();
    this.#subscription = await this.options.bus.subscribe(this.options.subject, (message) => {
      const { reader, number } = splitRequestFrame.decode(message.payload).header;
      if (message.replyTo === undefined) return;
      const question = { reader, number, replyTo: message.replyTo };
      if (this.#assigned.has(nameOf(reader, number))) return this.#reply(question, undefined);
      this.#questions.push(question);
      void this.#answerAll();
    });
    void this.#list();
  }

  close(): void {
    this.#closed = true;
    this.#subscription?.unsubscribe();
    this.#listed.close();
  }

  async #readLog(): Promise<void> {
    const { store, logKey } = this.options;
    for (;;) {
      const key = logKey(this.#newest + 1n);
      if ((await store.head(key)) === undefined) return;
      const record = splitRecordFrame.decode(await store.get(key)).header;
      this.#take(record.assignments);
      this.#newest = record.number;
      this.#done ||= record.listed;
      this.#doneRecorded = this.#done;
    }
  }

  #take(assignments: readonly RecordedAssignment[]): void {
    for (const { reader, number, split } of assignments) {
      this.#assigned.set(nameOf(reader, number), split);
      if (!this.#known.has(split.id)) this.rowsTotal += split.rows;
      this.#known.add(split.id);
    }
  }

  async #list(): Promise<void> {
    if (this.#done) return this.#listed.close();
    const { source, context } = this.options;
    try {
      for await (const split of source.splits(context)) {
        if (context.signal.aborted || this.#closed) return;
        if (this.#known.has(split.id)) continue;
        this.#known.add(split.id);
        this.rowsTotal += split.rows;
        await this.#listed.put(split, 0);
      }
      this.#listed.close();
    } catch (error) {
      this.#listed.fail(error);
    }
  }

  /** D4 */
  async #answerAll(): Promise<void> {
    if (this.#answering) return;
    this.#answering = true;
    try {
      while (this.#questions.length > 0 && !this.#closed) await this.#answer(this.#questions.splice(0));
    } catch (cause) {
      const error = MillraceError.from(cause);
      this.options.context.log.error("splits cannot be handed out any more", { error });
      this.close();
    } finally {
      this.#answering = false;
    }
  }

  async #answer(asked: readonly Question[]): Promise<void> {
    let questions = asked;
    const fresh = new Map<string, RecordedAssignment>();
    let failure: MillraceError | undefined;
    for (const [i, { reader, number }] of questions.entries()) {
      const name = nameOf(reader, number);
      if (this.#assigned.has(name) || fresh.has(name) || this.#done) continue;
      if (fresh.size > 0 && this.#listed.items === 0) {
        // Whoever has a split already does not wait for the listing.
        this.#questions.unshift(...questions.slice(i));
        questions = questions.slice(0, i);
        break;
      }
      try {
        const split = await this.#listed.take();
        if (split === undefined) this.#done = true;
        else fresh.set(name, { reader, number, split });
      } catch (cause) {
        failure = MillraceError.from(cause);
        break;
      }
    }
    if (fresh.size > 0 || this.#done) await this.#record([...fresh.values()]);
    for (const question of questions) this.#reply(question, failure);
  }

  /** D1, D3 */
  async #record(assignments: readonly RecordedAssignment[]): Promise<void> {
    if (assignments.length === 0 && this.#doneRecorded) return;
    const { store, operator, logKey } = this.options;
    const number = this.#newest + 1n;
    const frame = splitRecordFrame.encode({ source: operator, number, assignments, listed: this.#done });
    const made = await store.create(logKey(number), frame);
    if (!made.created && !Buffer.from(made.existing).equals(frame)) {
      throw new MillraceError("MILL_COMMAND_REFUSED", `another host hands out the splits of "${operator}" now.`);
    }
    this.#newest = number;
    this.#doneRecorded = this.#done;
    this.#take(assignments);
  }

  #reply({ reader, number, replyTo }: Question, failure: MillraceError | undefined): void {
    const split = this.#assigned.get(nameOf(reader, number)) ?? null;
    const error = split === null && !this.#done ? failure : undefined;
    const answer: SplitAssignment = {
      split,
      done: split === null && this.#done,
      code: error?.code ?? "",
      message: error?.message ?? "",
    };
    // Lost, or too late: the reader asks again.
    void (async () => this.options.bus.publish(replyTo, splitAssignmentFrame.encode(answer)))().catch(() => {});
  }
}

function nameOf(reader: string, number: bigint): string {
  return `${number} ${reader}`;
}
