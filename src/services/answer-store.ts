/**
 * Answers that took long, as objects: they survive the instance that gave them. One object for each row, by its id.
 *
 * A hint like the journal: what cannot be saved or found is worked on again.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import type { JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { decodeBatch, encodeBatch, encodeSchema } from "../wire/arrow.js";
import type { RejectedRow } from "../wire/frames.js";
import { savedAnswerFrame } from "../wire/stored.js";
import type { RowOutcome } from "./handler-call.js";
import type { RowAnswer } from "./journal.js";

export interface AnswerStoreOptions {
  readonly job: JobId;
  readonly service: string;
  readonly schema: Schema;
  readonly log: Log;
  /** Opened when it is first needed: most services never do. */
  store(): ObjectStore | Promise<ObjectStore>;
}

export class AnswerStore {
  #schema: Uint8Array;
  #opened: Promise<ObjectStore> | undefined;
  /** A look for the mark that begins at the end of this turn. */
  #next: Promise<boolean> | undefined;
  /** This one has left the mark, or is about to. */
  #marked: Promise<void> | undefined;

  constructor(private readonly options: AnswerStoreOptions) {
    this.#schema = encodeSchema(options.schema);
  }

  /** @param ids of each row; "" for rows without one */
  async save(ids: readonly string[], { records, rejected }: RowOutcome): Promise<void> {
    await this.#each(ids, "saved", async (store, key, row) => {
      await this.#mark(store);
      await store.put(key, this.#encode(records.slice(row, row + 1), rejected.get(row)));
    });
  }

  /** Before the first that is saved, so that nobody who misses the mark misses an answer. */
  #mark(store: ObjectStore): Promise<void> {
    this.#marked ??= store.put(this.#markKey, new Uint8Array()).then(
      () => {},
      (error: unknown) => {
        this.#marked = undefined; // the next one tries again
        throw error;
      },
    );
    return this.#marked;
  }

  get #markKey(): string {
    return jobKeys(this.options.job).savedAnswer(this.options.service, "any");
  }

  /**
   * Of those that are there. A restored region asks about every row that it reads for a while, and most services keep nothing: a
   * question for each row would cost the store, and everybody's processors, more than the rows do. So one question is asked for
   * all that are looked for together, whether any was ever saved. (Not a list: on some stores what is new is not in it for a while.)
   */
  async find(ids: readonly string[]): Promise<Map<string, RowAnswer>> {
    const found = new Map<string, RowAnswer>();
    if (!ids.some((id) => id !== "") || !(await this.#hasAny())) return found;
    await this.#each(ids, "looked for", async (store, key, row) => {
      if ((await store.head(key)) !== undefined) found.set(ids[row]!, this.#decode(await store.get(key)));
    });
    return found;
  }

  #hasAny(): Promise<boolean> {
    this.#next ??= Promise.resolve().then(() => {
      this.#next = undefined; // what is saved from now on, who looks later has to find
      return this.#look();
    });
    return this.#next;
  }

  /** Never rejects. */
  async #look(): Promise<boolean> {
    const { service, log } = this.options;
    try {
      this.#opened ??= Promise.resolve(this.options.store());
      return (await (await this.#opened).head(this.#markKey)) !== undefined;
    } catch (error) {
      log.warn("answers could not be looked for", { service, error });
      return true; // each may be there all the same
    }
  }

  async delete(ids: readonly string[]): Promise<void> {
    await this.#each(ids, "deleted", (store, key) => store.delete(key));
  }

  /** Never rejects. */
  async #each(
    ids: readonly string[],
    what: string,
    act: (store: ObjectStore, key: string, row: number) => Promise<void>,
  ): Promise<void> {
    const { job, service, log } = this.options;
    const rows = ids.flatMap((id, row) => (id === "" ? [] : [row]));
    if (rows.length === 0) return;
    try {
      this.#opened ??= Promise.resolve(this.options.store());
      const store = await this.#opened;
      const keyOf = (row: number) =>
        jobKeys(job).savedAnswer(service, Buffer.from(ids[row]!, "latin1").toString("hex"));
      for (let at = 0; at < rows.length; at += limits.answerObjectsAtOnce) {
        const some = rows.slice(at, at + limits.answerObjectsAtOnce);
        await Promise.all(some.map((row) => act(store, keyOf(row), row)));
      }
    } catch (error) {
      log.warn(`answers could not be ${what}`, { service, rows: rows.length, error });
    }
  }

  #encode(records: RecordBatch, rejected: RejectedRow | undefined): Uint8Array {
    const { code = "", message = "" } = rejected ?? {};
    return savedAnswerFrame.encode({ code, message, schema: this.#schema }, encodeBatch(records));
  }

  #decode(bytes: Uint8Array): RowAnswer {
    const { header, payload } = savedAnswerFrame.decode(bytes);
    const { code, message } = header;
    const records = decodeBatch(this.options.schema, payload);
    return { records, row: 0, rejected: code === "" ? undefined : { row: 0, code, message } };
  }
}
