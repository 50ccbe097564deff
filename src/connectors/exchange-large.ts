/**
 * Rows that are larger than an entry of a log may be (`limits.exchangeEntryBytesMax`): on its way into the log such a row becomes content that
 * belongs to the job, and what is appended refers to it (X8). So it lives as long as other content that entries refer to, and nobody here
 * deletes it. In snapshots, savepoints and seeds every entry has all of its bytes.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { type ExchangeContent, exchangeEntryFrame } from "../wire/exchange-frames.js";
import { type Exchange, entriesLost } from "./exchange.js";
import { tryAgain } from "./exchange-append.js";

/** Bytes of the row, if it does not go into the log with its entry; else 0. */
export function bytesBeside(entry: Uint8Array): number {
  if (entry.byteLength <= limits.exchangeEntryBytesMax) return 0;
  const { byteLength } = exchangeEntryFrame.decode(entry).payload;
  return byteLength <= limits.exchangeEntryBytesMax ? 0 : byteLength;
}

/**
 * Makes what is appended, for each try anew: content that nothing refers to yet must not grow old, and putting it again says that it is needed.
 * @param entry with a row of which there are `bytesBeside`
 */
export function referring(
  entry: Uint8Array,
  { content }: Pick<Exchange, "content">,
  signal: AbortSignal,
): () => Promise<Uint8Array> {
  const { header, payload } = exchangeEntryFrame.decode(entry);
  const own = new Uint8Array(payload); // whoever keeps it in memory should not keep all that was pending with it
  return async () => {
    const { uri, sizeBytes, sha256 } = await content.put(own, { signal });
    return exchangeEntryFrame.encode({ ...header, content: { uri, sizeBytes, sha256 } });
  };
}

/** The row of an entry that refers to it. @throws {MillraceError} `MILL_EXCHANGE_LOST`: it is not there; what `content` throws */
export async function rowBeside(
  exchange: Exchange,
  partition: number,
  { uri, sizeBytes, sha256 }: ExchangeContent,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const value = { uri, offset: 0n, sizeBytes, sha256, mediaType: "" };
  try {
    return await tryAgain(() => exchange.content.bytes(value, signal), exchange.ports, signal);
  } catch (error) {
    const isMissing = MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND";
    throw isMissing ? entriesLost(exchange, partition, `the row at ${uri} is not there`) : error;
  }
}
