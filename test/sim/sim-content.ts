/** Content by URI over the simulated store: `sim://<key>`; a pattern is a prefix. What is put belongs to the job. */
import { MillraceError } from "../../src/base/errors.js";
import type { JobId } from "../../src/base/ids.js";
import type { Clock } from "../../src/base/ports.js";
import { sha256Of } from "../../src/storage/content-checks.js";
import { ContentStore } from "../../src/storage/content-store.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import type { ContentAccess } from "../../src/topology/endpoints.js";
import { sliceContent } from "../../src/types/content-refs.js";
import type { Content, ObjectRef } from "../../src/types/content-types.js";

const SCHEME = "sim://";

export function simContent(store: ObjectStore, job: JobId, clock: Clock): ContentAccess {
  const owned = new ContentStore({ store, job, clock });
  const bytes = async (value: ObjectRef | Content, signal?: AbortSignal) => {
    if ("bytes" in value && value.bytes !== null) return value.bytes;
    const own = owned.hashIn(value.uri);
    const options = signal === undefined ? {} : { signal };
    return own === undefined ? store.get(keyOf(value.uri), options) : owned.get(own, options);
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
      const uri = await owned.put(sha256, given, mediaType);
      return { uri, offset: 0n, sizeBytes: BigInt(given.length), sha256, mediaType, bytes: null };
    },
  };
}

function keyOf(uri: string): string {
  if (uri.startsWith(SCHEME)) return uri.slice(SCHEME.length);
  throw new MillraceError("MILL_CONFIG", `${uri} is no address of the simulated store.`);
}
