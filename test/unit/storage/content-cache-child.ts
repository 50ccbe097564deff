/**
 * A process of a node that wants content of the folder that `content-cache.test.ts` names. It tells its parent when it is asked to fetch,
 * and fetches when it is told to: it goes on with the bytes, or says what it was given.
 */
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { ContentCache } from "../../../src/storage/content-cache.js";
import { sha256Of } from "../../../src/storage/content-checks.js";

const [folder = "", text = "", kind = "bytes"] = process.argv.slice(2);
const warnings: string[] = [];
const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
const cache = new ContentCache({ folder, ports: { ...realPorts(), log } });
const bytes = Buffer.from(text.repeat(100_000));
const sha256 = sha256Of(bytes);
const ref = { uri: "test:/content", offset: 0n, sizeBytes: BigInt(bytes.length), sha256 };

const told = new Promise<void>((resolve) => process.once("message", () => resolve()));
const fetch = async () => {
  process.send!("fetching");
  await told;
  return bytes;
};
async function* fetchPieces(): AsyncGenerator<Uint8Array> {
  const all = await fetch();
  yield all.subarray(0, 10);
  yield all.subarray(10);
}

let got: Uint8Array;
if (kind === "bytes") got = await cache.bytes(ref, sha256, fetch);
else {
  const pieces: Uint8Array[] = [];
  for await (const piece of (await cache.open(ref, sha256, fetchPieces)) ?? fetchPieces()) pieces.push(piece);
  got = Buffer.concat(pieces);
}
process.send!({ found: sha256Of(got), warnings });
process.disconnect();
