import assert from "node:assert/strict";
import fc from "fast-check";
import { decideRetention, type LoggedRecord, type RetentionFacts } from "../../../src/checkpoint/retention.js";

const commit = (number: bigint, ...snapshots: string[]): LoggedRecord => ({ number, kind: "COMMIT", snapshots });
const fence = (number: bigint): LoggedRecord => ({ number, kind: "FENCE", snapshots: [] });

function decide(over: Partial<RetentionFacts>, kept = 3) {
  return decideRetention({ records: [], older: [], snapshots: [], pinned: new Set(), ...over }, kept);
}

describe("checkpoint/retention: what of a region's log is not needed any more", () => {
  it("keeps the newest commits, all that lies behind the oldest of them, and what they refer to (H1)", () => {
    const records = [
      fence(1n),
      commit(2n, "2"),
      fence(3n),
      commit(4n, "4"),
      fence(5n),
      commit(6n, "6"),
      commit(7n, "7"),
    ];
    assert.deepEqual(decide({ records }), { keptFrom: 4n, records: [1n, 2n, 3n], snapshots: ["2"] });
    const gone = [1n, 2n, 3n, 4n, 5n, 6n];
    assert.deepEqual(decide({ records }, 1), { keptFrom: 7n, records: gone, snapshots: ["2", "4", "6"] });
    assert.deepEqual(decide({ records: [...records, fence(8n), fence(9n)] }, 1).records.at(-1), 6n);
  });

  it("deletes no record while there are fewer commits than are kept (H1)", () => {
    assert.deepEqual(decide({ records: [fence(8n), commit(9n, "9"), commit(10n, "10")] }), {
      keptFrom: 0n,
      records: [],
      snapshots: [],
    });
    assert.deepEqual(decide({ records: [fence(8n)], older: [3n] }).records, []);
    assert.deepEqual(decide({}), { keptFrom: 0n, records: [], snapshots: [] });
  });

  it("deletes what an earlier leader left of the log, oldest first (H4)", () => {
    const records = [commit(7n), commit(8n), commit(9n)];
    assert.deepEqual(decide({ records, older: [5n, 2n, 6n] }).records, [2n, 5n, 6n]);
  });

  it("deletes the snapshots of checkpoints that were given up and of attempts that were too late (H2, rule 12)", () => {
    const snapshots = [
      { key: "of 3, given up", checkpoint: 3n },
      { key: "4-1-a", checkpoint: 4n },
    ];
    const records = [fence(3n), commit(4n, "4-2-a")];
    assert.deepEqual(decide({ records, snapshots }).snapshots, ["4-1-a", "of 3, given up"]);
  });

  it("leaves the snapshots of the open checkpoint alone, and those that a savepoint copies (H2, H3)", () => {
    const open = [{ key: "5-1-a", checkpoint: 5n }];
    assert.deepEqual(decide({ records: [fence(3n), commit(4n)], snapshots: open }).snapshots, []);
    const records = [commit(2n, "2"), commit(3n, "3"), commit(4n, "4")];
    assert.deepEqual(decide({ records, pinned: new Set(["2"]) }, 1).snapshots, ["3"]);
  });

  it("keeps a snapshot that both a record that goes and one that stays refer to (H2, rule 12)", () => {
    assert.deepEqual(decide({ records: [commit(1n, "both"), commit(2n, "both")] }, 1).snapshots, []);
  });

  it("a known part with a gap is no part of the log", () => {
    assert.throws(() => decide({ records: [commit(1n), commit(3n)] }), { code: "MILL_INTERNAL" });
  });

  it("whatever the log: what stays has no gap, ends with the newest, and every kept commit keeps its snapshots (H1, H2, H4)", () => {
    const logs = fc.record({
      first: fc.bigInt({ min: 1n, max: 50n }),
      kinds: fc.array(fc.constantFrom("COMMIT" as const, "FENCE" as const), { maxLength: 30 }),
      strays: fc.array(fc.bigInt({ min: 1n, max: 90n })),
      kept: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(logs, ({ first, kinds, strays, kept }) => {
        const records = kinds.map((kind, i): LoggedRecord => {
          const number = first + BigInt(i);
          return { number, kind, snapshots: kind === "COMMIT" ? [`${number}`] : [] };
        });
        const snapshots = strays.map((checkpoint) => ({ key: `stray ${checkpoint}`, checkpoint }));
        const gone = decide({ records, snapshots, older: first > 1n ? [first - 1n] : [] }, kept);
        assert.deepEqual(
          gone.records,
          [...gone.records].sort((a, b) => (a < b ? -1 : 1)),
        );
        assert.ok(gone.records.every((number) => number < gone.keptFrom));
        const left = records.filter(({ number }) => !gone.records.includes(number));
        assert.deepEqual(left, records.slice(records.length - left.length), "the end of the log stays, without a gap");
        const commits = left.filter(({ kind }) => kind === "COMMIT");
        const all = records.filter(({ kind }) => kind === "COMMIT");
        assert.deepEqual(commits, all.slice(-kept));
        assert.equal(gone.keptFrom, commits.length < kept ? 0n : commits[0]!.number);
        for (const { snapshots: own } of left) for (const key of own) assert.ok(!gone.snapshots.includes(key), key);
        const newest = records.at(-1)?.number ?? 0n;
        for (const { key, checkpoint } of snapshots)
          assert.equal(gone.snapshots.includes(key), checkpoint <= newest, key);
      }),
    );
  });
});
