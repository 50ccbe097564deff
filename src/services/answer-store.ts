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
  /** A list that begins at the end of this turn. */
  #next: Promise<ReadonlySet<string> | undefined> | undefined;

  constructor(private readonly options: AnswerStoreOptions) {
    this.#schema = encodeSchema(options.schema);
  }

  /** @param ids of each row; "" for rows without one */
  async save(ids: readonly string[], { records, rejected }: RowOutcome): Promise<void> {
    await this.#each(ids, "saved", async (store, key, row) => {
      await store.put(key, this.#encode(records.slice(row, row + 1), rejected.get(row)));
    });
  }

  /**
   * Of those that are there. A restored region asks about every row that it reads for a while, and most services keep nothing: a
   * question for each row would cost the store, and everybody's processors, more than the rows do. So what is there is listed once
   * for all rows that are looked for together, and only what the list names is read.
   */
  async find(ids: readonly string[]): Promise<Map<string, RowAnswer>> {
    const found = new Map<string, RowAnswer>();
    if (!ids.some((id) => id !== "")) return found;
    const there = await this.#listed();
    if (there?.size === 0) return found;
    await this.#each(ids, "looked for", async (store, key, row) => {
      if (there !== undefined && !there.has(key)) return;
      if ((await store.head(key)) !== undefined) found.set(ids[row]!, this.#decode(await store.get(key)));
    });
    return found;
  }

  /** Keys of all that are there; undefined: they are too many, or could not be listed. What is kept from now on may be missing. */
  #listed(): Promise<ReadonlySet<string> | undefined> {
    this.#next ??= Promise.resolve().then(() => {
      this.#next = undefined; // who looks later wants a newer one
      return this.#list();
    });
    return this.#next;
  }

  async #list(): Promise<ReadonlySet<string> | undefined> {
    const { job, service, log } = this.options;
    const keys = new Set<string>();
    try {
      this.#opened ??= Promise.resolve(this.options.store());
      for await (const { key } of (await this.#opened).list(jobKeys(job).savedAnswer(service, ""))) {
        if (keys.size === limits.answersListedMax) return undefined;
        keys.add(key);
      }
    } catch (error) {
      log.warn("answers could not be listed", { service, error });
      return undefined;
    }
    return keys;
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
