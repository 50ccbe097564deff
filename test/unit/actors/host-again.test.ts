/** What a host could not do is done when it is asked again: a coordinator asks until it is acknowledged. */
import assert from "node:assert/strict";
import { Host } from "../../../src/actors/host.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { HostId, JobId, Namespace } from "../../../src/base/ids.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { planTopology } from "../../../src/plan/plan.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { topology } from "../../../src/topology/topology.js";
import {
  acknowledgementFrame,
  deployEnumeratorFrame,
  deployFrame,
  splitAssignmentFrame,
  splitRequestFrame,
  stopRegionFrame,
} from "../../../src/wire/control.js";
import { regionRecordFrame, splitRecordFrame } from "../../../src/wire/stored.js";
import { source } from "./checkpoint-world.js";
import { noContent, noOutput, numbered, op, TestSink } from "./support.js";

const JOB = "job" as JobId;
const HOST = "h1" as HostId;
const NAMESPACE = "test" as Namespace;
const subjects = jobSubjects(NAMESPACE, JOB);

/** The store's first answer is a failure. */
async function setUp() {
  const bus = new MemoryBus(realPorts());
  const plain = new MemoryStore();
  let fails = true;
  const store = new Proxy(plain, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function") return member;
      return (...args: unknown[]): unknown => {
        if (name === "get" && fails) {
          fails = false;
          return Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "away"));
        }
        return (member as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  }) as ObjectStore;
  const shape = { splits: 1, batches: 1, rows: 1 };
  const pause = async () => {};
  const made = topology("t", (job) => {
    job
      .read(
        source(numbered, 0, shape, (n) => ({ n }), pause),
        { id: "in" },
      )
      .to(new TestSink("out"), { id: "out" });
  }).build({});
  const plan = planTopology(made);
  const host = new Host({
    host: HOST,
    job: JOB,
    namespace: NAMESPACE,
    bus,
    store,
    ports: realPorts(),
    plan,
    topology: made,
    content: noContent,
    outputFor: () => noOutput,
    deadLetterSink: new TestSink("letters"),
  });
  await host.open();
  const command = async (frame: Uint8Array) =>
    acknowledgementFrame.decode((await bus.request(subjects.hostCommand(HOST), frame)).payload).header.code;
  return { bus, store: plain, plan, host, command };
}

describe("actors/host: asked again", () => {
  it("a deployment that failed is made anew, though its attempt is the same (T1)", async () => {
    const { store, plan, host, command } = await setUp();
    const { id: actor, region } = plan.actors[0]!;
    const inline = new Uint8Array();
    const record = {
      kind: "COMMIT" as const,
      job: JOB,
      region,
      number: 1n,
      term: 1n,
      attempt: 1,
      createdMs: 0n,
      actors: [{ actor, finished: false, inline, key: "", sha256: "", sizeBytes: 0n }],
    };
    await store.put(jobKeys(JOB).regionRecord(region, 1n), regionRecordFrame.encode(record));
    const frame = deployFrame.encode({ term: 1n, job: JOB, region, attempt: 2, actors: [actor], checkpoint: 1n });
    assert.equal(await command(frame), "MILL_STORE_UNREACHABLE");
    assert.equal(await command(frame), "");
    assert.equal(await command(frame), "", "an acknowledgement was lost");
    await host.close();
  });

  it("a deployment that comes late is refused, also where its region has been stopped since (rule 9)", async () => {
    const { plan, host, command } = await setUp();
    const { id: actor, region } = plan.actors[0]!;
    const deploy = (attempt: number) =>
      command(deployFrame.encode({ term: 1n, job: JOB, region, attempt, actors: [actor], checkpoint: 0n }));
    const stop = (attempt: number) => command(stopRegionFrame.encode({ term: 1n, job: JOB, region, attempt }));
    assert.equal(await deploy(2), "");
    assert.equal(await stop(2), "");
    assert.equal(await deploy(1), "MILL_COMMAND_REFUSED");
    assert.equal(await deploy(2), "MILL_COMMAND_REFUSED");
    assert.equal(await stop(1), "", "a stop that comes late");
    assert.equal(await deploy(2), "MILL_COMMAND_REFUSED");
    assert.equal(await deploy(3), "");
    await host.close();
  });

  it("an enumerator that could not read its log is deployed when asked again, and answers (D1)", async () => {
    const { bus, host, command } = await setUp();
    const frame = deployEnumeratorFrame.encode({ term: 1n, job: JOB, source: "in", attempt: 1 });
    assert.equal(await command(frame), "MILL_STORE_UNREACHABLE");
    assert.equal(await command(frame), "");
    const question = splitRequestFrame.encode({ operator: "in", reader: "in-0", number: 1n, ahead: 0, more: 0 });
    const answer = await bus.request(subjects.splits(op("in")), question);
    assert.equal(splitAssignmentFrame.decode(answer.payload).header.split?.id, "0-0");
    await host.close();
  });

  it("an enumerator that it has goes on for the next leader; one that another has replaced is made anew (D7)", async () => {
    const { bus, store, host, command } = await setUp();
    const deploy = (term: bigint, attempt: number) =>
      command(deployEnumeratorFrame.encode({ term, job: JOB, source: "in", attempt }));
    const ask = async (number: bigint) => {
      const question = splitRequestFrame.encode({ operator: "in", reader: "in-0", number, ahead: 0, more: 0 });
      const answer = await bus.request(subjects.splits(op("in")), question, { timeoutMs: 1_000 });
      return splitAssignmentFrame.decode(answer.payload).header;
    };
    await deploy(1n, 5); // meets the failure
    assert.equal(await deploy(1n, 5), "");
    assert.equal(await deploy(2n, 1), "");
    const { splitRecord } = jobKeys(JOB);
    const another = { source: "in", assignments: [], listed: false };
    await store.create(
      splitRecord("in", 1n),
      splitRecordFrame.encode({ ...another, number: 1n, term: 1n, attempt: 6 }),
    );
    assert.equal((await ask(1n)).split?.id, "0-0", "that one is older than the leader's newest wish");
    await store.create(
      splitRecord("in", 3n),
      splitRecordFrame.encode({ ...another, number: 3n, term: 2n, attempt: 2 }),
    );
    await assert.rejects(ask(2n), { code: "MILL_BUS_TIMEOUT" });
    await assert.rejects(ask(2n), { code: "MILL_BUS_NO_RESPONDER" });
    assert.equal(await deploy(2n, 3), "");
    assert.equal((await ask(2n)).done, true);
    await host.close();
  });
});
