/** Batch functions, column functions and functions by key that return a promise: a checkpoint waits for none of them. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { ActorGraph } from "../../../src/actors/actor-graph.js";
import type { ActorOptions } from "../../../src/actors/actor-options.js";
import { ApplyOperator } from "../../../src/actors/apply-operator.js";
import { MapOperator } from "../../../src/actors/batch-operators.js";
import type { MoveOut } from "../../../src/actors/content-mover.js";
import { KeyedOperator } from "../../../src/actors/keyed-operator.js";
import type { Emit, Operator } from "../../../src/actors/operator.js";
import { MillraceError } from "../../../src/base/errors.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { ColumnFunction } from "../../../src/topology/column-function.js";
import type { ContentAccess, Source } from "../../../src/topology/endpoints.js";
import type { ApplyNode, MapNode, ProcessNode, ReduceNode } from "../../../src/topology/nodes.js";
import { type Stream, topology } from "../../../src/topology/topology.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import {
  gate,
  isOpen,
  noContent,
  numbered,
  numbers,
  op,
  rows,
  type TestRuntime,
  TestSink,
  testRuntime,
  turns,
} from "./support.js";

const HASH = "a".repeat(64);
const page = { page: t.document };
const columns = { ...numbered, ...page };
const base = { id: op("slow"), inputs: [op("in")], parallelism: undefined, isolated: false };
const keyed = { ...base, keys: ["n"], state: page };

interface Made {
  readonly operator: Operator;
  readonly columns: Columns;
}

/** What the user's function waits for, and puts. */
type Work = (context: { content: ContentAccess }) => Promise<unknown>;

type Make = (work: Work, runtime: TestRuntime, emit: Emit, moveOut: MoveOut) => Made;

function keyedBy(node: ReduceNode | ProcessNode): Make {
  return (_, runtime, emit, moveOut) => ({
    operator: new KeyedOperator(node, numbered, 1, runtime, runtime, emit, moveOut),
    columns: node.columns,
  });
}

const kinds: Record<string, Make> = {
  map: (work, runtime, emit, moveOut) => {
    const fn: MapNode["fn"] = async (batch, context) => {
      const made = await work(context);
      return batchFromRows(columns, rows(numbered, [batch]).map(({ n }) => ({ n, page: made })) as never) as never;
    };
    const node: MapNode = { ...base, kind: "map", columns, fn };
    return { operator: new MapOperator(node, runtime, runtime, emit, moveOut), columns };
  },
  apply: (work, runtime, emit, moveOut) => {
    const apply = async (batch: RecordBatch, _: Columns, context: { content: ContentAccess }) => {
      const made = await work(context);
      return { batch: batchFromRows(page, Array(batch.numRows).fill({ page: made }) as never) };
    };
    const node: ApplyNode = {
      ...base,
      kind: "apply",
      columns,
      fn: { name: "slowly", to: page, check() {}, apply } as unknown as ApplyNode["fn"],
    };
    return { operator: new ApplyOperator(node, numbered, runtime, runtime, emit, moveOut), columns };
  },
  reduce: (work, ...rest) => {
    const fn = async (_: unknown, __: unknown, context: { content: ContentAccess }) => ({ page: await work(context) });
    const node = {
      ...keyed,
      kind: "reduce",
      columns,
      initial: undefined,
      emit: "changes",
      fn,
    } as unknown as ReduceNode;
    return keyedBy(node)(work, ...rest);
  },
  process: (work, ...rest) => {
    const fn = async ({ n }: { n: number }, state: { set(to: unknown): void }, context: { content: ContentAccess }) => {
      const made = await work(context);
      state.set({ page: made });
      return [{ n, page: made }];
    };
    return keyedBy({ ...keyed, kind: "process", columns, fn } as unknown as ProcessNode)(work, ...rest);
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(`actors: a slow function of ${kind}`, () => {
    function setUp() {
      const held = gate();
      const put: ContentAccess["put"] = async (bytes) => ({
        ...inline(bytes, ""),
        uri: "x:/a",
        sha256: HASH,
        bytes: null,
      });
      const plain = testRuntime();
      const park: TestRuntime["park"] = (...batch) => plain.parking.wait("slow", ...batch);
      const runtime = { ...plain, park, content: { ...noContent, put } };
      const out: RecordBatch[] = [];
      const moveOut: MoveOut = async (batch) => numbers(...rows(numbered, [batch]).map(({ n }) => 100 + n));
      const work: Work = async ({ content }) => {
        const made = await content.put(new Uint8Array(1));
        await held.promise;
        return made;
      };
      const made = make(work, runtime, (batch) => void out.push(batch), moveOut);
      const given = runtime.gate.flow(() => made.operator.process(numbers(1)));
      const seen = () => rows(numbered, out).map(({ n }) => n);
      return { ...made, held, given, runtime, out, seen };
    }

    it("a cut waits for no function: the batch is in the snapshot as it came in, and nothing that came of it (guarantee 4)", async () => {
      const { operator, held, given, runtime, seen } = setUp();
      await turns();
      await runtime.gate.close();
      assert.equal(operator.cut?.(1n), undefined);
      const [parked, ...others] = runtime.parking.list;
      assert.equal(others.length, 0);
      assert.deepEqual(rows(numbered, [await parked!.saved!.rows()]), [{ n: 101 }]);
      assert.deepEqual([...parked!.saved!.contents!()], [HASH]);
      held.open();
      assert.ok(await isOpen(given), "what came of it waits for the cut");
      assert.deepEqual(seen(), []);
      runtime.gate.open();
      await given;
      assert.deepEqual([seen(), runtime.parking.list], [[1], []]);
    });

    it("nothing that comes of it after the actor has stopped is handed on, or changes the state", async () => {
      const { operator, held, given, runtime, seen } = setUp();
      await turns();
      runtime.stop();
      held.open();
      await assert.rejects(given, (error) => MillraceError.is(error) && error.code === "MILL_JOB_FAILED");
      assert.deepEqual([seen(), operator.cut?.(1n), runtime.gate.broken], [[], undefined, true]);
    });
  });
}

/** Functions of batches that never end with the batch of 2. */
const until2: Record<string, (stream: Stream<typeof numbered>) => Stream<typeof numbered>> = {
  map: (stream) => stream.map({ id: "slow", to: numbered }, (batch) => (isOf2(batch) ? new Promise(() => {}) : batch)),
  apply: (stream) => {
    const apply = (batch: RecordBatch) => (isOf2(batch) ? new Promise(() => {}) : Promise.resolve({ batch }));
    const fn = { name: "slowly", to: numbered, check() {}, apply } as unknown as ColumnFunction<typeof numbered>;
    return stream.apply(fn, { id: "slow" });
  },
};

function isOf2(batch: RecordBatch): boolean {
  return rows(numbered, [batch])[0]!.n === 2;
}

describe("actors: how the time of a slow function is spent", () => {
  for (const [kind, through] of Object.entries(until2)) {
    it(`${kind} is busy while its function works, also while another batch waits until it is taken`, async () => {
      const ports = fakePorts();
      const runtime = testRuntime();
      const source = { kind: "test", columns: numbered, describe: "test" } as unknown as Source<typeof numbered>;
      const built = topology("slow", (job) => {
        const slow = through(job.read(source, { id: "numbers" })).isolate();
        slow
          .filter(() => true)
          .isolate()
          .to(new TestSink("out"));
      }).build({});
      const plan = planTopology(built);
      const options = {
        ...{ topology: built, plan, ports, content: noContent, receiverFor: () => ({}) },
        actor: plan.actors.find(({ id }) => id === "slow-0")!,
        senderFor: () => ({ local: true, offer: () => false, room: () => new Promise(() => {}) }),
      } as unknown as ActorOptions;
      const graph = new ActorGraph(options, runtime.gate, runtime.parking, () => ({
        ...runtime,
        ports,
        park: (...batch) => runtime.parking.wait("slow", ...batch),
      }));
      const spent = () => {
        const { busy, backPressured } = graph.meters.get(op("slow"))!.ms;
        return { busy, backPressured };
      };
      void runtime.gate.flow(() => graph.entrance("slow")(numbers(1)));
      await ports.clock.advance(10);
      assert.deepEqual(spent(), { busy: 0, backPressured: 10 });
      void runtime.gate.flow(() => graph.entrance("slow")(numbers(2)));
      await ports.clock.advance(100);
      assert.deepEqual(spent(), { busy: 100, backPressured: 10 });
    });
  }
});
