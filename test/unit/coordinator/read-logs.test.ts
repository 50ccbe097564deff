import assert from "node:assert/strict";
import type { JobId, Namespace, OperatorId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { ReadLogs, type ReadLogsJob } from "../../../src/coordinator/read-logs.js";
import type { ExchangeSpec } from "../../../src/wire/control.js";
import type { RegionRecord } from "../../../src/wire/stored.js";
import { FakeClock } from "./fake-ports.js";

const JOB = "job" as JobId;
const NAMESPACE = "test" as Namespace;
const ENTRY = new Uint8Array(60);

/** A job whose one exchange has two logs with room for one entry; the reader of the first may have finished. */
async function setUp(finished: boolean) {
  const clock = new FakeClock();
  const ports = { clock, log: silentLog, random: { next: () => 1, id: () => "id" } };
  const bus = new MemoryBus(ports);
  const { exchangeLog } = jobSubjects(NAMESPACE, JOB);
  const logOf = (partition: number) => bus.log(exchangeLog("hand-over" as OperatorId, partition), { bytesMax: 100 });
  const logs = [await logOf(0), await logOf(1)] as const;
  for (const log of logs) await log.append(ENTRY);
  const actor = (name: string, isFinished: boolean) => ({ actor: name, finished: isFinished });
  const commit = { actors: [actor("r-0", finished), actor("r-1", false)] } as unknown as RegionRecord;
  const job: ReadLogsJob = {
    job: JOB,
    exchanges: [{ operator: "hand-over", readers: ["r-0", "r-1"] }],
    regions: new Map([
      ["region-r", { commit }],
      ["region-w", { commit: undefined }],
    ]),
  };
  const state = { leads: async () => true };
  const readLogs = new ReadLogs({ bus, ports, namespace: NAMESPACE, leads: () => state.leads() });
  /** As when the job ends. */
  const end = () => readLogs.delete(JOB, [{ operator: "hand-over", partitions: 2 } as ExchangeSpec]);
  const there = (partition: number) => bus.existingLog(exchangeLog("hand-over" as OperatorId, partition));
  const look = async () => {
    await clock.advance(limits.heartbeatIntervalMs);
    readLogs.look(job);
    await clock.advance(0);
  };
  return { logs, look, state, end, there };
}

describe("coordinator/read-logs: a log whose reader has finished", () => {
  it("is emptied again and again, so that a restored writer can publish again what nobody reads", async () => {
    const { logs, look } = await setUp(true);
    for (let again = 0; again < 3; again++) {
      await assert.rejects(logs[0].append(ENTRY), { code: "MILL_BUS_LOG_FULL" });
      await look();
      await logs[0].append(ENTRY);
    }
  });

  it("is emptied alone: what a reader that goes on has still to read stays", async () => {
    const { logs, look } = await setUp(true);
    await look();
    assert.deepEqual([await logs[0].first(), await logs[1].first()], [2n, 1n]);
  });

  it("is not emptied before a committed checkpoint says that it has", async () => {
    const { logs, look } = await setUp(false);
    await look();
    assert.equal(await logs[0].first(), 1n);
  });

  it("is left alone by a coordinator that does not lead any more", async () => {
    const { logs, look, state } = await setUp(true);
    state.leads = async () => false;
    await look();
    assert.equal(await logs[0].first(), 1n);
  });

  it("is not made anew where the job ends before it is emptied", async () => {
    const { look, state, end, there } = await setUp(true);
    state.leads = () => end().then(() => true);
    await look();
    for (const partition of [0, 1]) await assert.rejects(there(partition), { code: "MILL_BUS_LOG_GONE" });
  });
});
