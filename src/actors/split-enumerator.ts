/**
 * Hands out the splits of one source. It is a region of its own, and its log is its state.
 *
 * Invariants:
 *   D1  An assignment is in the log before its reader is told of it; the same question has the same answer for ever.
 *   D2  A split is assigned once. A restarted enumerator lists the source again and leaves out what its log names.
 *   D3  Each record of the log is created once. An enumerator that meets another's record takes it over and goes on behind it, so
 *       any number of them, old and new, hand out the same splits to the same readers.
 *   D4  Questions that come while a record is written are answered by the next one, together.
 *   D5  What ends an enumerator, or fails once, is no end of the listing: only a listing that came to its end is recorded as one.
 */
import { ERROR_CODES, isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Bus, Subscription } from "../bus/bus.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Source, SourceContext, Split } from "../topology/endpoints.js";
import { type SplitAssignment, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";
import { type RecordedAssignment, type SplitRecord, splitRecordFrame } from "../wire/stored.js";
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
  #listed = newMailbox();
  /** Listed, and taken for a record that was not written. */
  #spare: Split[] = [];
  #subscription: Subscription | undefined;
  #questions: Question[] = [];
  #answering = false;
  #assigned = new Map<string, Split>();
  /** Ids of the splits that the log names. */
  #given = new Set<string>();
  /** Ids of those, and of all that were listed. */
  #known = new Set<string>();
  #counted = new Set<string>();
  #newest = 0n;
  /** The log says that every split was listed and assigned. */
  #done = false;
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

  get #stopped(): boolean {
    return this.#closed || this.options.context.signal.aborted;
  }

  async #readLog(): Promise<void> {
    const { store, logKey } = this.options;
    for (;;) {
      const key = logKey(this.#newest + 1n);
      if ((await store.head(key)) === undefined) return;
      this.#take(splitRecordFrame.decode(await store.get(key)).header);
    }
  }

  /** What the next record of the log holds, whoever wrote it. */
  #take({ number, assignments, listed }: SplitRecord): void {
    for (const { reader, number: question, split } of assignments) {
      this.#assigned.set(nameOf(reader, question), split);
      this.#given.add(split.id);
      this.#know(split);
    }
    this.#newest = number;
    this.#done ||= listed;
  }

  #know(split: Split): void {
    if (!this.#counted.has(split.id)) this.rowsTotal += split.rows;
    this.#counted.add(split.id);
    this.#known.add(split.id);
  }

  async #list(): Promise<void> {
    const listed = this.#listed;
    if (this.#done) return listed.close();
    const { source, context } = this.options;
    try {
      for await (const split of source.splits(context)) {
        if (this.#stopped) return;
        if (this.#known.has(split.id)) continue;
        this.#know(split);
        await listed.put(split, 0);
      }
      if (!this.#stopped) listed.close(); // D5
    } catch (error) {
      listed.fail(error);
    }
  }

  /** After what may pass: a failed mailbox has dropped what it held. */
  #listAgain(): void {
    this.#known = new Set([...this.#given, ...this.#spare.map(({ id }) => id)]);
    this.#listed = newMailbox();
    void this.#list();
  }

  /** D4 */
  async #answerAll(): Promise<void> {
    if (this.#answering) return;
    this.#answering = true;
    while (this.#questions.length > 0 && !this.#stopped) await this.#answer(this.#questions.splice(0));
    this.#answering = false;
  }

  async #answer(asked: readonly Question[]): Promise<void> {
    let questions = asked;
    const fresh = new Map<string, RecordedAssignment>();
    let done = this.#done;
    let failure: MillraceError | undefined;
    for (const [i, { reader, number }] of questions.entries()) {
      const name = nameOf(reader, number);
      if (this.#assigned.has(name) || fresh.has(name) || done) continue;
      if (fresh.size > 0 && this.#spare.length + this.#listed.items === 0) {
        // Whoever has a split already does not wait for the listing.
        this.#questions.unshift(...questions.slice(i));
        questions = questions.slice(0, i);
        break;
      }
      try {
        const split = await this.#next();
        if (this.#stopped) return; // D5
        if (split === undefined) done = true;
        else fresh.set(name, { reader, number, split });
      } catch (cause) {
        failure = MillraceError.from(cause);
        if (isPassing(failure)) this.#listAgain();
        break;
      }
    }
    try {
      await this.#record([...fresh.values()], done);
    } catch (cause) {
      failure = MillraceError.from(cause);
      this.options.context.log.warn("splits could not be recorded", { source: this.options.operator, error: failure });
      // Nobody is told: readers ask again.
      if (isPassing(failure)) questions = [];
    }
    for (const question of questions) this.#reply(question, failure);
  }

  /** The next split that nobody has; undefined: all are listed and given. */
  async #next(): Promise<Split | undefined> {
    for (;;) {
      const split = this.#spare.shift() ?? (await this.#listed.take());
      if (split === undefined || !this.#given.has(split.id)) return split;
    }
  }

  /** D1, D3. Where another's record is in the way, these splits are spare again, and whoever lacks an answer asks again. */
  async #record(assignments: readonly RecordedAssignment[], listed: boolean): Promise<void> {
    if (assignments.length === 0 && (!listed || this.#done)) return;
    const { store, operator, logKey } = this.options;
    const number = this.#newest + 1n;
    const record = { source: operator, number, assignments: [...assignments], listed };
    try {
      const made = await store.create(logKey(number), splitRecordFrame.encode(record));
      this.#take(made.created ? record : splitRecordFrame.decode(made.existing).header);
    } finally {
      for (const { split } of assignments) if (!this.#given.has(split.id)) this.#spare.push(split);
    }
  }

  #reply({ reader, number, replyTo }: Question, failure: MillraceError | undefined): void {
    const split = this.#assigned.get(nameOf(reader, number)) ?? null;
    if (split === null && !this.#done && failure === undefined) {
      // Another's record came first, and did not answer this.
      this.#questions.push({ reader, number, replyTo });
      return;
    }
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

function newMailbox(): Mailbox<Split> {
  return new Mailbox({ bytesMax: Number.POSITIVE_INFINITY, itemsMax: limits.splitsAheadMax });
}

function isPassing({ code }: MillraceError): boolean {
  return isErrorCode(code) && ERROR_CODES[code].retry === "backoff";
}

function nameOf(reader: string, number: bigint): string {
  return `${number} ${reader}`;
}
