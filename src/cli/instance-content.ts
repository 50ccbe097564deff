/** Content in a service instance: what its handler reads it with, and how its answers leave the process. */
import { ContentMover, staysAsItIs } from "../actors/content-mover.js";
import { asDeclared } from "../services/declared-batch.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { Handler, Service } from "../topology/service.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { sliceContent } from "../types/content-refs.js";

/** Opened when it is first needed: its libraries take as long to load as all the rest of an instance. */
export function lazyContent(open: () => Promise<ContentAccess>): ContentAccess {
  let opened: Promise<ContentAccess> | undefined;
  const content = () => {
    opened ??= open();
    return opened;
  };
  return {
    bytes: async (value, signal) => {
      if ("bytes" in value && value.bytes !== null) return value.bytes;
      return (await content()).bytes(value, signal);
    },
    async *stream(value, signal) {
      yield* (await content()).stream(value, signal);
    },
    slice: sliceContent,
    list: async (pattern) => (await content()).list(pattern),
    put: async (bytes, options) => (await content()).put(bytes, options),
  };
}

/** The service, with a handler whose answers hold no content above the limit: only references to it. */
export function answersMovedOut(service: Service, content: ContentAccess, limitBytes: number): Service {
  const moveOut = new ContentMover(content, limitBytes).outOf(service.output);
  if (moveOut === staysAsItIs) return service;
  const { handler } = service;
  const schema = arrowSchema(service.output);
  const moved: Handler<Columns, Columns> = {
    kind: handler.kind,
    assets: handler.assets,
    ...(handler.defaults && { defaults: handler.defaults }),
    async load(context) {
      const loaded = await handler.load(context);
      return {
        warm: async () => loaded.warm?.(),
        async infer(batch, call) {
          const answered = await loaded.infer(batch, call);
          return moveOut(asDeclared(`the handler of service "${service.id}"`, schema, answered));
        },
        unload: async () => loaded.unload?.(),
      };
    },
  };
  return { ...service, handler: moved };
}
