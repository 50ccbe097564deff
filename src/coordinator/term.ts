/**
 * Terms: every coordinator that begins to lead takes the next one, by compare-and-set. Hosts and workers refuse commands of
 * a lower term than they have seen, and region logs are fenced with it, so an earlier leader that still believes in itself
 * changes nothing.
 */
import { MillraceError } from "../base/errors.js";
import type { Namespace } from "../base/ids.js";
import type { BucketEntry, Bus } from "../bus/bus.js";

const KEY = "term";
const bucketOf = (namespace: Namespace) => `millrace-${namespace}`;
const termOf = (entry: BucketEntry | undefined) =>
  entry === undefined ? 0n : BigInt(new TextDecoder().decode(entry.value));

/** The newest that was claimed; 0: none. @throws {MillraceError} `MILL_BUS_*` */
export async function readTerm(bus: Bus, namespace: Namespace): Promise<bigint> {
  return termOf(await (await bus.bucket(bucketOf(namespace))).get(KEY));
}

/** @throws {MillraceError} `MILL_BUS_*` */
export async function claimTerm(bus: Bus, namespace: Namespace): Promise<bigint> {
  const bucket = await bus.bucket(bucketOf(namespace));
  for (;;) {
    const entry = await bucket.get(KEY);
    const term = termOf(entry) + 1n;
    try {
      await bucket.update(KEY, new TextEncoder().encode(term.toString()), entry?.revision ?? 0n);
      return term;
    } catch (error) {
      if (!MillraceError.is(error) || error.code !== "MILL_BUS_CONFLICT") throw error;
    }
  }
}
