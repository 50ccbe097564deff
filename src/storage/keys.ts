/**
 * Every object key, built in this one place.
 *
 *     bundles/<sha256>.mjs              a topology's code
 *     assets/<sha256>                   a model or another file that a handler needs
 *     jobs/<job>/spec.avro              what was submitted (`schemas/control/job-spec.avsc`)
 *     jobs/<job>/report.avro            how it ended (`schemas/control/job-report.avsc`)
 *     open-jobs/<job>                   while the job has not ended: what a new coordinator takes up, and its newest report
 *     ended-jobs/<n>-<job>              a job that has ended, as it is listed, in JSON; n grows into the past
 *     deleted-jobs/<job>                while a job is being deleted: that it had ended, and what stays of it
 *     requests/<sha256>                 what was asked with an idempotency key, by the hash of who asked and the key
 *     jobs/<job>/inputs/<source>/<name> local files that were uploaded for a source to read
 *     jobs/<job>/regions/<region>/log/<n>                   a region's log, n in 12 digits
 *     jobs/<job>/regions/<region>/snapshots/<n>-<attempt>-<actor>   a snapshot too large for the log
 *     jobs/<job>/sources/<operator>/log/<n>                 the log of a source's enumerator
 *     jobs/<job>/exchanges/<operator>/<partition>/<n>       what a durable exchange of the job is seeded with (`schemas/stored/exchange-entries.avsc`)
 *     jobs/<job>/sources/<operator>/pages/<size>/<n>        as many records of that log, up to n, in one (`actors/split-log.ts`)
 *     jobs/<job>/answers/<service>/<row>                    an answer that took long, by the id of its row in hex (`schemas/stored/saved-answer.avsc`)
 *     jobs/<job>/savepoints/<name>                          a savepoint (`schemas/stored/savepoint.avsc`)
 *     jobs/<job>/savepoint-snapshots/<name>/<region>/<actor>-<sha256>   its own copy of a snapshot
 *     jobs/<job>/savepoint-exchanges/<name>/<operator>/<partition>/<n>-<sha256>   what it keeps of a durable exchange
 *     jobs/<job>/content/<sha256>                           content that belongs to the job, by its hash (`content-store.ts`)
 *     jobs/<job>/content-trash/<sha256>                     the same on its way out: nothing named it when it was moved there
 *     jobs/<job>/content-roots/<operator>/<attempt>-<subtask>-<checkpoint>   what published output refers to (`content-roots.ts`)
 *     jobs/<job>/content-mark                               put to read the store's clock
 *     dead-letters/<folder>/marks/<file>/<byte>-<hash>      what was decided of one dead letter (`dead-letters.ts`); the folder by its hash
 *     dead-letters/<folder>/replays/<job>                   dead letters that a job replays
 *     dead-letters/<folder>/begun/<job>                     that job was submitted
 */
import type { JobId } from "../base/ids.js";

export const bundleKey = (sha256: string): string => `bundles/${sha256}.mjs`;
export const assetKey = (sha256: string): string => `assets/${sha256}`;

/** Every job that has not ended is below this. */
export const openJobs = "open-jobs/";

/** Every job that has ended and was not deleted is below this, the newest first. */
export const endedJobs = "ended-jobs/";
/** Above every time that a clock shows. */
const TIMES_MS = 10 ** 15;
export const endedJobKey = (job: JobId, finishedMs: number): string =>
  `${endedJobs}${String(TIMES_MS - Math.round(finishedMs)).padStart(15, "0")}-${job}`;
export const deletedJobKey = (job: JobId): string => `deleted-jobs/${job}`;
export const requestKey = (sha256: string): string => `requests/${sha256}`;

export interface JobKeys {
  /** Everything of the job but marks that it is open or has ended is below this. */
  readonly all: string;
  readonly spec: string;
  readonly report: string;
  readonly open: string;
  inputs(source: string): string;
  /** Every record of a region's log is below this. */
  regionLog(region: string): string;
  regionRecord(region: string, number: bigint): string;
  snapshot(region: string, checkpoint: bigint, attempt: number, actor: string): string;
  /** Every large snapshot of a region is below this. */
  snapshots(region: string): string;
  /** Every record of an enumerator's log is below this. */
  splitLog(source: string): string;
  splitRecord(source: string, number: bigint): string;
  splitPage(source: string, size: number, number: bigint): string;
  /** `number` from 1 on. */
  exchangeSeed(operator: string, partition: number, number: bigint): string;
  /** `row` in hex. */
  savedAnswer(service: string, row: string): string;
  /** Every answer is below this. */
  readonly savedAnswers: string;
  /** Every savepoint is below this. */
  readonly savepoints: string;
  savepoint(name: string): string;
  /** The hash is in the names of both: who takes the savepoint of that name again, or as another coordinator, changes no object of it. */
  savepointSnapshot(name: string, region: string, actor: string, sha256: string): string;
  savepointEntries(name: string, operator: string, partition: number, number: bigint, sha256: string): string;
  /** Given nothing: what they all begin with. */
  content(sha256: string): string;
  contentTrash(sha256: string): string;
  /** Every record of what published output refers to is below this. */
  readonly contentRoots: string;
  contentRoot(operator: string, part: string): string;
  readonly contentMark: string;
}

export function jobKeys(job: JobId): JobKeys {
  const root = `jobs/${job}`;
  return {
    all: `${root}/`,
    spec: `${root}/spec.avro`,
    report: `${root}/report.avro`,
    open: `${openJobs}${job}`,
    inputs: (source) => `${root}/inputs/${source}`,
    regionLog: (region) => `${root}/regions/${region}/log/`,
    regionRecord: (region, number) => `${root}/regions/${region}/log/${digits(number)}`,
    snapshot: (region, checkpoint, attempt, actor) =>
      `${root}/regions/${region}/snapshots/${digits(checkpoint)}-${attempt}-${actor}`,
    snapshots: (region) => `${root}/regions/${region}/snapshots/`,
    splitLog: (source) => `${root}/sources/${source}/log/`,
    splitRecord: (source, number) => `${root}/sources/${source}/log/${digits(number)}`,
    exchangeSeed: (operator, partition, number) => `${root}/exchanges/${operator}/${partition}/${digits(number)}`,
    splitPage: (source, size, number) => `${root}/sources/${source}/pages/${size}/${digits(number)}`,
    savedAnswers: `${root}/answers/`,
    savedAnswer: (service, row) => `${root}/answers/${service}/${row}`,
    savepoints: `${root}/savepoints/`,
    savepoint: (name) => `${root}/savepoints/${name}`,
    savepointSnapshot: (name, region, actor, sha256) =>
      `${root}/savepoint-snapshots/${name}/${region}/${actor}-${sha256}`,
    savepointEntries: (name, operator, partition, number, sha256) =>
      `${root}/savepoint-exchanges/${name}/${operator}/${partition}/${digits(number)}-${sha256}`,
    content: (sha256) => `${root}/content/${sha256}`,
    contentTrash: (sha256) => `${root}/content-trash/${sha256}`,
    contentRoots: `${root}/content-roots/`,
    contentRoot: (operator, part) => `${root}/content-roots/${operator}/${part}`,
    contentMark: `${root}/content-mark`,
  };
}

/** @param folder hash of where they are published: jobs that write to one place share what was decided of their dead letters */
export function deadLetterKeys(folder: string) {
  const root = `dead-letters/${folder}`;
  return {
    marks: (file: string) => `${root}/marks/${file}/`,
    mark: (file: string, byte: number, hash: string) =>
      `${root}/marks/${file}/${byte.toString().padStart(15, "0")}-${hash}`,
    replay: (job: string) => `${root}/replays/${job}`,
    begun: (job: string) => `${root}/begun/${job}`,
  };
}

/** The number that the name of a record or of a region's snapshot begins with; undefined: it is another's name. */
export function numberIn(key: string): bigint | undefined {
  const [, number] = /^(\d{12,})(?:-|$)/.exec(key.slice(key.lastIndexOf("/") + 1)) ?? [];
  return number === undefined ? undefined : BigInt(number);
}

/** Of one width, so that keys sort as their numbers do. */
function digits(number: bigint): string {
  return number.toString().padStart(12, "0");
}
