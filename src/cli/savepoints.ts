/** What the command line does with savepoints: their names, and how a job begins from one. */
import { createHash } from "node:crypto";
import { type Redistributed, redistributeJob, type SavedActor } from "../actors/saved-state.js";
import { seedExchange } from "../actors/seed-exchange.js";
import { MillraceError } from "../base/errors.js";
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type JobSpec, jobSpecFrame } from "../wire/control.js";
import {
  type RecordedAssignment,
  regionRecordFrame,
  type Savepoint,
  type SplitRecord,
  savepointFrame,
  splitRecordFrame,
} from "../wire/stored.js";
import { operatorsOf, type Submission } from "./submission.js";

/** Splits that one record of a source's log names. */
const SPLITS_PER_RECORD = 1_000;
/** Whoever a split was given to that is not to be read again: no reader asks in its name. */
const NOBODY = "";

/** What of a store it takes: the code of a topology may plan where there is no other. */
export type SavepointStore = Pick<ObjectStore, "url" | "head" | "get" | "put" | "create">;

/** What the first records of a job say that begins from a savepoint. */
export interface Beginning {
  /** Where sources read what was uploaded for the job of the savepoint. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Writes the first records of the job's logs. @returns what its spec says of them */
  write(job: JobId, store: SavepointStore): Promise<JobSpec["seeds"]>;
}

/** @param text `<job>/<savepoint>` @throws {MillraceError} `MILL_CONFIG` */
export function savepointName(text: string): { readonly job: JobId; readonly name: string } {
  const [job, name, ...rest] = text.split("/");
  if (job === undefined || name === undefined || rest.length > 0) {
    const message = `--savepoint ${text} names no savepoint. Write <job>/<name>; \`millrace savepoint list <job>\` shows them.`;
    throw new MillraceError("MILL_CONFIG", message, { text });
  }
  return { job: id<JobId>("job", job), name: id("savepoint", name) };
}

/** Reads the savepoint and shares its state out over the operators of the submission, before anything is written. */
export async function beginFrom(
  savepoint: string,
  submission: Submission,
  store: SavepointStore,
  allowUnmatched: boolean,
): Promise<Beginning> {
  const { job, name } = savepointName(savepoint);
  const keys = jobKeys(job);
  if ((await store.head(keys.savepoint(name))) === undefined) {
    const message = `job ${job} has no savepoint "${name}" in ${store.url}. \`millrace savepoint list ${job}\` shows them.`;
    throw new MillraceError("MILL_CONFIG", message, { job, name });
  }
  const saved = savepointFrame.decode(await store.get(keys.savepoint(name))).header;
  const { topology, plan } = submission;
  const actors = await readActors(saved, store);
  const fresh = { topology, plan, operators: operatorsOf(submission) };
  const found = redistributeJob({ operators: saved.operators, actors }, fresh, allowUnmatched);
  const given = new Map<string, readonly RecordedAssignment[]>();
  for (const { source, records } of saved.sources) {
    const taken = found.taken.get(source);
    if (taken !== undefined) given.set(source, await readTaken(job, source, records, taken, store));
  }
  const { inputs } = jobSpecFrame.decode(await store.get(keys.spec)).header;
  const used = Object.fromEntries(Object.entries(inputs).filter(([source]) => given.has(source)));
  const number = saved.regions.reduce((highest, region) => (region.number > highest ? region.number : highest), 1n);
  const seed = (to: JobId, into: SavepointStore) => seedExchanges({ saved, found, submission, from: store }, to, into);
  return {
    inputs: used,
    write: async (to, into) => {
      await seed(to, into);
      return write({ found, given, number, submission }, to, into);
    },
  };
}

async function readActors({ regions }: Savepoint, store: SavepointStore): Promise<SavedActor[]> {
  const actors: SavedActor[] = [];
  for (const { actor, subtask, key, sha256 } of regions.flatMap((region) => region.actors)) {
    actors.push({ actor, subtask, snapshot: await readChecked(store, key, sha256, `actor "${actor}"`) });
  }
  return actors;
}

async function readChecked(store: SavepointStore, key: string, sha256: string, what: string): Promise<Uint8Array> {
  const bytes = await store.get(key);
  if (createHash("sha256").update(bytes).digest("hex") === sha256) return bytes;
  const message = `what the savepoint keeps of ${what} at ${key} is not what was written. Use another savepoint.`;
  throw new MillraceError("MILL_STORE_CORRUPT", message, { key });
}

/** Splits that a reader had taken: they are finished, or in its state. Those that were only given to it are given anew. */
async function readTaken(
  job: JobId,
  source: string,
  records: bigint,
  taken: ReadonlyMap<string, bigint>,
  store: SavepointStore,
): Promise<RecordedAssignment[]> {
  const found: RecordedAssignment[] = [];
  const missing = new Map(taken);
  for (let number = 1n; number <= records; number += 1n) {
    const { assignments } = splitRecordFrame.decode(await store.get(jobKeys(job).splitRecord(source, number))).header;
    for (const one of assignments) {
      if (one.reader !== NOBODY && one.number > (taken.get(one.reader) ?? 0n)) continue;
      found.push(one);
      if (one.number === missing.get(one.reader)) missing.delete(one.reader);
    }
  }
  const [lost] = [...missing].filter(([, number]) => number > 0n);
  if (lost === undefined) return found;
  const message = `the log of source "${source}" of job ${job} does not name split ${lost[1]} of reader "${lost[0]}", which the savepoint has read. Use another savepoint.`;
  throw new MillraceError("MILL_STORE_CORRUPT", message, { source, reader: lost[0] });
}

interface Written {
  readonly found: Redistributed;
  readonly given: ReadonlyMap<string, readonly RecordedAssignment[]>;
  readonly number: bigint;
  readonly submission: Submission;
}

interface Seeded {
  readonly saved: Savepoint;
  readonly found: Redistributed;
  readonly submission: Submission;
  readonly from: SavepointStore;
}

/** What lay between writers and readers is there before the job is: nobody has to know how far this came. */
async function seedExchanges(
  { saved, found, submission, from }: Seeded,
  job: JobId,
  into: SavepointStore,
): Promise<void> {
  const { topology, plan } = submission;
  for (const kept of saved.exchanges) {
    const ends = found.exchanges.get(kept.operator);
    if (ends === undefined) continue;
    const { partitions } = plan.exchanges.find(({ id }) => id === kept.operator)!;
    await seedExchange({
      topology,
      partitions,
      kept,
      ends,
      read: ({ key, sha256 }) => readChecked(from, key, sha256, `durable exchange "${kept.operator}"`),
      put: (partition, number, bytes) =>
        into.put(jobKeys(job).exchangeSeed(kept.operator, partition, number), bytes).then(() => {}),
    });
  }
}

/** Every region's log begins with a commit, so starting from a savepoint is coming back from a checkpoint. */
async function write(
  { found, given, number, submission }: Written,
  job: JobId,
  store: SavepointStore,
): Promise<JobSpec["seeds"]> {
  const keys = jobKeys(job);
  for (const [source, assignments] of given) {
    for (let from = 0; from < assignments.length; from += SPLITS_PER_RECORD) {
      const part = assignments.slice(from, from + SPLITS_PER_RECORD);
      const record: SplitRecord = {
        source,
        number: BigInt(from / SPLITS_PER_RECORD + 1),
        assignments: part.map(({ split }, i) => ({
          reader: NOBODY,
          number: BigInt(from + i + 1),
          split: { ...split, payload: new Uint8Array() },
        })),
        listed: false,
        term: 0n,
        attempt: 0,
      };
      await store.create(keys.splitRecord(source, record.number), splitRecordFrame.encode(record));
    }
  }
  const seeds: JobSpec["seeds"][number][] = [];
  for (const { id: region, actors } of submission.plan.regions) {
    const checkpoints = [];
    for (const actor of actors) {
      const snapshot = found.snapshots.get(actor)!;
      const small = snapshot.length <= limits.snapshotInlineBytesMax;
      const key = small ? "" : keys.snapshot(region, number, 0, actor);
      if (!small) await store.put(key, snapshot);
      const sha256 = small ? "" : createHash("sha256").update(snapshot).digest("hex");
      const inline = small ? snapshot : new Uint8Array();
      checkpoints.push({ actor, finished: false, inline, key, sha256, sizeBytes: BigInt(snapshot.length) });
    }
    const base = { kind: "COMMIT", job, region, number, term: 0n, attempt: 0, createdMs: 0n } as const;
    await store.create(keys.regionRecord(region, number), regionRecordFrame.encode({ ...base, actors: checkpoints }));
    seeds.push({ region, number });
  }
  return seeds;
}
