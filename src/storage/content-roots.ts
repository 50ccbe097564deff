/**
 * Records of which owned content a job's published output refers to: one for each file, written before anything can be published, so
 * that no reader of the file has to be asked what is in it.
 *
 * A record is never changed: its key has the attempt in it. It counts as long as the file is there; see `coordinator/content-collector.ts`.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId } from "../base/ids.js";
import { jobKeys } from "./keys.js";
import type { ObjectStore } from "./object-store.js";

export interface ContentRoot {
  /** Where the file is published. */
  readonly url: string;
  /** Its name there; empty: nobody can say, and the record counts for as long as the job's content is kept. */
  readonly name: string;
  /** SHA-256 of each object, lower-case hex. */
  readonly contents: readonly string[];
}

/** What those who write know of content that belongs to their job. */
export class OwnedContent {
  /** What addresses of owned content begin with, up to the hash. */
  readonly prefix: string;
  #keys: ReturnType<typeof jobKeys>;

  /** @param store that content is put to */
  constructor(
    private readonly store: ObjectStore,
    job: JobId,
  ) {
    this.#keys = jobKeys(job);
    this.prefix = `${store.url}/${this.#keys.content("")}`;
  }

  /** Resolves when the store has it. @param part of the operator's output; the same for the same rows only */
  async record(operator: string, part: string, root: ContentRoot): Promise<void> {
    await this.store.put(this.#keys.contentRoot(operator, part), new TextEncoder().encode(JSON.stringify(root)));
  }
}

/** @throws {MillraceError} `MILL_STORE_CORRUPT` */
export function decodeContentRoot(key: string, bytes: Uint8Array): ContentRoot {
  try {
    const { url, name, contents } = JSON.parse(new TextDecoder().decode(bytes)) as ContentRoot;
    if (typeof url === "string" && typeof name === "string" && Array.isArray(contents)) return { url, name, contents };
    throw new TypeError("it names no file");
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_STORE_CORRUPT", `${key} is no record of what a published file refers to`);
  }
}
