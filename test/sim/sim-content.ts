/** Content by URI over the simulated store: `sim://<key>`; a pattern is a prefix. What is put goes there by its hash. */
import { MillraceError } from "../../src/base/errors.js";
import { sha256Of } from "../../src/storage/content-checks.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import type { ContentAccess } from "../../src/topology/endpoints.js";
import { sliceContent } from "../../src/types/content-refs.js";
import type { Content, ObjectRef } from "../../src/types/content-types.js";

const SCHEME = "sim://";

export function simContent(store: ObjectStore): ContentAccess {
  const bytes = async (value: ObjectRef | Content, signal?: AbortSignal) => {
    if ("bytes" in value && value.bytes !== null) return value.bytes;
    return store.get(keyOf(value.uri), signal === undefined ? {} : { signal });
  };
  return {
    bytes,
    async *stream(value, signal) {
      yield await bytes(value, signal);
    },
    slice: sliceContent,
    async list(pattern) {
      const found: { uri: string; sizeBytes: number; version: string }[] = [];
      for await (const { key, sizeBytes, version } of store.list(keyOf(pattern))) {
        found.push({ uri: `${SCHEME}${key}`, sizeBytes, version });
      }
      return found;
    },
    async put(given, { mediaType = "" } = {}) {
      const sha256 = sha256Of(given);
      await store.put(`content/${sha256}`, given);
      const uri = `${SCHEME}content/${sha256}`;
      return { uri, offset: 0n, sizeBytes: BigInt(given.length), sha256, mediaType, bytes: null };
    },
  };
}

function keyOf(uri: string): string {
  if (uri.startsWith(SCHEME)) return uri.slice(SCHEME.length);
  throw new MillraceError("MILL_CONFIG", `${uri} is no address of the simulated store.`);
}
