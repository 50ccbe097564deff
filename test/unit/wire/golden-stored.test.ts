/** Savepoints of earlier versions: the files are bytes that were written once, and must stay readable. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { redistributeJob } from "../../../src/actors/saved-state.js";
import { planTopology } from "../../../src/plan/plan.js";
import { actorSnapshotFrame, savepointFrame, sourceStateFrame } from "../../../src/wire/stored.js";
import { built, nowhere, pages } from "../topology/support.js";
import { packageRoot, readHex } from "./hex-file.js";

const golden = (name: string) => readHex(join(packageRoot, "test", "golden", "stored", `${name}.hex`));

describe("wire/golden: savepoints of earlier versions", () => {
  it("savepoint.1: is read as one of today (F5)", () => {
    const { header } = savepointFrame.decode(golden("savepoint.1"));
    assert.deepEqual([header.job, header.name, header.topology], ["words-1", "half-way", "words"]);
    assert.deepEqual(
      header.operators.map(({ operator, kind, parallelism }) => [operator, kind, parallelism]),
      [
        ["texts", "source", 1],
        ["words", "sink", 1],
      ],
    );
    const [region] = header.regions;
    assert.deepEqual([region!.region, region!.number, region!.actors[0]!.actor], ["region-texts-0", 4n, "texts-0"]);
    assert.equal(region!.actors[0]!.sha256, createHash("sha256").update(golden("savepoint-actor.1")).digest("hex"));
    assert.deepEqual(header.sources, [{ source: "texts", records: 2n }]);
  });

  it("savepoint-actor.1: a job starts from it, though readers note more today (F5)", () => {
    const topology = built((job) => job.read(pages, { id: "texts" }).to(nowhere, { id: "words" }));
    const { operators } = savepointFrame.decode(golden("savepoint.1")).header;
    const saved = { operators, actors: [{ actor: "texts-0", subtask: 0, snapshot: golden("savepoint-actor.1") }] };
    const { snapshots, taken } = redistributeJob(saved, { topology, plan: planTopology(topology), operators }, false);
    const { header } = actorSnapshotFrame.decode(snapshots.get("texts-0")!);
    const { split, batches, taken: own, started } = sourceStateFrame.decode(header.operators[0]!.state).header;
    assert.deepEqual([split?.id, batches, own, started], ["b.txt", 3n, 0n, []]);
    assert.deepEqual([header.rowsRead, header.rowsWritten], [7n, 5n]);
    assert.deepEqual([...taken.get("texts")!], [["texts-0", 2n]]);
  });
});
