import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type KeyGroupHolder,
  keyGroupOf,
  keyGroupRange,
  ownerOf,
  redistribute,
} from "../../../src/checkpoint/key-groups.js";

type Group = { readonly group: number; readonly keys: readonly string[] };

const groupCount = fc.integer({ min: 1, max: 200 });
const parallelism = fc.integer({ min: 1, max: 300 });

/** The keys, held by `instances` as they would be. */
function held(keys: readonly string[], instances: number, keyGroups: number): KeyGroupHolder<Group>[] {
  return Array.from({ length: instances }, (_, subtask) => {
    const own = keys.filter((key) => ownerOf(keyGroupOf(key, keyGroups), instances, keyGroups) === subtask);
    const groups = [...new Set(own.map((key) => keyGroupOf(key, keyGroups)))].sort((a, b) => a - b);
    return {
      ...keyGroupRange(subtask, instances, keyGroups),
      groups: groups.map((group) => ({ group, keys: own.filter((key) => keyGroupOf(key, keyGroups) === group) })),
    };
  });
}

describe("checkpoint/key-groups: who owns a key", () => {
  it("the group of a key is what it was in every version (K1)", () => {
    const groups = ["", "1:a", "1:b", "5:Zürich", "~", "3:abc3:def", "10:1234567890"].map((key) =>
      keyGroupOf(key, 128),
    );
    assert.deepEqual(groups, KNOWN);
  });

  it("every group has one owner, whose range it is in; ranges lie side by side (K2)", () => {
    fc.assert(
      fc.property(groupCount, parallelism, (keyGroups, instances) => {
        let next = 0;
        for (let subtask = 0; subtask < instances; subtask++) {
          const { first, end } = keyGroupRange(subtask, instances, keyGroups);
          assert.equal(first, next);
          for (let group = first; group < end; group++) assert.equal(ownerOf(group, instances, keyGroups), subtask);
          next = end;
        }
        assert.equal(next, keyGroups);
      }),
    );
  });

  it("no instance owns more than one group above another (K2)", () => {
    fc.assert(
      fc.property(groupCount, parallelism, (keyGroups, instances) => {
        const sizes = Array.from({ length: instances }, (_, i) => {
          const { first, end } = keyGroupRange(i, instances, keyGroups);
          return end - first;
        });
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `sizes ${sizes}`);
      }),
    );
  });

  it("keys that differ little are spread over all groups", () => {
    for (const keyOf of [
      (i: number) => `${String(i).length}:${i}`,
      (i: number) => `6:k${String(i).padStart(5, "0")}`,
    ]) {
      const counts = new Array<number>(128).fill(0);
      for (let i = 0; i < 12_800; i++) counts[keyGroupOf(keyOf(i), 128)]!++;
      assert.ok(
        Math.min(...counts) > 50 && Math.max(...counts) < 160,
        `${Math.min(...counts)} to ${Math.max(...counts)}`,
      );
    }
  });
});

describe("checkpoint/key-groups: another number of instances", () => {
  it("no key is dropped, none doubled, each is at its owner, whole groups in order (K3)", () => {
    const keys = fc.uniqueArray(fc.string({ maxLength: 8, unit: "binary" }), { maxLength: 60 });
    fc.assert(
      fc.property(
        keys,
        groupCount,
        parallelism,
        parallelism,
        fc.infiniteStream(fc.nat()),
        (all, keyGroups, p, q, draws) => {
          const before = held(all, p, keyGroups);
          // Snapshots come in any order.
          const shuffled = before
            .map((holder) => [draws.next().value as number, holder] as const)
            .sort(([a], [b]) => a - b)
            .map(([, holder]) => holder);
          assert.deepEqual(redistribute(shuffled, q, keyGroups), held(all, q, keyGroups));
        },
      ),
    );
  });

  it("there and back again is where it was (K3)", () => {
    const keys = Array.from({ length: 500 }, (_, i) => `key-${i}`);
    const before = held(keys, 3, 128);
    assert.deepEqual(redistribute(redistribute(before, 7, 128), 3, 128), before);
  });

  const group = (number: number): Group => ({ group: number, keys: [] });
  for (const [what, holders, message] of [
    [
      "a group that two snapshots have",
      [
        { first: 0, end: 3 },
        { first: 2, end: 4 },
      ],
      /key group 2 is in two snapshots/,
    ],
    [
      "a group that no snapshot has",
      [
        { first: 0, end: 1 },
        { first: 2, end: 4 },
      ],
      /key group 1 is in no snapshots/,
    ],
    [
      "a snapshot that is missing at the end",
      [{ first: 0, end: 2 }],
      /4 key groups, and the snapshots hold those up to 2/,
    ],
    [
      "the same snapshot twice",
      [
        { first: 0, end: 4 },
        { first: 0, end: 4 },
      ],
      /key group 0 is in two snapshots/,
    ],
  ] as const) {
    it(`refuses ${what} (K3)`, () => {
      const empty = holders.map((range) => ({ ...range, groups: [] }));
      assert.throws(() => redistribute(empty, 2, 4), { code: "MILL_STORE_CORRUPT", message });
    });
  }

  it("refuses a group outside its snapshot's range, and one that is there twice (K3)", () => {
    const outside = [
      { first: 0, end: 2, groups: [group(3)] },
      { first: 2, end: 4, groups: [] },
    ];
    assert.throws(() => redistribute(outside, 2, 4), { code: "MILL_STORE_CORRUPT", message: /key group 3 is in the/ });
    const twice = [{ first: 0, end: 4, groups: [group(1), group(1)] }];
    assert.throws(() => redistribute(twice, 2, 4), {
      code: "MILL_STORE_CORRUPT",
      message: /key group 1 is there twice/,
    });
  });
});

/** From the first version. A change would send keys away from their state. */
const KNOWN = [11, 59, 103, 125, 12, 43, 46];
