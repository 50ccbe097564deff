/** An object store as a sink sees it: names below one place, published whole. */

import type { ObjectStore } from "../storage/object-store.js";
import type { OutputFolder } from "../topology/endpoints.js";

export function outputFolder(store: ObjectStore): OutputFolder {
  return {
    url: store.url,
    async put(name, body, signal) {
      await store.put(name, body, signal === undefined ? {} : { signal });
    },
    move: (from, to) => store.move(from, to),
    delete: (name) => store.delete(name, { unfinished: true }),
    async list(prefix) {
      const names: string[] = [];
      for await (const { key } of store.list(prefix, { unfinished: true })) names.push(key);
      return [...new Set(names)];
    },
  };
}
