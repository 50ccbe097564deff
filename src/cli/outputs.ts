/**
 * The places that a job writes to: checked before it starts, so that it neither fails at its end nor mixes its rows with
 * others.
 *
 * Invariants:
 *   P1  Every place is checked before anything is changed at any of them.
 *   P2  What `--overwrite` replaces is put aside, hidden by its name from readers of the folder, until the job has
 *       finished; when the job fails it comes back. Only files that an earlier run wrote are touched.
 */
import { basename } from "node:path";
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import type { ObjectStore } from "../storage/object-store.js";
import { openStore } from "../storage/open-store.js";
import type { Topology } from "../topology/nodes.js";
import { outputUrl } from "./make-host.js";
import type { S3Settings } from "./settings.js";

/** Where a sink of the job writes. */
export interface OutputPlace {
  readonly operator: string;
  readonly url: string;
}

interface Checked {
  readonly store: ObjectStore;
  readonly keys: readonly string[];
}

/** Names that `connectors/file-writer.ts` gives. */
const OURS = /-\d+-\d+\.[a-z]+$/;
const STAGING = "_staging/";
/** Before the names of what is put aside. Readers of a folder ignore names that start with `_`. */
const ASIDE = "_replaced-";

/** The sinks' places in order, the dead letters' last. */
export function outputsOf(topology: Topology, root: string): OutputPlace[] {
  const sinks = topology.operators.flatMap((node) =>
    node.kind === "sink" ? [{ operator: node.id, url: node.sink.url }] : [],
  );
  const places = [...sinks, { operator: "dead letters", url: topology.deadLetters }];
  return places.map(({ operator, url }) => ({ operator, url: outputUrl(url, root) }));
}

export interface OutputOptions {
  readonly overwrite: boolean;
  readonly s3: S3Settings;
  readonly ports: Ports;
}

/**
 * Runs `job` once its outputs are fit for it.
 * @throws {MillraceError} `MILL_SINK_EXISTS`, `MILL_SINK_UNWRITABLE`, `MILL_STORE_*` naming operator and place, before the
 *   job; what `job` throws
 */
export async function withOutputs<T>(
  places: readonly OutputPlace[],
  options: OutputOptions,
  job: () => Promise<T>,
): Promise<T> {
  const checked: Checked[] = [];
  const seen = new Set<string>(); // one place may lie inside another
  try {
    for (const { operator, url } of places) {
      const store = openStore(url, { s3: options.s3 }, options.ports);
      const keys: string[] = [];
      checked.push({ store, keys });
      for (const key of await checkPlace({ operator, url }, store, options.overwrite)) {
        if (!seen.has(`${store.url}/${key}`)) keys.push(key);
        seen.add(`${store.url}/${key}`);
      }
    }
    return await replacing(checked, job);
  } finally {
    for (const { store } of checked) await store.close();
  }
}

/** P2 */
async function replacing<T>(places: readonly Checked[], job: () => Promise<T>): Promise<T> {
  const each = async (act: (store: ObjectStore, key: string) => Promise<void>) => {
    for (const { store, keys } of places) for (const key of keys) await act(store, key);
  };
  let result: T;
  try {
    await each(async (store, key) => {
      if (isPublished(key)) await store.move(key, asideOf(key));
    });
    result = await job();
  } catch (error) {
    for (const { store } of places) await unstage(store).catch(() => {}); // readers do not see it; the job's error counts
    const lost: string[] = [];
    await each((store, key) => restore(store, key).catch((cause: Error) => void lost.push(cause.message)));
    throw lost.length === 0 ? error : alsoLost(error, lost);
  }
  await each((store, key) => store.delete(isPublished(key) ? asideOf(key) : key));
  return result;
}

/** Removes what a failed job had prepared and never published. */
async function unstage(store: ObjectStore): Promise<void> {
  for await (const { key } of store.list(STAGING)) await store.delete(key);
}

/** The job's error stays first: it is the reason for the other. */
function alsoLost(cause: unknown, lost: readonly string[]): MillraceError {
  const { code, message, facts } = MillraceError.from(cause);
  const also = `Besides, ${countOf(lost.length, "file")} of an earlier run could not be brought back (${lost[0]}); the name is the old one after "${ASIDE}".`;
  return new MillraceError(code, `${message} ${also}`, facts, { cause });
}

/** What a failed commit has published stays, and the earlier file beside it: neither is ours to throw away. */
async function restore(store: ObjectStore, key: string): Promise<void> {
  if (key.startsWith(STAGING)) return;
  const name = isPublished(key) ? key : key.replace(ASIDE, "");
  const aside = asideOf(name);
  if ((await store.head(name)) === undefined && (await store.head(aside)) !== undefined) await store.move(aside, name);
}

/** @returns what is there and may be replaced */
async function checkPlace({ operator, url }: OutputPlace, store: ObjectStore, overwrite: boolean): Promise<string[]> {
  const keys: string[] = [];
  try {
    await store.check();
    for await (const { key } of store.list("")) keys.push(key);
  } catch (cause) {
    const error = MillraceError.from(cause);
    throw new MillraceError(
      store.url.startsWith("file:") ? "MILL_SINK_UNWRITABLE" : error.code,
      `operator "${operator}": its output ${url} cannot be written: ${error.message} Or choose another place.`,
      { operator, url },
      { cause },
    );
  }
  const foreign = keys.find((key) => !OURS.test(basename(key)) && !key.startsWith(STAGING));
  const [first] = keys;
  if (first !== undefined && (!overwrite || foreign !== undefined)) {
    const next = overwrite
      ? `holds ${foreign}, which no run of a topology wrote, so --overwrite does not touch it. Choose another place.`
      : `already holds ${countOf(keys.length, "file")} (${first}${keys.length > 1 ? ", ..." : ""}). Choose another place, or give --overwrite to replace what an earlier run wrote.`;
    throw new MillraceError("MILL_SINK_EXISTS", `operator "${operator}": its output ${url} ${next}`, { operator, url });
  }
  return keys;
}

function isPublished(key: string): boolean {
  return !basename(key).startsWith(ASIDE) && !key.startsWith(STAGING);
}

function asideOf(key: string): string {
  const at = key.lastIndexOf("/") + 1;
  return `${key.slice(0, at)}${ASIDE}${key.slice(at)}`;
}

export function countOf(count: number | bigint, what: string): string {
  return `${count} ${what}${Number(count) === 1 ? "" : "s"}`;
}
