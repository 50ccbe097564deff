/**
 * Finished inference is paid for once (guarantee 3), seen where the work is done: each call of a handler, begun and ended.
 *
 *   PAID1  An instance does not begin a row that it has begun before, until a client has released it: the work goes on, or its journal
 *          has the answer. Whatever fails.
 *   PAID2  A row that an instance has ended is begun nowhere else while that instance is there to be asked, whoever else ends: actors,
 *          hosts, workers, coordinators, other instances.
 *   PAID3  A row whose answer was in the object store before its instance drained or ended is begun nowhere while the answer is there.
 *          Not while it drains: who asks then is not told of the row, looks for its answer too soon, and may have it waiting elsewhere when
 *          the call ends.
 *   PAID4  A client releases a row that an instance has ended only when a checkpoint was committed since: what is asked about again after a
 *          failure would be gone.
 *
 * What may be paid for twice: what was on board of an instance that ended, answered or not, if it was not saved; what an instance that
 * drains holds and has not saved; and what cannot be known. So PAID2 and PAID3 hold as long as nobody was kept from asking or answering, and nobody was
 * replaced who goes on working: none of `BLINDING` has struck. A request that comes a second time when its rows have been released is worked on
 * again, for nobody: the bus does not double messages, and the instance has forgotten it. PAID3 also needs a store that answers. A job that goes on from a savepoint
 * has instances of its own, and looks for nothing that another job has kept.
 */

import { idsOf } from "../../../src/services/row-ids.js";
import { decodeFrame, type LoadReport, type ReleaseHeader, type RequestHeader } from "../../../src/wire/frames.js";
import { regionRecordFrame } from "../../../src/wire/stored.js";
import type { FaultKind } from "../faults.js";
import { BLINDING } from "../faults.js";
import { turnOf } from "../sim-cluster.js";
import { classOfSubject } from "../sim-network.js";
import type { SimProcess } from "../sim-process.js";
import type { ServiceCall } from "../topologies/scenario.js";
import type { CheckedRun, Checker } from "./checker.js";
import { REGION_KEY } from "./region-log.js";

const SAVED_KEY = /^jobs\/([^/]+)\/answers\/[^/]+\/([0-9a-f]+)$/;

export function paidChecker({ world, scenario, felt }: CheckedRun): Checker {
  /** Rows that each instance has begun, and that no client has released since. */
  const begun = new Map<SimProcess, Set<string>>();
  /** Rows that were released, and that nobody has asked for since. */
  const released = new Set<string>();
  /** Rows by the request that they were in. */
  const requested = new Map<string, readonly string[]>();
  /** When rows were first ended, and when the newest checkpoint of a job was committed. */
  const endedMs = new Map<string, number>();
  const committedMs = new Map<string, number>();
  /** Instances by rows that they have ended. */
  const ended = new Map<string, Set<SimProcess>>();
  /** Instances that have said that they take nothing new. */
  const leaving = new Set<SimProcess>();
  /** Rows whose answers are in the store, and whether their instance was neither draining nor gone. */
  const saved = new Map<string, boolean>();
  const isBlind = (also: (kind: FaultKind) => boolean = () => false) =>
    felt().some((kind) => BLINDING.has(kind) || also(kind));

  scenario.watchers?.push(onCall);
  return {
    onMessage({ subject, payload }, from) {
      const about = classOfSubject(subject);
      if (about !== "load" && about !== "request") return;
      const { kind, header } = decodeFrame(payload);
      const turn = turnOf(subject.split(".")[2]!);
      if (kind === "request") {
        const { id, rowIds } = header as RequestHeader;
        const ids = idsOf(rowIds);
        requested.set(id, ids);
        for (const one of ids) released.delete(`${turn} ${hex(one)}`);
      }
      if (kind === "load-report" && LEAVING.has((header as LoadReport).state)) leaving.add(from.process);
      if (kind !== "release") return;
      const { rowIds, requests } = header as ReleaseHeader;
      for (const id of idsOf(rowIds)) onReleased(`${turn} ${hex(id)}`);
      for (const one of requests) for (const id of requested.get(one) ?? []) onReleased(`${turn} ${hex(id)}`);
    },
    onStore({ key, bytes, by }) {
      const region = REGION_KEY.exec(key)?.[1];
      if (region !== undefined && bytes !== undefined && regionRecordFrame.decode(bytes).header.kind === "COMMIT")
        committedMs.set(`${turnOf(region.split("/")[0]!)}`, world.nowMs);
      const [, job, row] = SAVED_KEY.exec(key) ?? [];
      if (job === undefined || row === undefined) return;
      const id = `${turnOf(job)} ${row}`;
      if (bytes === undefined) saved.delete(id);
      else
        saved.set(
          id,
          [...begun.keys()].some((one) => one.name === by && !one.isDead && !leaving.has(one)),
        );
    },
  };

  function onCall({ what, process, ids }: ServiceCall): void {
    for (const id of ids) {
      if (what === "begun") onBegun(process, id);
      else {
        ended.set(id, (ended.get(id) ?? new Set()).add(process));
        if (!endedMs.has(id)) endedMs.set(id, world.nowMs);
      }
    }
  }

  function onBegun(process: SimProcess, id: string): void {
    const own = begun.get(process) ?? new Set();
    begun.set(process, own);
    const seen = `${process.name} begins it`;
    if (own.has(id))
      world.found("paid (PAID1)", `the row ${id} to be begun by ${process.name} once`, `it begins it again`);
    own.add(id);
    if (isBlind() || released.has(id)) return;
    const holders = [...(ended.get(id) ?? [])].filter((one) => one !== process && !one.isDead);
    const holder = holders.find((one) => !leaving.has(one));
    if (holder !== undefined) {
      world.found("paid (PAID2)", `the row ${id} to be begun once: ${holder.name} has ended it`, seen);
    }
    if (saved.get(id) === true && !isBlind((kind) => kind.startsWith("store-") && kind !== "store-stale-list")) {
      world.found("paid (PAID3)", `the row ${id} to be begun once: its answer is in the store`, seen);
    }
  }

  function onReleased(id: string): void {
    const atMs = endedMs.get(id);
    const newestMs = committedMs.get(id.split(" ")[0]!) ?? Number.NEGATIVE_INFINITY;
    if (atMs !== undefined && newestMs < atMs)
      world.found(
        "paid (PAID4)",
        `the row ${id} to be kept until a checkpoint behind it is committed`,
        "it is released",
      );
    for (const own of begun.values()) own.delete(id);
    released.add(id);
  }
}

const LEAVING: ReadonlySet<string> = new Set(["DRAINING", "STOPPED", "FAILED"]);

const hex = (id: string): string => Buffer.from(id, "latin1").toString("hex");
