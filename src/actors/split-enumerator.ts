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
 *   D6  Ahead of time a reader is given a split only while every reader could be given as many: what is left at the end is for
 *       whoever has nothing to do.
 *   D7  One that meets the record of a later one stops. Until it does, D3 makes it harmless.
 *   D8  Of a question that is asked again only the newest message is answered: nobody waits for the answer to the others.
 *   D9  A listing that has enough for every reader for now takes its time: whoever takes over lists in a host that has work to do.
 */
import { ERROR_CODES, isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Source, SourceContext, Split } from "../topology/endpoints.js";
import { type SplitAssignment, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";
import type { RecordedAssignment, SplitRecord } from "../wire/stored.js";
import { Mailbox } from "./mailbox.js";
import { SplitLog, type SplitLogOptions } from "./split-log.js";

/** Which of several enumerators of a source is the latest: by the coordinator's term, then by its attempt. */
export interface EnumeratorRank {
  readonly term: bigint;
  readonly attempt: number;
}

export function isLater(one: EnumeratorRank, other: EnumeratorRank): boolean {
  return one.term > other.term || (one.term === other.term && one.attempt > other.attempt);
}

export interface SplitEnumeratorOptions extends Pick<SplitLogOptions, "logKey" | "pageKey"> {
  readonly source: Source;
  readonly operator: string;
  /** Where readers ask. */
  readonly subject: string;
  /** How many of them there are. */
  readonly readers: number;
  readonly rank: EnumeratorRank;
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly context: SourceContext;
}

interface Question {
  readonly reader: string;
  readonly number: bigint;
  readonly ahead: number;
  readonly more: number;
  readonly replyTo: string;
}

export class SplitEnumerator {
  #listed = newMailbox();
  /** Listed, and taken for a record that was not written. */
  #spare: Split[] = [];
  #subscription: Subscription | undefined;
  /** D8 */
  #questions = new Map<string, Question>();
  #answering = false;
  #assigned = new Map<string, Split>();
  /** Ids of the splits that the log names. */
  #given = new Set<string>();
  /** Ids of those, and of all that were listed. */
  #known = new Set<string>();
  #counted = new Set<string>();
  #log: SplitLog;
  #rank: EnumeratorRank;
  /** The log is another's, which has to learn of this one (D7). */
  #claims = false;
  /** The log says that every split was listed and assigned. */
  #done = false;
  #closed = false;
  /** Rows of every split listed or assigned so far. */
  rowsTotal = 0;

  constructor(private readonly options: SplitEnumeratorOptions) {
    this.#log = new SplitLog({ ...options, log: options.context.log });
    this.#rank = options.rank;
  }

  /** Reads the log, then listens. */
  async open(): Promise<void> {
    for await (const record of this.#log.read()) this.#take(record);
    if (this.#stopped) return;
    const subscription = await this.options.bus.subscribe(this.options.subject, (message) => this.#onQuestion(message));
    if (this.#stopped) return subscription.unsubscribe();
    this.#subscription = subscription;
    this.#claims = this.#log.newest > 0n && !this.#done;
    if (this.#claims) void this.#answerAll();
    void this.#list();
  }

  close(): void {
    this.#closed = true;
    this.#subscription?.unsubscribe();
    this.#listed.close();
  }

  /** It hands out nothing any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The coordinator, or the next one, wants this one to go on. */
  promote(rank: EnumeratorRank): void {
    if (isLater(rank, this.#rank)) this.#rank = rank;
  }

  get #stopped(): boolean {
    return this.#closed || this.options.context.signal.aborted;
  }

  #onQuestion({ payload, replyTo }: BusMessage): void {
    const { reader, number, ahead, more } = splitRequestFrame.decode(payload).header;
    if (replyTo === undefined) return;
    const question = { reader, number, ahead, more, replyTo };
    const name = nameOf(reader, number);
    if (this.#assigned.has(name) || !this.#hasFor(ahead)) this.#reply(question, undefined);
    else {
      this.#questions.set(name, question);
      void this.#answerAll();
    }
  }

  /** What the next record of the log holds, whoever wrote it. */
  #take({ assignments, listed, term, attempt }: SplitRecord): void {
    for (const { reader, number: question, split } of assignments) {
      this.#assigned.set(nameOf(reader, question), split);
      this.#given.add(split.id);
      this.#know(split);
    }
    this.#done ||= listed;
    if (!isLater({ term, attempt }, this.#rank)) return;
    this.options.context.log.info("another hands out the splits now", { source: this.options.operator, term, attempt });
    this.close(); // D7
  }

  #know(split: Split): void {
    if (!this.#counted.has(split.id)) this.rowsTotal += split.rows;
    this.#counted.add(split.id);
    this.#known.add(split.id);
  }

  async #list(): Promise<void> {
    const listed = this.#listed;
    if (this.#done) return listed.close();
    const { source, context, clock } = this.options;
    try {
      let inTurn = 0;
      for await (const split of source.splits(context)) {
        // A source that has its splits at hand would keep the host's actors from their work.
        if (++inTurn % limits.splitsListedInTurn === 0) {
          await clock.sleep(this.#hasFor(limits.splitsInHand) ? limits.splitsListedPauseMs : 0); // D9
        }
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
    do {
      const questions = [...this.#questions.values()].sort((a, b) => Math.sign(a.ahead) - Math.sign(b.ahead));
      this.#questions.clear();
      await this.#answer(questions);
    } while (this.#questions.size > 0 && !this.#stopped);
    this.#answering = false;
  }

  async #answer(asked: readonly Question[]): Promise<void> {
    let questions = asked;
    const fresh = new Map<string, RecordedAssignment>();
    let done = this.#done;
    let failure: MillraceError | undefined;
    for (const [i, question] of questions.entries()) {
      const { reader, number, ahead } = question;
      const name = nameOf(reader, number);
      if (this.#assigned.has(name) || fresh.has(name) || done || !this.#hasFor(ahead)) continue;
      if (fresh.size > 0 && this.#available === 0) {
        // Whoever has a split already does not wait for the listing.
        for (const left of questions.slice(i)) this.#askAgain(left);
        questions = questions.slice(0, i);
        break;
      }
      try {
        const split = await this.#next();
        if (this.#stopped) return; // D5
        if (split === undefined) done = true;
        else {
          fresh.set(name, { reader, number, split });
          await this.#addMore(question, fresh);
        }
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

  /** Splits in hand that nobody has. */
  get #available(): number {
    return this.#spare.length + this.#listed.items;
  }

  /** D6 */
  #hasFor(ahead: number): boolean {
    return this.#available >= ahead * this.options.readers;
  }

  /** D8 */
  #askAgain(question: Question): void {
    const name = nameOf(question.reader, question.number);
    if (!this.#questions.has(name)) this.#questions.set(name, question);
  }

  /** What its reader is about to ask for goes into the same record, as far as it is in hand (D6). */
  async #addMore({ reader, number, ahead, more }: Question, fresh: Map<string, RecordedAssignment>): Promise<void> {
    for (let i = 1; i <= more && this.#available > 0 && this.#hasFor(ahead + i); i++) {
      const name = nameOf(reader, number + BigInt(i));
      if (this.#assigned.has(name) || fresh.has(name)) continue;
      const split = this.#spare.shift() ?? (await this.#listed.take());
      if (split === undefined) return;
      if (!this.#given.has(split.id)) fresh.set(name, { reader, number: number + BigInt(i), split });
      else i -= 1; // another has given it meanwhile
    }
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
    if (assignments.length === 0 && (!listed || this.#done) && !this.#claims) return;
    this.#claims = false; // whatever else it writes says as much
    const source = this.options.operator;
    const number = this.#log.newest + 1n;
    const record = { source, number, assignments: [...assignments], listed, ...this.#rank };
    try {
      this.#take(await this.#log.append(record));
    } finally {
      for (const { split } of assignments) if (!this.#given.has(split.id)) this.#spare.push(split);
    }
  }

  #reply(question: Question, failure: MillraceError | undefined): void {
    const { reader, number, ahead, replyTo } = question;
    const split = this.#assigned.get(nameOf(reader, number)) ?? null;
    const open = split === null && !this.#done;
    if (open && failure === undefined && ahead === 0) {
      this.#askAgain(question); // another's record came first
      return;
    }
    const error = open && ahead === 0 ? failure : undefined;
    const answer: SplitAssignment = {
      split,
      done: split === null && this.#done,
      code: error?.code ?? "",
      message: error?.message ?? "",
      more: split === null ? [] : this.#following(question),
    };
    // Lost, or too late: the reader asks again.
    void (async () => this.options.bus.publish(replyTo, splitAssignmentFrame.encode(answer)))().catch(() => {});
  }

  /** What its reader would ask for next, as far as it is recorded (D1). */
  #following({ reader, number, more }: Question): Split[] {
    const splits: Split[] = [];
    for (let i = 1; i <= more; i++) {
      const split = this.#assigned.get(nameOf(reader, number + BigInt(i)));
      if (split === undefined) break;
      splits.push(split);
    }
    return splits;
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
