import assert from "node:assert/strict";
import { checkReplayable, planReplay } from "../../../src/coordinator/replay-plan.js";
import type { DeadLetter } from "../../../src/storage/dead-letters.js";
import type { JobSpec } from "../../../src/wire/control.js";
import { actorSnapshotFrame, sourceStateFrame } from "../../../src/wire/stored.js";
import { needs, spec } from "./job-facts.js";

const forward = (operator: string) => [{ operator, exchange: "chained", durable: false }];
const graphOf = (...chain: readonly (readonly [operator: string, kind: string, chain: string])[]) => ({
  graph: chain.map(([operator, , head], i) => ({
    ...{ operator, service: "", chain: head },
    inputs: i === 0 ? [] : forward(chain[i - 1]![0]),
  })),
  operators: chain.map(([operator, kind]) => ({ operator, kind, parallelism: 2, columns: "" })),
});
const actors = ["read-0", "read-1", "write-0", "write-1"].map((actor) => {
  return { actor, region: `region-${actor.at(-1)}`, subtask: Number(actor.at(-1)), resources: needs(), gpus: [] };
});
const job: JobSpec = {
  ...spec,
  actors,
  ...graphOf(["read", "source", "read"], ["parse", "mapRows", "read"], ["write", "sink", "write"]),
};
const letter: DeadLetter = {
  ...{ id: "l", operator: "parse", code: "C", message: "m", atMs: 1, record: "{}", bytes: 1, mark: undefined },
  row: Uint8Array.of(1),
};

describe("coordinator/replay-plan: the job that replays dead letters", () => {
  it("is the job that refused them, with sources that have ended and each record before its operator", () => {
    const rows = [
      { operator: "parse", subtask: 1, batch: Uint8Array.of(1, 2) },
      { operator: "parse", subtask: 1, batch: Uint8Array.of(3) },
      { operator: "write", subtask: 2, batch: Uint8Array.of(4) },
    ];
    const { spec: replay, regions } = planReplay(job, "again", rows, 70n, 9);
    assert.deepEqual(
      [replay.job, replay.bundle, replay.planHash, replay.sources, replay.submittedMs],
      ["again", job.bundle, job.planHash, [], 9n],
    );
    assert.deepEqual(replay.seeds, [
      { region: "region-0", number: 70n },
      { region: "region-1", number: 70n },
    ]);
    const snapshots = new Map(
      regions
        .flatMap((region) => region.actors)
        .map(({ actor, snapshot }) => [actor, actorSnapshotFrame.decode(snapshot)]),
    );
    const shown = (actor: string) => {
      const { header, payload } = snapshots.get(actor)!;
      return [header.parked.map(({ place }) => place), header.blobs, [...payload]];
    };
    assert.deepEqual(shown("read-0"), [[], [], []]);
    assert.deepEqual(shown("read-1"), [
      ["parse", "parse"],
      [2n, 1n],
      [1, 2, 3],
    ]);
    assert.deepEqual(shown("write-0"), [["write"], [1n], [4]], "of an actor that there is none of, another takes it");
    const [state] = snapshots.get("read-0")!.header.operators;
    assert.equal(state?.operator, "read");
    assert.equal(sourceStateFrame.decode(state!.state).header.ended, true);
    assert.deepEqual(snapshots.get("write-0")!.header.operators, []);
  });

  it("every region begins with the number, so that nothing published before is replaced (Y1)", () => {
    const { regions } = planReplay(job, "again", [], 70n, 9);
    assert.deepEqual(
      regions.map(({ record }) => [record.kind, record.job, record.number, record.term]),
      [
        ["COMMIT", "again", 70n, 0n],
        ["COMMIT", "again", 70n, 0n],
      ],
    );
  });

  it("takes no record into or towards state by key (Y2)", () => {
    const keyed = graphOf(
      ...([
        ["read", "source", "read"],
        ["parse", "mapRows", "read"],
      ] as const),
      ...([
        ["by", "keyBy", "read"],
        ["count", "reduce", "write"],
        ["write", "sink", "write"],
      ] as const),
    );
    const impossible = { code: "MILL_REPLAY_IMPOSSIBLE" };
    const refused = (operator: string, message: RegExp) =>
      assert.throws(() => checkReplayable({ ...job, ...keyed }, { ...letter, operator }), { ...impossible, message });
    refused("parse", /"parse".*"count", which keeps state by key/);
    refused("count", /"count"/);
    checkReplayable({ ...job, ...keyed }, { ...letter, operator: "write" });
  });

  it("takes none that is not whole, and none of an operator that the job does not have", () => {
    checkReplayable(job, letter);
    const impossible = { code: "MILL_REPLAY_IMPOSSIBLE" };
    assert.throws(() => checkReplayable(job, { ...letter, row: undefined }), impossible);
    assert.throws(() => checkReplayable(job, { ...letter, operator: "gone" }), impossible);
    assert.throws(() => checkReplayable({ ...job, graph: [] }, letter), impossible);
  });
});
