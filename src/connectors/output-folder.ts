/** An object store as a sink sees it: names below one place, published whole. */

import type { ObjectStore } from "../storage/object-store.js";
import type { OutputFolder } from "../topology/endpoints.js";

export function outputFolder(store: ObjectStore): OutputFolder {
  return {
    url: store.url,
    async put(name, bytes, signal) {
      await store.put(name, bytes, signal === undefined ? {} : { signal });
    },
    move: (from, to) => store.move(from, to),
    delete: (name) => store.delete(name),
    async list(prefix) {
      const names: string[] = [];
      for await (const { key } of store.list(prefix)) names.push(key);
      return names;
    },
  };
}
