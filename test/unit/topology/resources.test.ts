import assert from "node:assert/strict";
import { describePlan } from "../../../src/plan/describe.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { Resources } from "../../../src/topology/resources.js";
import { sizeOf, sizeText } from "../../../src/topology/resources.js";
import { service } from "../../../src/topology/service.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pages } from "./support.js";

const GiB = 2 ** 30;
const withResources = (resources?: Resources) =>
  service("ocr", {
    input: { name: t.utf8 },
    output: { text: t.utf8 },
    handler: { kind: "declared", assets: {}, load: () => Promise.reject(new Error("declared only")) },
    ...(resources === undefined ? {} : { resources }),
  });
const refused = (resources: unknown) => {
  try {
    withResources(resources as Resources);
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return assert.fail("it was not refused");
};

describe("topology/resources: what a service says", () => {
  it("says nothing: one core, no memory that is counted, no device", () => {
    assert.deepEqual(withResources().resources, { cpu: 1, memoryBytes: 0, gpu: undefined });
    assert.deepEqual(withResources({}).resources, { cpu: 1, memoryBytes: 0, gpu: undefined });
  });

  it("sizes are bytes or texts with a unit", () => {
    const read = (size: number | string) => sizeOf("x", "memory", size);
    assert.deepEqual(["4 GiB", "4GiB", " 1.5 gib ", "512 MiB", "16 GB", "3 kB", "7 B", 42].map(read), [
      4 * GiB,
      4 * GiB,
      1.5 * GiB,
      GiB / 2,
      16e9,
      3_000,
      7,
      42,
    ]);
    assert.deepEqual([4 * GiB, 1.5 * GiB, 3 * 2 ** 20, 42, 0n].map(sizeText), [
      "4 GiB",
      "1.5 GiB",
      "3 MiB",
      "42 B",
      "0 B",
    ]);
  });

  it("a device: one of any kind where it says no more; parts in thousandths, rounded down so that they fit together", () => {
    const gpu = (need: Resources["gpu"]) => withResources({ gpu: need! }).resources.gpu!;
    assert.deepEqual(gpu({}), { thousandths: 1_000, kind: "", memoryBytes: 0, optional: false });
    assert.deepEqual(gpu({ count: 0.5, kind: "h200", memory: "40 GiB", optional: true }), {
      thousandths: 500,
      kind: "h200",
      memoryBytes: 40 * GiB,
      optional: true,
    });
    assert.deepEqual(
      [1 / 3, 0.29, 0.001, 2].map((count) => gpu({ count }).thousandths),
      [333, 290, 1, 2_000],
    );
  });

  for (const [resources, says] of [
    [{ cpu: -1 }, /resources\.cpu is -1; give a number of cores from 0/],
    [{ cpu: "2" }, /resources\.cpu is "2"; give a number of cores/],
    [{ memory: "4 gigs" }, /resources\.memory is "4 gigs"; give a number of bytes or a text such as "4 GiB"/],
    [{ memory: -1 }, /resources\.memory is -1/],
    [{ memory: "4" }, /resources\.memory is "4"/],
    [
      { gpu: { count: 1.5 } },
      /resources\.gpu\.count is 1\.5; give a whole number, or a part of one device such as 0\.5/,
    ],
    [{ gpu: { count: 0 } }, /resources\.gpu\.count is 0/],
    [{ gpu: { count: 0.0001 } }, /resources\.gpu\.count is 0\.0001/],
    [{ gpu: { count: Number.NaN } }, /resources\.gpu\.count is NaN/],
    [{ gpu: { kind: 4 } }, /resources\.gpu\.kind is 4/],
    [{ gpu: { memory: "much" } }, /resources\.gpu\.memory is "much"/],
    [{ gpu: { optional: "yes" } }, /resources\.gpu\.optional is "yes"; give true or false/],
  ] as const) {
    it(`${JSON.stringify(resources)} is MILL_CONFIG and names service and setting`, () => {
      assert.match(refused(resources), /^MILL_CONFIG: service "ocr": /);
      assert.match(refused(resources), says);
    });
  }
});

describe("topology/resources: what operators say", () => {
  it("operators of one actor take turns: of each resource it needs what the most needy says", () => {
    const recorded = built((job) => {
      const first = job.read(pages, { id: "pages" }).resources({ cpu: 2, memory: "1 GiB" });
      first.select("name").resources({ cpu: 0.5, memory: "3 GiB" }).infer(withResources(), { id: "ocr" }).to(nowhere);
    });
    const plan = planTopology(recorded, { parallelism: 2 });
    assert.deepEqual(
      plan.actors.map(({ resources }) => resources),
      Array(2).fill({ cpu: 2, memoryBytes: 3 * GiB, gpu: undefined }),
    );
  });

  it("devices are each operator's own, also where operators take turns", () => {
    const recorded = built((job) => {
      const first = job.read(pages, { id: "pages" }).resources({ gpu: { count: 0.5, kind: "h200" } });
      first
        .select("name")
        .resources({ gpu: { optional: true } })
        .to(nowhere);
    });
    const [actor] = planTopology(recorded).actors;
    assert.deepEqual(actor!.gpus, [
      { operator: "pages", needs: { thousandths: 500, kind: "h200", memoryBytes: 0, optional: false } },
      { operator: "select-1", needs: { thousandths: 1_000, kind: "", memoryBytes: 0, optional: true } },
    ]);
    assert.match(
      describePlan(recorded, planTopology(recorded)),
      /needs 0\.5 gpu of kind h200 for pages, 1 gpu \(optional\) for select-1\n/,
    );
  });

  it("a number that is none is MILL_CONFIG and names operator and setting", () => {
    assert.throws(() => built((job) => void job.read(pages, { id: "pages" }).resources({ gpu: { count: 1.5 } })), {
      code: "MILL_CONFIG",
      message: /^operator "pages": resources\.gpu\.count is 1\.5/,
    });
    assert.throws(() => built((job) => void job.read(pages, { id: "pages" }).resources({ memory: "x" })), {
      code: "MILL_CONFIG",
      message: /^operator "pages": resources\.memory is "x"/,
    });
  });
});

describe("plan: resources", () => {
  const recorded = (resources: Resources, memory: string) =>
    built((job) => {
      const ocr = withResources(resources);
      job.read(pages, { id: "pages" }).resources({ memory }).infer(ocr, { id: "read" }).to(nowhere, { id: "out" });
    });
  const large: Resources = { cpu: 4, memory: "16 GiB", gpu: { count: 0.5, kind: "h200", memory: "40 GiB" } };

  it("are in the plan's text, where they are more than a service has anyway", () => {
    const topology = recorded(large, "2 GiB");
    const text = describePlan(topology, planTopology(topology));
    assert.match(text, /\n {2}pages-0 .* pages > read \(ocr\) > out {3}needs memory 2 GiB\n/);
    assert.match(text, /called by read\n {23}each needs cpu 4, memory 16 GiB, 0\.5 gpu of kind h200 with 40 GiB\n/);
    const plain = recorded({}, "0 B");
    assert.doesNotMatch(describePlan(plain, planTopology(plain)), /needs/);
  });

  it("do not change its hash: they say where things run, and not what runs", () => {
    assert.equal(planTopology(recorded(large, "2 GiB")).hash, planTopology(recorded({}, "1 GiB")).hash);
  });
});
