/** Content by URI over the simulated store: `sim://<key>`; a pattern is a prefix. */
import { MillraceError } from "../../src/base/errors.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import type { ContentAccess } from "../../src/topology/endpoints.js";

const SCHEME = "sim://";

export function simContent(store: ObjectStore): ContentAccess {
  return {
    read: (ref, signal) => store.get(keyOf(ref.uri), signal === undefined ? {} : { signal }),
    async list(pattern) {
      const found: { uri: string; sizeBytes: number; version: string }[] = [];
      for await (const { key, sizeBytes, version } of store.list(keyOf(pattern))) {
        found.push({ uri: `${SCHEME}${key}`, sizeBytes, version });
      }
      return found;
    },
  };
}

function keyOf(uri: string): string {
  if (uri.startsWith(SCHEME)) return uri.slice(SCHEME.length);
  throw new MillraceError("MILL_CONFIG", `${uri} is no address of the simulated store.`);
}
