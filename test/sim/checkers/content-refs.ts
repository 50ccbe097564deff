/**
 * What bytes refer to of content that belongs to jobs: addresses, read as text. Where a batch was cut into several entries of a durable
 * exchange, an address may be cut, too: the entries of a checkpoint are put together again.
 */
import { decodePending } from "../../../src/connectors/exchange-pending.js";
import { exchangeEntryFrame, unpackEntries } from "../../../src/wire/exchange-frames.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { actorSnapshotFrame, type SinkState } from "../../../src/wire/stored.js";

const ADDRESS = /sim:\/(jobs\/[\w-]+\/)content\/([0-9a-f]{64})/g;

/** @returns each as `<job>/<hash>` */
export function refersTo(all: readonly Uint8Array[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (const bytes of all) {
    for (const [, job, hash] of Buffer.from(bytes).toString("latin1").matchAll(ADDRESS)) found.add(`${job}${hash}`);
  }
  return found;
}

/** A snapshot, and what it has pending for a durable exchange. */
export function textsOfSnapshot(snapshot: Uint8Array): Uint8Array[] {
  if (snapshot.length === 0) return []; // not there: another checker says so
  const { header: actor, payload } = actorSnapshotFrame.decode(snapshot);
  const blob = (number: number) => {
    const start = actor.blobs.slice(0, number).reduce((sum, length) => sum + Number(length), 0);
    return payload.subarray(start, start + Number(actor.blobs[number]));
  };
  const states = actor.operators.map(({ state }) => state);
  const sinks = states.filter((state) => state.length > 0).map(decodeFrame);
  const prepared = sinks
    .filter(({ kind }) => kind === "sink-state")
    .flatMap(({ header }) => (header as SinkState).pending)
    .map((pending) => (pending.blob < 0 ? pending.prepared : blob(pending.blob)))
    .filter((bytes) => bytes.length > 0 && bytes[0] !== "{".charCodeAt(0)); // what a file sink prepares is JSON
  return [snapshot, ...prepared.flatMap((bytes) => decodePending(bytes).entries.flatMap(joined))];
}

/** What a savepoint keeps of one partition. */
export function textsOfObjects(objects: readonly Uint8Array[]): Uint8Array[] {
  return joined(objects.filter(({ length }) => length > 0).flatMap((bytes) => unpackEntries(bytes).entries));
}

/** The rows of each checkpoint of each writer. An entry may be there again. */
function joined(entries: readonly Uint8Array[]): Uint8Array[] {
  const chains = new Map<string, Map<number, Uint8Array>>();
  for (const { header, payload } of entries.map((entry) => exchangeEntryFrame.decode(entry))) {
    const chain = `${header.writer} ${header.checkpoint}`;
    chains.set(chain, (chains.get(chain) ?? new Map<number, Uint8Array>()).set(header.index, payload));
  }
  return [...chains.values()].map((chain) =>
    Buffer.concat([...chain].sort(([a], [b]) => a - b).map(([, payload]) => payload)),
  );
}
