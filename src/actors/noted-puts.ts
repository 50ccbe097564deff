/**
 * Content for the functions of one batch: notes what they put. While they are under way checkpoints go on, and nothing in those refers to
 * what was put, unless they are told of it.
 */
import type { ContentAccess } from "../topology/endpoints.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { type ContentRange, holdsContent } from "../types/content-refs.js";
import type { Content, ObjectRef } from "../types/content-types.js";

export interface Noted {
  readonly context: OperatorContext;
  /** Hashes of what was put with it: SHA-256, lower-case hex. */
  contents(): Iterable<string>;
}

/** Whether rows of these columns may refer to content. */
export function mayRefer(columns: Columns): boolean {
  return arrowSchema(columns).fields.some(holdsContent);
}

/** @param refers what the functions make may refer to what they put; else nothing is noted */
export function noted(context: OperatorContext, refers: boolean): Noted {
  if (!refers) return { context, contents: () => [] };
  const content = new NotedPuts(context.content);
  return { context: { ...context, content }, contents: () => content.hashes };
}

class NotedPuts implements ContentAccess {
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
