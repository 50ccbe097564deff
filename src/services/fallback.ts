/**
 * The service that gets the rows which another could not answer.
 *
 * Invariant:
 *   S12 A request of a restored operator that may have gone to the fallback before goes there at once if any of its rows is there, or it
 *       would be paid for a second time. Who is given up meanwhile goes nowhere.
 */
import type { RecordBatch } from "apache-arrow";
import type { Span } from "../base/telemetry.js";
import type { Answer } from "./split-request.js";

/** What has to be known of a request here. */
export interface Given {
  readonly owner: object;
  readonly records: RecordBatch;
  /** Of its rows, whatever service is asked; or none. */
  readonly lineageIds: readonly string[];
  /** Whoever called has been restored. */
  readonly ask: boolean;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  /** Of the call; undefined: it is not traced. */
  readonly span?: Span | undefined;
}

/** A client of that service. */
interface Client {
  holds(rowIds: readonly string[], records: RecordBatch): Promise<boolean>;
  callInRuns(
    records: RecordBatch,
    owner: object,
    rowIds: readonly string[],
    ask: boolean,
    trace?: string,
  ): Promise<Answer>;
}

export class Fallback<Request extends Given> {
  #asked = new Set<Request>();

  constructor(private readonly client: Client) {}

  take({ records, owner, lineageIds, ask, resolve, reject, span }: Request): void {
    const answered = this.client.callInRuns(records, owner, lineageIds, ask, span?.traceparent);
    // Its instances are not all that may keep answers of these rows.
    answered.then((answer) => resolve({ ...answer, by: undefined }), reject);
  }

  /** @returns where the request belongs; undefined: it was given up meanwhile */
  async ask(request: Request): Promise<"here" | "elsewhere" | undefined> {
    this.#asked.add(request);
    const held = await this.client.holds(request.lineageIds, request.records);
    if (!this.#asked.delete(request)) return undefined;
    return held ? "here" : "elsewhere";
  }

  /** Takes out what matches of those that are asked about. */
  remove(matches: (request: Request) => boolean): Request[] {
    const removed = [...this.#asked].filter(matches);
    for (const request of removed) this.#asked.delete(request);
    return removed;
  }
}
