/** Content as an exchange needs it, in a map; `puts` and `reads` count the calls. */
import { MillraceError } from "../../../src/base/errors.js";
import type { Exchange } from "../../../src/connectors/exchange.js";
import { sha256Of } from "../../../src/storage/content-checks.js";

export class ContentInMemory {
  readonly objects = new Map<string, Uint8Array>();
  puts = 0;
  reads = 0;

  readonly access: Exchange["content"] = {
    put: async (bytes) => {
      this.puts += 1;
      const sha256 = sha256Of(bytes);
      const uri = `memory:/jobs/job/content/${sha256}`;
      this.objects.set(uri, new Uint8Array(bytes));
      return { uri, offset: 0n, sizeBytes: BigInt(bytes.length), sha256, mediaType: "", bytes: null };
    },
    bytes: async ({ uri }) => {
      this.reads += 1;
      const found = this.objects.get(uri);
      if (found === undefined) throw new MillraceError("MILL_STORE_NOT_FOUND", `${uri} is not there.`);
      return found;
    },
  };
}
