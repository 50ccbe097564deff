/**
 * Content for the functions of one batch: notes what they put. While they are under way checkpoints go on, and nothing in those refers to
 * what was put, unless they are told of it.
 */
import type { ContentAccess } from "../topology/endpoints.js";
import type { ContentRange } from "../types/content-refs.js";
import type { Content, ObjectRef } from "../types/content-types.js";

export class NotedPuts implements ContentAccess {
  /** SHA-256, lower-case hex. */
  readonly hashes = new Set<string>();

  constructor(private readonly content: ContentAccess) {}

  bytes(value: ObjectRef | Content, signal?: AbortSignal): Promise<Uint8Array> {
    return this.content.bytes(value, signal);
  }

  stream(value: ObjectRef | Content, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return this.content.stream(value, signal);
  }

  slice(value: Content, range: ContentRange): Content;
  slice(value: ObjectRef, range: ContentRange): ObjectRef;
  slice(value: ObjectRef, range: ContentRange): ObjectRef {
    return this.content.slice(value, range);
  }

  list(pattern: string): ReturnType<ContentAccess["list"]> {
    return this.content.list(pattern);
  }

  async put(bytes: Uint8Array, options?: Parameters<ContentAccess["put"]>[1]): Promise<Content> {
    const put = await this.content.put(bytes, options);
    this.hashes.add(put.sha256);
    return put;
  }
}
