/**
 * Gives dead letters back to the operators that refused them, in a job of their own (`replay-plan.ts`).
 *
 * Invariants:
 *   Y3  A record is in one replay at most: its mark names it (L3).
 *   Y4  Each step writes something once, and the same thing whoever does it again: a replay that was broken off is taken up by whoever
 *       asks for one of its records, from where it was. Until it was submitted, its records are as they were.
 */
import { createHash } from "node:crypto";
import { invariant, MillraceError } from "../base/errors.js";
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { DeadLetter, DeadLetterFolder, Mark } from "../storage/dead-letters.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { ObjectRef } from "../types/content-types.js";
import { decodeRow } from "../wire/arrow-row.js";
import { type JobSpec, jobSpecFrame } from "../wire/control.js";
import { regionRecordFrame } from "../wire/stored.js";
import { type BegunRegion, planReplay, type ReplayedRow } from "./replay-plan.js";

export interface ReplayOptions {
  readonly folder: DeadLetterFolder;
  readonly store: ObjectStore;
  readonly ports: Ports;
  read(ref: ObjectRef): Promise<Uint8Array>;
  /** Of the coordinator that leads; again changes nothing. */
  submit(job: JobId): Promise<void>;
}

/** What was asked for, before anything comes of it. */
interface Intent {
  /** Job that refused them. */
  readonly of: string;
  readonly ids: readonly string[];
  /** First number of its checkpoints. */
  readonly number: string;
  readonly by: string;
  readonly atMs: number;
}

export interface Replayed {
  readonly job: string;
  /** Ids of the records in it. */
  readonly ids: readonly string[];
}

/** Characters of a topology's name in a job's id. */
const NAME_CHARS_MAX = 90;

export class Replays {
  #begun = new Set<string>();

  constructor(private readonly options: ReplayOptions) {}

  /** Whether the record is as it was: unmarked, or in a replay that was not submitted (Y4). */
  async isOpen({ mark }: DeadLetter): Promise<boolean> {
    if (mark === undefined) return true;
    return mark.kind === "replayed" && !(await this.#hasBegun(mark.job));
  }

  /** @param letters that are open and can be replayed @returns what became of them: they may be in several, of which others asked for some */
  async replay(of: JobSpec, letters: readonly DeadLetter[], by: string): Promise<Replayed[]> {
    const jobs = new Set<string>();
    for (const { mark } of letters) if (mark?.kind === "replayed") jobs.add(mark.job);
    const ids = letters.filter(({ mark }) => mark === undefined).map((letter) => letter.id);
    if (ids.length > 0) jobs.add(await this.#intend(of, ids.sort(), by));
    const replayed: Replayed[] = [];
    for (const job of jobs) replayed.push({ job, ids: await this.#begin(job) });
    return replayed.filter((one) => one.ids.length > 0);
  }

  async #intend({ job: of, topology }: JobSpec, ids: readonly string[], by: string): Promise<string> {
    const { folder, store, ports } = this.options;
    const hash = createHash("sha256")
      .update([folder.keys.replay(""), ...ids].join("\n"))
      .digest("hex");
    const job = `${topology.slice(0, NAME_CHARS_MAX)}-replay-${hash.slice(0, 16)}`;
    const atMs = Math.trunc(ports.clock.nowMs());
    // Y1: beyond all that checkpoints are numbered with, apart by the thousand for each millisecond.
    const number = BigInt(atMs) * 1_000n + BigInt(Number.parseInt(hash.slice(16, 20), 16) % 1_000);
    const intent: Intent = { of, ids, number: number.toString(), by, atMs };
    await store.create(folder.keys.replay(job), encoded(intent));
    return job;
  }

  /** Y4 @returns ids of the records that are in it */
  async #begin(job: string): Promise<readonly string[]> {
    const { folder, store, submit } = this.options;
    const intent = JSON.parse(new TextDecoder().decode(await store.get(folder.keys.replay(job)))) as Intent;
    const mark: Mark = { kind: "replayed", job, by: intent.by, atMs: intent.atMs };
    const ids: string[] = [];
    for (const one of intent.ids) if ((await folder.mark(one, mark)).job === job) ids.push(one); // Y3
    if (ids.length === 0 || (await this.#hasBegun(job))) return ids;
    const rows: ReplayedRow[] = [];
    for (const one of ids) rows.push(await this.#rowOf(await folder.find(one)));
    const of = jobSpecFrame.decode(await store.get(jobKeys(id<JobId>("job", intent.of)).spec)).header;
    const plan = planReplay(of, job, rows, BigInt(intent.number), intent.atMs);
    for (const region of plan.regions) await this.#write(region);
    await store.create(jobKeys(id<JobId>("job", job)).spec, jobSpecFrame.encode(plan.spec));
    await submit(id<JobId>("job", job));
    await store.create(folder.keys.begun(job), encoded({}));
    this.#begun.add(job);
    return ids;
  }

  async #rowOf({ id: letter, operator, row }: DeadLetter): Promise<ReplayedRow> {
    invariant(row !== undefined, "only what can be replayed is asked for");
    const bytes = row instanceof Uint8Array ? row : await this.options.read(row);
    const [, subtask = "0"] = /-(\d+)-\d+\.\d+\.[0-9a-f]+$/.exec(letter) ?? [];
    return { operator, subtask: Number(subtask), batch: decodeRow(bytes).batch };
  }

  async #write({ record, actors }: BegunRegion): Promise<void> {
    const { store } = this.options;
    const keys = jobKeys(record.job as JobId);
    const checkpoints = [];
    for (const { actor, snapshot } of actors) {
      const small = snapshot.length <= limits.snapshotInlineBytesMax;
      const key = small ? "" : keys.snapshot(record.region, record.number, 0, actor);
      if (!small) await store.put(key, snapshot); // the same bytes each time
      const sha256 = small ? "" : createHash("sha256").update(snapshot).digest("hex");
      const inline = small ? snapshot : new Uint8Array();
      checkpoints.push({ actor, finished: false, inline, key, sha256, sizeBytes: BigInt(snapshot.length) });
    }
    const commit = regionRecordFrame.encode({ ...record, actors: checkpoints });
    await store.create(keys.regionRecord(record.region, record.number), commit);
  }

  async #hasBegun(job: string): Promise<boolean> {
    if (this.#begun.has(job)) return true;
    const { folder, store } = this.options;
    const begun = (await store.head(folder.keys.begun(job))) !== undefined;
    if (begun) this.#begun.add(job);
    return begun;
  }
}

const encoded = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** @throws {MillraceError} `MILL_REQUEST_CONFLICT` */
export function demandOpen(letter: DeadLetter, open: boolean): void {
  if (open) return;
  const { kind, job, by } = letter.mark!;
  const what = kind === "discarded" ? "was discarded" : `is replayed by job ${job}`;
  throw new MillraceError("MILL_REQUEST_CONFLICT", `dead letter ${letter.id} ${what} (by ${by}). List them again.`);
}
