/**
 * The language of keyed state. Each `@ts-expect-error` is a test of the compiler's; what a topology in plain JavaScript meets
 * instead is tested with it.
 */
import assert from "node:assert/strict";
import type { ProcessNode, ReduceNode } from "../../../src/topology/nodes.js";
import type { KeyedStream, Stream } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, type pageColumns, pages, sourceOf } from "./support.js";

type Pages = Stream<typeof pageColumns>;
type Keyed = KeyedStream<typeof pageColumns, "name" | "note">;

const count = { count: t.int64 };

function onPages(use: (stream: Pages) => void): () => void {
  return () => void built((job) => use(job.read(pages, { id: "pages" })));
}

function onKeyed(use: (stream: Keyed) => void): () => void {
  return onPages((stream) => use(stream.keyBy("note", "name")));
}

describe("topology: keyed state", () => {
  it("reduce emits the key columns in the order of keyBy, then the accumulator's", () => {
    const topology = built((job) => {
      job
        .read(pages)
        .keyBy("note", "name")
        .reduce({ id: "count", to: count }, (so, { size }) => ({ count: (so?.count ?? 0n) + BigInt(size) }))
        .filter(({ note, name, count }) => note === name && count > 1n)
        .to(nowhere);
    });
    const node = topology.operators.find(({ id }) => id === "count") as ReduceNode;
    assert.deepEqual(Object.keys(node.columns), ["note", "name", "count"]);
    assert.deepEqual([node.keys, node.state, node.initial, node.emit], [["note", "name"], count, undefined, "end"]);
  });

  it("process emits the columns that it names, and keeps others", () => {
    const topology = built((job) => {
      job
        .read(pages)
        .keyBy("name")
        .process({ to: { size: t.int32 }, state: count }, ({ size }, state) => {
          state.set({ count: (state.get()?.count ?? 0n) + 1n });
          return [{ size }];
        })
        .to(nowhere);
    });
    const node = topology.operators.find(({ kind }) => kind === "process") as ProcessNode;
    assert.deepEqual([node.id, Object.keys(node.columns), node.state], ["process-1", ["size"], count]);
  });

  it("an initial accumulator is kept as it was given", () => {
    const initial = { list: [1] };
    const topology = built((job) => {
      job
        .read(pages)
        .keyBy("name")
        .reduce({ id: "r", to: { list: t.list(t.int32) }, initial }, (so) => so)
        .to(nowhere);
    });
    initial.list.push(2);
    assert.deepEqual((topology.operators.find(({ id }) => id === "r") as ReduceNode).initial, { list: [1] });
  });

  it("keyBy of a column whose values are no plain ones is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error lines is a list
      onPages((stream) => stream.keyBy("lines")),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: /operator "keyBy-1": column "lines" is list<struct<text: utf8>>, which cannot be a key/,
        facts: { operator: "keyBy-1", column: "lines" },
      },
    );
    assert.throws(() => built((job) => void job.read(sourceOf({ ref: t.objectRef })).keyBy("ref" as never)), {
      code: "MILL_TOPOLOGY_TYPE",
      message: /column "ref" is object_ref/,
    });
    const tensors = sourceOf({ free: t.tensor("uint8", [null]), e: t.embedding(2, { metric: "dot" }) });
    assert.throws(
      // @ts-expect-error an embedding is no plain value
      () => built((job) => void job.read(tensors).keyBy("e")),
      { code: "MILL_TOPOLOGY_TYPE", message: /column "e" is embedding<2, dot>, which cannot be a key/ },
    );
    // @ts-expect-error nor is a tensor
    assert.throws(() => built((job) => void job.read(tensors).keyBy("free")), { code: "MILL_TOPOLOGY_TYPE" });
  });

  it("a key among the accumulator's columns is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error name is a key
      onKeyed((keyed) => keyed.reduce({ id: "count", to: { name: t.utf8 } }, () => ({ name: "" }))),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message: 'operator "count": column "name" is a key, which is added by itself. Take it out of { to }.',
        facts: { operator: "count", column: "name" },
      },
    );
  });

  it("an initial accumulator that does not fit is refused by TypeScript and by the plan, which names the column", () => {
    assert.throws(
      // @ts-expect-error an int64 is a bigint
      onKeyed((keyed) => keyed.reduce({ id: "count", to: count, initial: { count: 0 } }, (so) => so)),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message:
          /operator "count": its initial accumulator does not fit: column "count" \(int64\): got "0" of type number/,
      },
    );
  });

  it("operators without columns, state or function are refused where they are declared", () => {
    assert.throws(
      // @ts-expect-error no columns
      onKeyed((keyed) => keyed.reduce({ id: "r" }, () => ({}))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "r": it has no columns\. Give \{ to:/ },
    );
    assert.throws(
      // @ts-expect-error no state
      onKeyed((keyed) => keyed.process({ id: "p", to: count }, () => [])),
      { code: "MILL_TOPOLOGY_TYPE", message: /"p": it has no state\. Give \{ state: .* that it keeps for each key/ },
    );
    assert.throws(
      onKeyed((keyed) => keyed.process({ id: "p", to: count, state: {} }, () => [])),
      { code: "MILL_TOPOLOGY_COLUMN", message: 'operator "p": name at least one column.' },
    );
    assert.throws(
      // @ts-expect-error no function
      onKeyed((keyed) => keyed.reduce({ id: "r", to: count })),
      { code: "MILL_TOPOLOGY_TYPE", message: 'operator "r": its function is undefined; give a function.' },
    );
    const one = { count: 1n };
    assert.throws(
      // @ts-expect-error no such time
      onKeyed((keyed) => keyed.reduce({ id: "r", to: count, emit: "never" }, () => one)),
      { code: "MILL_CONFIG", message: 'operator "r": emit is "never"; give "end" or "changes".' },
    );
  });
});

/** Nothing in here runs: it is the compiler that is asked. */
function neverRun(stream: Pages, keyed: Keyed): void {
  const to = { count: t.int64, last: t.optional(t.utf8) };
  const good = { count: 1n, last: null };
  keyed.reduce({ to }, (so) => so ?? good);
  keyed.reduce({ to, initial: good }, (so, { size }) => ({ last: so.last, count: so.count + BigInt(size) }));
  keyed.reduce({ to, initial: good, emit: "changes" }, async (so) => so);
  // @ts-expect-error the first row of a key meets nothing
  keyed.reduce({ to }, (so) => so);
  // @ts-expect-error the same, used
  keyed.reduce({ to }, (so) => ({ ...good, count: so.count }));
  // @ts-expect-error a column of the accumulator is missing
  keyed.reduce({ to, initial: good }, (so) => ({ count: so.count }));
  // @ts-expect-error of another type
  keyed.reduce({ to, initial: good }, ({ count }) => ({ count, last: 1 }));
  // @ts-expect-error a column that the rows do not have
  keyed.reduce({ to, initial: good }, ({ count }, { title }) => ({ count, last: title }));
  // @ts-expect-error a column that the accumulator does not have
  keyed.reduce({ to, initial: good }, ({ count, name }) => ({ count, last: name }));
  // @ts-expect-error what was reduced has only keys and accumulator
  keyed.reduce({ to, initial: good }, (so) => so).select("size");
  keyed.reduce({ to, initial: good }, (so) => so).select("name", "note", "count", "last");
  // @ts-expect-error without keyBy there is no state
  stream.reduce({ to, initial: good }, (so) => so);
  // @ts-expect-error nor behind another operator
  keyed.select("name").process({ to, state: to }, () => []);
  keyed.durable().reduce({ to, initial: good }, (so) => so);

  keyed.process({ to: { n: t.int32 }, state: to }, (row, state) => {
    state.set({ count: 1n, last: row.note });
    // @ts-expect-error a column of the state is missing
    state.set({ count: 1n });
    // @ts-expect-error there may be none
    state.get().count;
    // @ts-expect-error a column that the state does not have
    state.get()?.name;
    return [{ n: row.size }];
  });
  // @ts-expect-error rows of other columns
  keyed.process({ to: { n: t.int32 }, state: to }, () => [{ n: "1" }]);
  // @ts-expect-error one row instead of several
  keyed.process({ to: { n: t.int32 }, state: to }, () => ({ n: 1 }));
}

describe("topology: types of keyed state", () => {
  it("what the compiler refuses is in a function that is never called", () => assert.equal(neverRun.length, 2));
});
