/**
 * The logs in the object store, and what may happen only after a record is in them.
 *
 *   LOG1  Numbers of a log are 1, 2, 3, ... without gaps. That of a job that goes on from a savepoint begins with any number, and with
 *         a COMMIT of no attempt and no term.
 *   LOG2  A number is written once, by a create, and never changes. (Clean-up may delete it.)
 *   LOG3  Terms and attempts along a region's log only grow.
 *   LOG4  A COMMIT is of the attempt and the term of the newest FENCE before it.
 *   LOG5  An attempt is deployed only after a FENCE of it is in the log (C4).
 *   LOG6  A checkpoint is triggered only at the next place in the log (C1).
 *   LOG7  A file is published only after a COMMIT in the log of its region names it as pending (F1).
 *   LOG8  A split, and a reader's question, are in the split log once.
 *   LOG9  Where clean-up has deleted a number, only a leader of an older term creates it again, who does not know better, and
 *         that record counts for nothing: LOG5 and LOG7 hold as if it were not there, and its creator writes no other number of that log.
 *
 * Why LOG9 is no hole in LOG1 to LOG3 (docs/decisions/0007, "What is kept of a log"): what is deleted lies before the third newest
 * commit, which was written by a leader whose fence is in the log. Whoever creates a deleted number has not read that fence, so its
 * term is lower; one of the same or a higher term is found (LOG1). Before such a record counts for its creator, that one asks the bucket,
 * finds a higher term, and stops: so the next number never comes from it. Readers start from the newest record and go down to the third
 * commit, so they never come to the stray one.
 */
import { planTopology } from "../../../src/plan/plan.js";
import type { Deploy, Trigger } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import {
  actorSnapshotFrame,
  type RegionRecord,
  regionRecordFrame,
  sinkStateFrame,
  splitRecordFrame,
} from "../../../src/wire/stored.js";
import type { StoreChange } from "../shared-store.js";
import { turnOf } from "../sim-cluster.js";
import { classOfSubject, type SimMessage } from "../sim-network.js";
import { SimProcess } from "../sim-process.js";
import type { CheckedRun, Checker } from "./checker.js";
import { publishedName } from "./published-name.js";

/** The region with its job, as `<job>/regions/<region>`, and the number. */
export const REGION_KEY = /^jobs\/([^/]+\/regions\/[^/]+)\/log\/(\d+)$/;
const SPLIT_KEY = /^jobs\/([^/]+\/sources\/[^/]+)\/log\/(\d+)$/;
export const regionName = (job: string, region: string): string => `${job}/regions/${region}`;

interface RegionLog {
  newest: bigint;
  /** Numbers that clean-up has deleted. */
  readonly deleted: Set<bigint>;
  /** The newest FENCE, or the record that a log begins with. */
  fence: RegionRecord | undefined;
  readonly fenced: Set<number>;
  /** What the manifests of its commits have pending, by the name under which it is to be published. */
  readonly pending: Set<string>;
}

export function regionLogChecker({ world, scenario, store }: CheckedRun): Checker {
  const logs = new Map<string, RegionLog>();
  /** Numbers that a deposed leader has created again, by leader and log. */
  const strays = new Map<string, bigint>();
  const splitLogs = new Map<string, { newest: bigint; readonly known: Set<string> }>();
  const process = new SimProcess(world, "checker", "client");
  const topology = scenario.build(process, 0);
  /** The region of a sink's instance, in the job of each turn. */
  const regionsOf = ([0, 1] as const).map(
    (turn) =>
      new Map<string, string>(
        planTopology(scenario.build(process, turn)).actors.flatMap(({ operators, subtask, region }) => [
          ...operators.map((operator) => [`${operator}-${subtask}`, region] as const),
          [`dead-letters-${operators[0]}-${subtask}`, region] as const,
        ]),
      ),
  );
  /** The dead letters of an actor are "". */
  const sinks = new Set([
    "",
    ...topology.operators.filter(({ kind }) => kind === "sink").map(({ id }) => id as string),
  ]);
  const logOf = (region: string): RegionLog => {
    const log = logs.get(region) ?? {
      newest: 0n,
      deleted: new Set(),
      fence: undefined,
      fenced: new Set(),
      pending: new Set(),
    };
    logs.set(region, log);
    return log;
  };

  return {
    onStore(change) {
      const [, region, number] = REGION_KEY.exec(change.key) ?? [];
      if (region !== undefined && change.bytes !== undefined) onRegionRecord(region, change, change.bytes);
      else if (region !== undefined) logOf(region).deleted.add(BigInt(number!));
      const [, source] = SPLIT_KEY.exec(change.key) ?? [];
      if (source !== undefined && change.bytes !== undefined) onSplitRecord(source, change, change.bytes);
      onPublished(change);
    },
    onMessage(message) {
      if (classOfSubject(message.subject) === "command") onCommand(message);
    },
  };

  function writtenOnce({ kind, key, before, by }: StoreChange, number: bigint, newest: bigint): void {
    if (kind !== "create" || before !== undefined) {
      world.found("region-log (LOG2)", `${key} to be created once`, `${by} wrote it by a ${kind}`);
    }
    if (number !== newest + 1n) world.found("region-log (LOG1)", `${newest + 1n} next to ${key}`, `${number} by ${by}`);
  }

  function onRegionRecord(region: string, change: StoreChange, bytes: Uint8Array): void {
    const record = regionRecordFrame.decode(bytes).header;
    const log = logOf(region);
    if (log.newest === 0n && record.term === 0n && record.kind === "COMMIT" && change.kind === "create") {
      log.newest = record.number;
      log.fence = record;
      return;
    }
    const newestTerm = log.fence?.term ?? 0n;
    const leader = `${change.by} with term ${record.term} in ${region}`; // one process may lead again
    const stray = strays.get(leader);
    if (stray !== undefined && stray !== record.number) {
      world.found(
        "region-log (LOG9)",
        `${change.by} to stop behind ${stray} of ${region}`,
        `it wrote ${record.number}`,
      );
    }
    if (change.kind === "create" && log.deleted.has(record.number) && record.term < newestTerm) {
      strays.set(leader, record.number);
      return;
    }
    writtenOnce(change, record.number, log.newest);
    log.newest = record.number;
    const { fence } = log;
    const seen = `${record.kind} ${record.number} of term ${record.term}, attempt ${record.attempt}, by ${change.by}`;
    if (fence !== undefined && (record.term < fence.term || record.attempt < fence.attempt)) {
      world.found("region-log (LOG3)", `term ${fence.term} and attempt ${fence.attempt} or above in ${region}`, seen);
    }
    if (record.kind === "FENCE") {
      log.fence = record;
      log.fenced.add(record.attempt);
      return;
    }
    for (const name of record.actors.flatMap(pendingOf)) log.pending.add(name);
    if (fence?.term !== record.term || fence.attempt !== record.attempt) {
      world.found("region-log (LOG4)", `a commit of term ${fence?.term}, attempt ${fence?.attempt} in ${region}`, seen);
    }
  }

  function onSplitRecord(source: string, change: StoreChange, bytes: Uint8Array): void {
    const { number, assignments } = splitRecordFrame.decode(bytes).header;
    const log = splitLogs.get(source) ?? { newest: 0n, known: new Set<string>() };
    splitLogs.set(source, log);
    writtenOnce(change, number, log.newest);
    log.newest = number;
    for (const { reader, number: question, split } of assignments) {
      for (const name of [`split ${split.id}`, `question ${question} of ${reader}`]) {
        if (log.known.has(name)) world.found("region-log (LOG8)", `${name} of ${source} once`, `again in ${number}`);
        log.known.add(name);
      }
    }
  }

  /** Names of files that an actor's snapshot has prepared and not yet seen published. */
  function pendingOf({ inline, key }: RegionRecord["actors"][number]): string[] {
    const { operators } = actorSnapshotFrame.decode(key === "" ? inline : store.contents(key).get(key)!).header;
    return operators
      .filter(({ operator }) => sinks.has(operator))
      .flatMap(({ state }) => sinkStateFrame.decode(state).header.pending)
      .filter(({ prepared }) => prepared.length > 0)
      .map(({ prepared }) => (JSON.parse(new TextDecoder().decode(prepared)) as { to: string }).to);
  }

  function onPublished({ kind, key, bytes, by }: StoreChange): void {
    const folder = [...scenario.expected.keys()].find((candidate) => key.startsWith(candidate));
    const file = key.slice(folder?.length);
    const name = folder === undefined ? undefined : publishedName(file);
    if (name === undefined || bytes === undefined) return;
    const at = `${name.operator}-${name.subtask}`;
    for (const [region, { pending }] of logs) {
      const [job, regionId] = region.split("/regions/");
      if (regionId !== undefined && regionsOf[turnOf(job!)]!.get(at) === regionId && pending.has(file)) return;
    }
    world.found(
      "region-log (LOG7)",
      `a COMMIT in the region of ${at} that names ${file} before it is published`,
      `a ${kind} by ${by}`,
    );
  }

  function onCommand({ payload }: SimMessage): void {
    const { kind, header } = decodeFrame(payload);
    if (kind === "deploy") {
      const { job, region, attempt } = header as Deploy;
      if (logOf(regionName(job, region)).fenced.has(attempt)) return;
      world.found("region-log (LOG5)", `a FENCE of attempt ${attempt} in ${region} before it is deployed`, "deployed");
    } else if (kind === "trigger") {
      const { job, region, checkpoint } = header as Trigger;
      const { newest } = logOf(regionName(job, region));
      if (checkpoint <= newest + 1n) return;
      world.found("region-log (LOG6)", `checkpoint ${newest + 1n} next in ${region}`, `a trigger of ${checkpoint}`);
    }
  }
}
