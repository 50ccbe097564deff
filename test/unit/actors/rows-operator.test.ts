import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import type { MoveOut } from "../../../src/actors/content-mover.js";
import type { Emit, OperatorRuntime } from "../../../src/actors/operator.js";
import { RowsOperator } from "../../../src/actors/rows-operator.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { ContentAccess } from "../../../src/topology/endpoints.js";
import type { RowsNode } from "../../../src/topology/nodes.js";
import type { OperatorContext } from "../../../src/topology/operator-context.js";
import { withTrace } from "../../../src/types/batch-trace.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { Told } from "../telemetry/told.js";
import { gate, isOpen, numbered, numbers, op, range, rows, testRuntime, turns } from "./support.js";

const labelled = { label: t.utf8 };

interface Options {
  readonly concurrency?: number;
  readonly columns?: Columns;
  readonly emit?: Emit;
  readonly moveOut?: MoveOut;
  readonly content?: Partial<ContentAccess>;
  readonly telemetry?: Told;
}

function operator(
  kind: RowsNode["kind"],
  fn: (row: { n: number }, context: OperatorContext) => unknown,
  options: Options = {},
) {
  const plain = testRuntime();
  const runtime = {
    ...plain,
    ports: { ...plain.ports, ...(options.telemetry && { telemetry: options.telemetry.telemetry }) },
    content: { ...plain.content, ...options.content },
    park: (...batch: Parameters<OperatorRuntime["park"]>) => plain.parking.wait("rows", ...batch), // `give` is inside
  };
  const out: RecordBatch[] = [];
  const node: RowsNode = {
    id: op("rows"),
    kind,
    columns: options.columns ?? labelled,
    inputs: [op("in")],
    parallelism: undefined,
    isolated: false,
    fn: fn as RowsNode["fn"],
    concurrency: options.concurrency ?? 1,
  };
  const emit: Emit = (batch) => {
    out.push(batch);
    return options.emit?.(batch);
  };
  const busy = { begun: 0, begin: () => void busy.begun++, end: () => void busy.begun-- };
  const made = new RowsOperator(node, numbered, runtime, runtime, emit, busy, options.moveOut);
  const labels = () => rows(labelled, out).map((row) => row.label);
  /** Hands a batch in as a flow of the actor does. */
  const give = (...n: number[]) => runtime.gate.flow(() => made.process(numbers(...n)));
  /** What a checkpoint now would hold, without waiting for anything but the gate. */
  const cut = async () => {
    await runtime.gate.close();
    const list = runtime.parking.list.map(({ batch }) => rows(numbered, [batch]).map(({ n }) => n));
    runtime.gate.open();
    return list;
  };
  const refused = () => runtime.refused.map(({ row, code }) => [row.n, code]);
  return { made, out, runtime, labels, refused, busy, give, cut };
}

describe("actors/rows-operator: row functions on batches", () => {
  it("a row whose function throws is refused alone, with its reason (O1)", async () => {
    const { made, labels, runtime, refused } = operator("mapRows", ({ n }) => {
      if (n === 2) throw new Error("no twos");
      return { label: `${n}` };
    });
    await made.process(numbers(1, 2, 3));
    assert.deepEqual(labels(), ["1", "3"]);
    assert.deepEqual(refused(), [[2, "MILL_OPERATOR_FAILED"]]);
    assert.match(runtime.refused[0]!.message, /no twos/);
  });

  it("a row whose promise rejects is refused alone (O1)", async () => {
    const { made, labels, refused } = operator("mapRows", async ({ n }) => {
      if (n === 2) throw new Error("no twos");
      return { label: `${n}` };
    });
    await made.process(numbers(1, 2, 3));
    await made.end();
    assert.deepEqual(labels(), ["1", "3"]);
    assert.deepEqual(refused(), [[2, "MILL_OPERATOR_FAILED"]]);
  });

  it("a value that does not fit its column refuses its row alone and names the column (O1)", async () => {
    const { made, labels, runtime, refused } = operator("mapRows", ({ n }) => ({ label: n === 1 ? 7 : `${n}` }));
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
    assert.match(runtime.refused[0]!.message, /label/);
  });

  for (const [what, value] of [
    ["undefined", undefined],
    ["null", null],
    ["a number", 5],
  ] as const) {
    it(`a result that is ${what} instead of a row refuses its row alone (O1)`, async () => {
      const { made, labels, refused } = operator("mapRows", ({ n }) => (n === 1 ? value : { label: `${n}` }));
      await made.process(numbers(1, 2));
      assert.deepEqual(labels(), ["2"]);
      assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
    });
  }

  it("flatMap: a result that cannot be iterated refuses its row alone (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", ({ n }) => (n === 1 ? undefined : [{ label: `${n}` }]));
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_OPERATOR_FAILED"]]);
  });

  it("flatMap: an iterable that throws half-way refuses its row whole (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", function* ({ n }) {
      yield { label: `${n}a` };
      if (n === 1) throw new Error("half-way");
      yield { label: `${n}b` };
    });
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2a", "2b"]);
    assert.deepEqual(refused(), [[1, "MILL_OPERATOR_FAILED"]]);
  });

  it("flatMap: a row with two results that do not fit is refused once, and its good ones do not go on (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", ({ n }) =>
      n === 1 ? [{ label: "1a" }, { label: 7 }, { label: 8 }] : [{ label: `${n}` }],
    );
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
  });

  it("flatMap to no rows emits no batch", async () => {
    const { made, out, refused } = operator("flatMap", () => []);
    await made.process(numbers(1, 2));
    assert.deepEqual([out.length, refused()], [0, []]);
  });

  it("filter keeps the rows for which the function says so, whole", async () => {
    const { made, out } = operator("filter", ({ n }) => n % 2 === 1, { columns: numbered });
    await made.process(numbers(1, 2, 3));
    assert.deepEqual(rows(numbered, out), [{ n: 1 }, { n: 3 }]);
  });

  it("concurrency bounds the calls under way, and results keep the order of their rows (O2)", async () => {
    const gates = new Map([1, 2, 3, 4, 5].map((n) => [n, gate()]));
    let underWay = 0;
    let most = 0;
    const { made, labels } = operator(
      "mapRows",
      async ({ n }) => {
        most = Math.max(most, ++underWay);
        if (n < 5) gates.get(n + 1)!.open(); // each is done only after its successor
        if (n % 3 !== 0) await Promise.race([gates.get(n)!.promise, new Promise((resolve) => setImmediate(resolve))]);
        underWay--;
        return { label: `${n}` };
      },
      { concurrency: 3 },
    );
    await made.process(numbers(1, 2, 3, 4, 5));
    await made.end();
    assert.deepEqual(labels(), ["1", "2", "3", "4", "5"]);
    assert.equal(most, 3);
  });
});

/** A function whose calls the test ends, by the number of their row. */
function calls() {
  const open = new Map<number, { end(): void; fail(error: Error): void }>();
  const began: number[] = [];
  let most = 0;
  const fn = ({ n }: { n: number }) =>
    new Promise<{ label: string }>((resolve, reject) => {
      began.push(n);
      open.set(n, { end: () => resolve({ label: `${n}` }), fail: reject });
      most = Math.max(most, open.size);
    });
  const over = async (n: number, how: (call: { end(): void; fail(error: Error): void }) => void) => {
    const call = open.get(n);
    assert.ok(call, `row ${n} is being called; open are ${[...open.keys()]}`);
    open.delete(n);
    how(call);
    await turns(2);
  };
  return {
    fn,
    began,
    isOpen: (n: number) => open.has(n),
    most: () => most,
    end: async (...all: number[]) => {
      for (const n of all) await over(n, (call) => call.end());
    },
    fail: (n: number) => over(n, (call) => call.fail(new Error(`no ${n}`))),
  };
}

describe("actors/rows-operator: functions that return promises", () => {
  it("rows of the next batch are called while one of the batch before is under way (O2, O4)", async () => {
    const { fn, began, end } = calls();
    const { give, labels } = operator("mapRows", fn, { concurrency: 2 });
    await give(1, 2);
    void give(3, 4);
    await end(1);
    assert.deepEqual(began, [1, 2, 3]);
    assert.deepEqual(labels(), [], "row 2 is not there");
    await end(3, 4);
    assert.deepEqual(labels(), [], "nor is what came before what is");
    await end(2);
    assert.deepEqual(labels(), ["1", "2", "3", "4"]);
  });

  it("never more calls than `concurrency` are under way, over all batches, and all rows keep their order (O2, O4)", async () => {
    const { fn, began, end, isOpen: isCalled, most } = calls();
    const { give, made, labels, runtime } = operator("mapRows", fn, { concurrency: 3 });
    const sizes = [1, 4, 2, 7, 1, 1, 1, 3, 5];
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const giving = (async () => {
      let from = 0;
      for (const size of sizes) {
        await give(...range(from, from + size));
        from += size;
      }
    })();
    await turns();
    for (let i = 0; labels().length < total; i++) {
      const under = began.filter(isCalled);
      assert.ok(under.length > 0, `something is under way: ${labels().length} of ${total} rows are through`);
      await end(under[(i * 7) % under.length]!);
    }
    await giving;
    await made.end();
    assert.equal(most(), 3);
    assert.deepEqual(began, range(0, total), "called in their order");
    assert.deepEqual(labels(), range(0, total).map(String));
    assert.deepEqual(runtime.parking.list, []);
  });

  it("a cut waits for no call; it holds the batches under way and those that wait, in order (O5, guarantee 4)", async () => {
    const { fn, end } = calls();
    const { give, made, cut } = operator("mapRows", fn, { concurrency: 2 });
    await give(1);
    await give(2, 3);
    void give(4);
    assert.deepEqual(await cut(), [[1], [2, 3], [4]]);
    await end(2, 3);
    assert.deepEqual(await cut(), [[1], [2, 3], [4]], "answers are not kept: their rows are called again");
    await end(1);
    assert.deepEqual(await cut(), [[4]]);
    await end(4);
    await made.end();
    assert.deepEqual(await cut(), []);
  });

  it("a batch is in no snapshot of its operator once it is handed on (R1)", async () => {
    const { fn, end } = calls();
    const seen: number[] = [];
    const { give, made, runtime } = operator("mapRows", fn, {
      emit: () => void seen.push(runtime.parking.list.length),
    });
    await give(1);
    await end(1);
    await made.end();
    assert.deepEqual(seen, [0]);
  });

  it("a cut that comes when the oldest batch is done waits for nobody: the batch is in it, and goes on afterwards (G1)", async () => {
    const { fn, end } = calls();
    const { give, made, runtime, labels } = operator("mapRows", fn);
    await give(1);
    await runtime.gate.close();
    await end(1);
    assert.equal(runtime.parking.list.length, 1);
    assert.deepEqual(labels(), []);
    runtime.gate.open();
    await made.end();
    assert.deepEqual(labels(), ["1"]);
  });

  it("behind a call that takes long, fewer rows than `concurrency` are held before another batch is let in (O4)", async () => {
    const { fn, began, end } = calls();
    const { give, made, labels } = operator("mapRows", fn, { concurrency: 2 });
    await give(1);
    await give(2);
    await end(2);
    await give(3);
    await end(3);
    const fourth = give(4);
    assert.ok(await isOpen(fourth));
    assert.deepEqual(began, [1, 2, 3]);
    await end(1);
    await fourth;
    await end(4);
    await made.end();
    assert.deepEqual(labels(), ["1", "2", "3", "4"]);
  });

  it("while what follows takes nothing, no more is let in than while a call takes long (O4)", async () => {
    const { fn, began, end } = calls();
    const taken = gate();
    const { give, made, labels } = operator("mapRows", fn, { emit: () => taken.promise });
    await give(1);
    await end(1);
    await give(2);
    await end(2);
    const third = give(3);
    assert.ok(await isOpen(third));
    assert.deepEqual(began, [1, 2]);
    taken.open();
    await third;
    await end(3);
    await made.end();
    assert.deepEqual(labels(), ["1", "2", "3"]);
  });

  it("batches of several inputs wait in one line (O2, O4)", async () => {
    const { fn, began, end } = calls();
    const { give, made, labels } = operator("mapRows", fn);
    const all = [1, 2, 3, 4].map((n) => give(n));
    await turns();
    for (const n of [1, 2, 3, 4]) {
      assert.deepEqual(began, range(1, n + 1));
      await end(n);
    }
    await Promise.all(all);
    await made.end();
    assert.deepEqual(labels(), ["1", "2", "3", "4"]);
  });

  it("rows that are refused are told in their order, those of a batch when its turn has come (O1, O2)", async () => {
    const { fn, end, fail } = calls();
    const { give, made, labels, refused } = operator("mapRows", fn, { concurrency: 4 });
    await give(1, 2);
    await give(3, 4);
    await fail(4);
    await fail(3);
    await fail(2);
    assert.deepEqual(refused(), [], "row 1 is not there");
    await end(1);
    await made.end();
    assert.deepEqual(
      refused().map(([n]) => n),
      [2, 3, 4],
    );
    assert.deepEqual(labels(), ["1"]);
  });

  it("rows that throw and rows that do not fit are refused in one order (O1, O2)", async () => {
    const { give, made, labels, refused } = operator("mapRows", async ({ n }) => {
      if (n === 2 || n === 4) throw new Error("no");
      return { label: n === 1 || n === 3 ? 7 : `${n}` };
    });
    await give(1, 2, 3, 4, 5);
    await made.end();
    assert.deepEqual(refused(), [
      [1, "MILL_RECORD_INVALID"],
      [2, "MILL_OPERATOR_FAILED"],
      [3, "MILL_RECORD_INVALID"],
      [4, "MILL_OPERATOR_FAILED"],
    ]);
    assert.deepEqual(labels(), ["5"]);
  });

  it("`filter` and `flatMap` wait for their functions, too", async () => {
    const kept = operator("filter", async ({ n }) => n % 2 === 1, { columns: numbered, concurrency: 2 });
    await kept.give(1, 2, 3);
    await kept.made.end();
    assert.deepEqual(rows(numbered, kept.out), [{ n: 1 }, { n: 3 }]);
    const made = operator("flatMap", async ({ n }) => [{ label: `${n}a` }, { label: `${n}b` }], { concurrency: 2 });
    await made.give(1, 2);
    await made.made.end();
    assert.deepEqual(made.labels(), ["1a", "1b", "2a", "2b"]);
  });

  it("`end` waits for what is under way (R2)", async () => {
    const { fn, end } = calls();
    const { give, made, labels } = operator("mapRows", fn, { concurrency: 2 });
    await give(1);
    await give(2);
    const ended = made.end();
    await end(2);
    assert.ok(await isOpen(ended));
    await end(1);
    await ended;
    assert.deepEqual(labels(), ["1", "2"]);
  });

  it("what does not wait keeps its place behind what does (O2)", async () => {
    const { fn, end } = calls();
    const { give, made, labels } = operator("mapRows", (row) => (row.n === 1 ? fn(row) : { label: `${row.n}` }), {
      concurrency: 2,
    });
    await give(1);
    await give(2);
    assert.deepEqual(labels(), []);
    await end(1);
    await made.end();
    assert.deepEqual(labels(), ["1", "2"]);
  });

  it("what comes while a batch is on its way into what follows does not overtake it (O2)", async () => {
    const { fn, end } = calls();
    const taken = gate();
    const done: string[] = [];
    const emit: Emit = async (batch) => {
      const [first] = rows(labelled, [batch]);
      if (first!.label === "1") await taken.promise;
      done.push(first!.label);
    };
    const { give, made } = operator("mapRows", (row) => (row.n === 1 ? fn(row) : { label: `${row.n}` }), { emit });
    await give(1);
    await end(1);
    await give(2);
    await turns();
    assert.deepEqual(done, []);
    taken.open();
    await made.end();
    assert.deepEqual(done, ["1", "2"]);
  });

  it("where no function waits a batch is handed on at once, and no promise is made (O6)", () => {
    const { made, labels, runtime, busy } = operator("mapRows", ({ n }) => ({ label: `${n}` }));
    assert.equal(made.process(numbers(1, 2)), undefined);
    assert.deepEqual(labels(), ["1", "2"]);
    assert.equal(made.process(numbers(3)), undefined);
    assert.deepEqual(labels(), ["1", "2", "3"]);
    assert.deepEqual([runtime.parking.list, busy.begun], [[], 0]);
  });

  it("an operator is at work as long as a call is under way, and no longer", async () => {
    const { fn, end } = calls();
    const { give, made, busy } = operator("mapRows", fn, { concurrency: 2 });
    await give(1, 2, 3);
    assert.equal(busy.begun, 1);
    await end(1, 2);
    assert.equal(busy.begun, 1);
    await end(3);
    await made.end();
    assert.equal(busy.begun, 0);
  });

  it("what cannot be handed on fails the actor, breaks its gate, and is met by all who wait (G3)", async () => {
    const { fn, end } = calls();
    const failed = new Error("no room");
    const { give, made, runtime } = operator("mapRows", fn, { emit: () => Promise.reject(failed) });
    await give(1);
    const second = give(2);
    const met = assert.rejects(give(3), failed);
    await end(1);
    await second;
    await met;
    assert.deepEqual(runtime.failures, [failed]);
    assert.ok(runtime.gate.broken);
    await assert.rejects(made.end(), failed);
    await assert.rejects(give(4), failed);
  });

  it("once it is stopped nothing is called, refused or handed on, and nobody waits on (O7)", async () => {
    const { fn, began, end, fail } = calls();
    const { give, made, runtime, labels, refused } = operator("mapRows", fn, { concurrency: 2 });
    await give(1, 2, 3);
    const waits = give(4);
    const met = assert.rejects(waits, { code: "MILL_JOB_FAILED" });
    runtime.stop();
    made.close();
    await met;
    await end(1);
    await fail(2);
    await assert.rejects(made.end(), { code: "MILL_JOB_FAILED" });
    assert.deepEqual([began, labels(), refused()], [[1, 2], [], []]);
  });

  it("snapshots hold a batch under way without its large content, which is moved only for them (O5)", async () => {
    const { fn, end } = calls();
    let moves = 0;
    const moveOut: MoveOut = async () => {
      moves += 1;
      return numbers(100);
    };
    const { give, made, runtime } = operator("mapRows", fn, { moveOut });
    await give(1);
    void give(2);
    await turns();
    assert.equal(moves, 0);
    for (const { saved } of runtime.parking.list) assert.deepEqual(rows(numbered, [await saved!.rows()]), [{ n: 100 }]);
    assert.equal(moves, 2);
    await end(1, 2);
    await made.end();
    assert.equal(moves, 2);
  });

  it("a refused row is told of without its large content: it is the same letter when the row comes again with a reference (O5)", async () => {
    const { give, made, refused } = operator("mapRows", () => Promise.reject(new Error("no")), {
      moveOut: async (batch) => numbers(...rows(numbered, [batch]).map(({ n }) => 100 + n)),
    });
    await give(1, 2);
    await made.end();
    assert.deepEqual(
      refused().map(([n]) => n),
      [101, 102],
    );
  });

  it("snapshots name what the functions of a batch under way have put, until it is handed on (O5)", async () => {
    const { fn, end } = calls();
    const hash = "a".repeat(64);
    const columns = { page: t.document };
    const { give, made, runtime, out } = operator(
      "mapRows",
      async (row, { content }) => {
        const page = await content.put(new Uint8Array(1));
        await fn(row as { n: number });
        return { page };
      },
      {
        columns,
        content: { put: async (bytes) => ({ ...inline(bytes, ""), uri: "x:/a", sha256: hash, bytes: null }) },
      },
    );
    await give(1);
    await turns();
    assert.deepEqual(
      runtime.parking.list.flatMap(({ saved }) => [...saved!.contents!()]),
      [hash],
    );
    await end(1);
    await made.end();
    assert.deepEqual([runtime.parking.list, rows(columns, out)[0]!.page.sha256], [[], hash]);
  });

  it("the span of a traced batch is there until the batch is handed on, not only until it is let in", async () => {
    const { fn, end } = calls();
    const told = new Told();
    const spans: unknown[] = [];
    const look = () => void spans.push(told.named("process rows").ended !== undefined);
    const { runtime, made } = operator("mapRows", fn, { telemetry: told, emit: look });
    await runtime.gate.flow(() => made.process(withTrace(numbers(1), "trace")));
    look();
    await end(1);
    await made.end();
    assert.deepEqual(spans, [false, true]);
    assert.equal(told.named("process rows").parent, "trace");
  });

  for (const [what, fn] of [
    ["throws", () => assert.fail("no")],
    ["rejects", () => Promise.reject(new Error("no"))],
  ] as const) {
    it(`the span of a batch whose refused row fails the actor says so, where a function ${what}`, async () => {
      const told = new Told();
      const { runtime, made } = operator("mapRows", fn, {
        telemetry: told,
        moveOut: () => Promise.reject(new MillraceError("MILL_STORE_FULL", "there is no room")),
      });
      const given = runtime.gate.flow(() => made.process(withTrace(numbers(1), "trace")));
      await Promise.allSettled([given]);
      await Promise.allSettled([made.end()]);
      assert.deepEqual(told.named("process rows").ended, ["MILL_STORE_FULL", undefined]);
    });
  }
});
