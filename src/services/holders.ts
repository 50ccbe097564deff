/**
 * Finds what a service has done before for rows that are asked about again: who is asked first, the instances, all at once;
 * then the answers that are kept as objects.
 *
 * Invariants:
 *   S10 A request that is asked about goes on when every READY instance has said what it holds, or had time to; and then to the one
 *       that holds its rows, if there is one. One whose rows are held in several places, or only in part, goes on in parts, each to
 *       its place: whoever is given a row that another holds works on it again.
 *   S11 What no instance holds that takes requests is looked for among the answers that are kept as objects, before it is sent; not for longer than
 *       `limits.storeCheckTimeoutMs`, for it can be worked on again.
 */
import type { InstanceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Clock, Timer } from "../base/ports.js";
import type { HoldingHeader } from "../wire/frames.js";
import type { AnswerStore } from "./answer-store.js";
import type { RowAnswer } from "./journal.js";
import { idsOf } from "./row-ids.js";
import type { Part } from "./split-request.js";

/** What has to be known of a request here. */
export interface AskedRequest {
  readonly rowIds: readonly string[];
  /** Instance that has said it holds the rows; empty: none has. */
  holder: string;
}

export interface HoldersOptions<Request extends AskedRequest> {
  readonly clock: Clock;
  /** Where instances keep answers that took long; undefined: nowhere. */
  readonly saved: AnswerStore | undefined;
  /** Instances that take requests. */
  ready(): readonly InstanceId[];
  /** Asks all instances at once. @param round to be repeated by them */
  ask(rowIds: readonly string[], round: number): void;
  /** @returns a request for each of the parts, in their order */
  split(request: Request, parts: readonly Part[]): readonly Request[];
  /** They can be sent, before all others. */
  send(requests: readonly Request[]): void;
  /** Answers of its rows are there, of some at least; undefined: not of this one. */
  answered(request: Request, answers: readonly (RowAnswer | undefined)[]): void;
}

/** Somebody else's request: only whether its rows are there is asked. */
interface Probe extends AskedRequest {
  tell(held: boolean): void;
}

/** All that is asked about at once. */
interface Round<Request extends AskedRequest> {
  readonly number: number;
  /** With the instance that holds it for each row, "" for none; undefined: no row is held, as far as has been heard. */
  readonly requests: Map<Request | Probe, string[] | undefined>;
  /** Not heard yet. */
  readonly awaited: Set<InstanceId>;
}

export class Holders<Request extends AskedRequest> {
  #rounds = 0;
  /** They are asked about in the next round. */
  #next: (Request | Probe)[] = [];
  #round: Round<Request> | undefined;
  /** Their answers are being looked for. */
  #looking = new Set<Request | Probe>();
  /** Begins or ends a round. */
  #timer: Timer | undefined;
  /** Each ends a search. */
  #searches = new Set<Timer>();

  constructor(private readonly options: HoldersOptions<Request>) {}

  /** S10 */
  find(request: Request): void {
    this.#next.push(request);
    this.#timer ??= this.options.clock.after(0, () => this.#begin());
  }

  /** Whether an instance holds any of these rows, or an answer to any of them is kept. */
  holds(rowIds: readonly string[]): Promise<boolean> {
    return new Promise((tell) => this.find({ rowIds, holder: "", tell } as Probe as never));
  }

  #send(requests: readonly (Request | Probe)[]): void {
    for (const request of requests) if (isProbe(request)) request.tell(request.holder !== "");
    this.options.send(requests.filter((request) => !isProbe(request)) as Request[]);
  }

  #answered(request: Request | Probe, answers: readonly (RowAnswer | undefined)[]): void {
    if (isProbe(request)) request.tell(true);
    else this.options.answered(request, answers);
  }

  /** S11 */
  lookUp(requests: readonly (Request | Probe)[]): void {
    const { saved } = this.options;
    const send = (some: readonly (Request | Probe)[]) => this.#send(some);
    const findable = saved === undefined ? [] : requests.filter(({ rowIds }) => rowIds.length > 0);
    send(findable.length === 0 ? requests : requests.filter(({ rowIds }) => rowIds.length === 0));
    if (findable.length === 0) return;
    const search = this.options.clock.after(limits.storeCheckTimeoutMs, () => {
      this.#searches.delete(search);
      send(findable.filter((request) => this.#looking.delete(request)));
    });
    this.#searches.add(search);
    void Promise.all(findable.map((request) => this.#lookUpOne(saved!, request))).then(() => {
      search.cancel();
      this.#searches.delete(search);
    });
  }

  async #lookUpOne(saved: AnswerStore, request: Request | Probe): Promise<void> {
    this.#looking.add(request);
    const found = await saved.find(request.rowIds);
    if (!this.#looking.delete(request)) return; // it was given up, or sent, meanwhile
    if (found.size === 0) this.#send([request]);
    else {
      this.#answered(
        request,
        request.rowIds.map((id) => found.get(id)),
      );
    }
  }

  onHolding({ instance, rowIds, round: number }: HoldingHeader): void {
    const held = new Set(idsOf(rowIds));
    // One that drains takes no request, whatever it holds: its rows are looked for where it has saved them.
    const takes = this.options.ready().includes(instance as InstanceId);
    if (takes && held.size > 0) this.#sendLate(held, instance);
    const round = this.#round;
    if (round === undefined) return;
    if (takes && held.size > 0) this.#send(this.#found(round, held, instance));
    // What it said to a question before, late or twice, is true of those rows, and says nothing of these.
    const heard = (number === round.number || number === 0) && round.awaited.delete(instance as InstanceId);
    if (round.requests.size === 0 || (heard && round.awaited.size === 0)) this.#end();
  }

  /** Its round was over before this instance was heard. */
  #sendLate(held: ReadonlySet<string>, instance: string): void {
    const late = [...this.#looking].filter(({ rowIds }) => rowIds.every((id) => held.has(id)));
    for (const request of late) {
      this.#looking.delete(request);
      request.holder = instance;
    }
    if (late.length > 0) this.#send(late);
  }

  /** @returns what nobody else has to be heard about */
  #found({ requests }: Round<Request>, held: ReadonlySet<string>, instance: string): (Request | Probe)[] {
    const found: (Request | Probe)[] = [];
    for (const [request, known] of requests) {
      if (!request.rowIds.some((id) => held.has(id))) continue;
      const holders = request.rowIds.map((id, row) => known?.[row] || (held.has(id) ? instance : ""));
      requests.set(request, holders);
      if (!isProbe(request) && holders.includes("")) continue;
      requests.delete(request);
      found.push(...this.#parts(request, holders));
    }
    return found;
  }

  /** One for each run of rows that are in one place, or in none. */
  #parts(request: Request | Probe, holders: readonly string[]): readonly (Request | Probe)[] {
    const starts = holders.flatMap((holder, row) => (row === 0 || holder !== holders[row - 1] ? [row] : []));
    const runs = starts.map((start, i) => ({ start, rows: (starts[i + 1] ?? holders.length) - start }));
    const parts = isProbe(request) || runs.length === 1 ? [request] : this.options.split(request, runs);
    for (const [i, part] of parts.entries()) part.holder = isProbe(part) ? "held" : holders[starts[i]!]!;
    return parts;
  }

  /** Takes out what matches. */
  remove(matches: (request: Request) => boolean): Request[] {
    const all = [...this.#next, ...(this.#round?.requests.keys() ?? []), ...this.#looking];
    const removed = all.filter((request): request is Request => !isProbe(request) && matches(request));
    this.#next = this.#next.filter((request) => isProbe(request) || !matches(request));
    for (const request of removed) {
      this.#round?.requests.delete(request);
      this.#looking.delete(request);
    }
    return removed;
  }

  close(): void {
    this.#timer?.cancel();
    for (const search of this.#searches) search.cancel();
    this.#searches.clear();
  }

  /** All that has come meanwhile is asked about at once. */
  #begin(): void {
    const requests = this.#next.splice(0);
    this.#round = {
      number: ++this.#rounds,
      requests: new Map(requests.map((request) => [request, undefined])),
      awaited: new Set(this.options.ready()),
    };
    const rowIds = requests.flatMap((request) => request.rowIds);
    this.options.ask(rowIds, this.#rounds);
    this.#timer = this.options.clock.after(limits.askWaitMs, () => this.#end());
  }

  #end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const round = this.#round;
    this.#round = undefined;
    const asked = [...(round?.requests ?? [])].flatMap(([request, holders]) =>
      holders === undefined ? [request] : this.#parts(request, holders),
    );
    const held = asked.filter(({ holder }) => holder !== "");
    if (held.length > 0) this.#send(held);
    this.lookUp(asked.filter(({ holder }) => holder === ""));
    if (this.#next.length > 0) this.#begin();
  }
}

function isProbe(request: AskedRequest): request is Probe {
  return "tell" in request;
}
