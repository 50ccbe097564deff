import assert from "node:assert/strict";
import fc from "fast-check";
import { placeGroups, Room, type WorkerFacts } from "../../../src/coordinator/placement.js";
import type { Resources } from "../../../src/wire/control.js";
import { gpu, granted, needs, worker } from "./job-facts.js";

const groups = (count: number, before = "", each: Resources = needs({ cpu: 2 })) =>
  Array.from({ length: count }, (_, i) => ({
    ...{ actors: [`read-${i}`, `count-${i}`], before, needs: each },
    ...{ gpus: [], kept: undefined },
  }));
const NOTHING: ReadonlyMap<string, number> = new Map();

function placed(
  ...[some, workers, load = NOTHING]: [ReturnType<typeof groups>, WorkerFacts[], ReadonlyMap<string, number>?]
) {
  const result = placeGroups(some, new Room(workers, [], load));
  return result.places === undefined ? result.reason : result.places.map(({ worker }) => worker);
}

const room = (...workers: WorkerFacts[]) => new Room(workers, [], NOTHING);
const reasonOf = (at: Room, wanted: Resources) => {
  const result = at.place(wanted);
  assert.equal(result.worker, undefined, `it fits nowhere, and was placed on ${result.worker}`);
  return result.worker === undefined ? result.reason : "";
};
const devicesOf = (at: Room, wanted: Resources) => {
  const result = at.place(wanted);
  return result.worker === undefined
    ? result.reason
    : [result.worker, ...result.granted.gpus.map(({ uuid, thousandths }) => `${uuid} ${thousandths}`)].join(" ");
};

describe("coordinator/placement: which worker holds what", () => {
  it("spreads groups by cores, ties to the worker named first (X1, X2)", () => {
    const workers = [worker("w2", { cpus: 2 }), worker("w1", { cpus: 6 })];
    const where = placed(groups(8), workers) as string[];
    assert.deepEqual([where.filter((one) => one === "w1").length, where.filter((one) => one === "w2").length], [6, 2]);
    assert.deepEqual(placed(groups(2), [worker("b"), worker("a")]), ["a", "b"]);
  });

  it("counts what a worker holds already (X2)", () => {
    const workers = [worker("a"), worker("b")];
    assert.deepEqual(placed(groups(1), workers, new Map([["a", 4]])), ["b"]);
    assert.equal(new Room(workers, [], new Map([["a", 1]])).place(needs()).worker, "b");
  });

  it("cores are no reason not to place: a small machine takes more than it has cores (X2)", () => {
    const at = room(worker("a", { cpus: 2 }));
    for (let i = 0; i < 9; i++) assert.equal(at.place(needs({ cpu: 4 })).worker, "a");
  });

  it("gives a draining worker nothing, and says when none takes anything (X3)", () => {
    const workers = [worker("a", { draining: true, cpus: 64, gpus: [gpu("g")] }), worker("b")];
    assert.deepEqual(placed(groups(3, "a"), workers), ["b", "b", "b"]);
    assert.equal(room(...workers).place(needs()).worker, "b");
    assert.match(reasonOf(room(...workers), needs({ gpu: 1 })), /; worker b has no gpu$/);
    for (const none of [[], [workers[0]!]]) {
      const reason = "no worker takes work: start one with `millrace worker`";
      assert.equal(placed(groups(1), none), reason);
      assert.equal(reasonOf(room(...none), needs()), reason);
    }
  });

  it("leaves a group where it was, also where there is more to do, while that worker takes work (X4)", () => {
    assert.deepEqual(placed(groups(2, "b"), [worker("a"), worker("b")], new Map([["b", 9]])), ["b", "b"]);
    assert.deepEqual(placed(groups(1, "gone"), [worker("a"), worker("b")]), ["a"]);
  });

  it("places every group on a worker that takes work, the same whatever order workers are named in (X2, X3)", () => {
    const workerFacts = fc.record({ cpus: fc.integer({ min: 0, max: 64 }), draining: fc.boolean() });
    fc.assert(
      fc.property(fc.array(workerFacts, { maxLength: 6 }), fc.integer({ min: 1, max: 30 }), (some, count) => {
        const workers = some.map((one, i) => worker(`w${i}`, one));
        const takers = workers.filter((one) => !one.draining).map((one) => one.worker);
        const where = placed(groups(count), workers);
        if (takers.length === 0) return assert.equal(typeof where, "string");
        assert.equal(where.length, count);
        assert.ok((where as string[]).every((one) => takers.includes(one)));
        assert.deepEqual(placed(groups(count), [...workers].reverse()), where);
      }),
    );
  });
});

describe("coordinator/placement: memory", () => {
  it("is promised once: what does not fit goes elsewhere, then waits (X5)", () => {
    const at = room(worker("a", { memory: 10, cpus: 64 }), worker("b", { memory: 6 }));
    const where = [4, 4, 4].map((memory) => at.place(needs({ memory })).worker);
    assert.deepEqual(where, ["a", "a", "b"]);
    assert.equal(
      reasonOf(at, needs({ memory: 4 })),
      "needs 4 GiB of memory; worker a has 2 GiB of its memory left to promise; worker b has 2 GiB of its memory left to promise",
    );
    assert.equal(at.place(needs()).worker, "a", "what counts none is placed all the same");
  });

  it("counts for groups of actors together, and takes one from where it was (X4, X5)", () => {
    const workers = [worker("a", { memory: 4 }), worker("b", { memory: 64 })];
    assert.deepEqual(placed(groups(2, "a", needs({ memory: 3 })), workers), ["a", "b"]);
    assert.match(
      String(placed(groups(1, "", needs({ memory: 65 })), workers)),
      /^needs 65 GiB of memory; worker a has 4 GiB/,
    );
    const holdings = [{ worker: "b", granted: { ...granted(), memoryBytes: 62n * 2n ** 30n } }];
    assert.deepEqual(placeGroups(groups(1, "b", needs({ memory: 3 })), new Room(workers, holdings, NOTHING)), {
      places: [{ worker: "a", gpus: [] }],
    });
  });
});

describe("coordinator/placement: devices", () => {
  const h200 = [gpu("GPU-1"), gpu("GPU-2")];
  const t4 = [gpu("GPU-t", "Tesla T4", 15)];

  it("parts share the fullest device that has room, whole ones are alone on theirs (G1, G2)", () => {
    const at = room(worker("a", { gpus: h200 }));
    assert.equal(devicesOf(at, needs({ gpu: 0.5 })), "a GPU-1 500");
    assert.equal(devicesOf(at, needs({ gpu: 0.3 })), "a GPU-1 300");
    assert.equal(devicesOf(at, needs({ gpu: 1 })), "a GPU-2 1000");
    assert.match(devicesOf(at, needs({ gpu: 0.3 })), /^needs 0\.3 gpu; worker a has 2, both taken$/);
    assert.equal(devicesOf(at, needs({ gpu: 0.2 })), "a GPU-1 200");
  });

  it("more than one are whole devices of one worker (G2)", () => {
    const at = room(worker("a", { gpus: t4 }), worker("b", { gpus: h200 }));
    assert.equal(devicesOf(at, needs({ gpu: 2 })), "b GPU-1 1000 GPU-2 1000");
    assert.equal(reasonOf(at, needs({ gpu: 2 })), "needs 2 gpu; worker a has 1; worker b has 2, both taken");
  });

  it("the kind is found by whole words of the name, in any case", () => {
    const kinds = { a: "NVIDIA A100-SXM4-80GB", b: "NVIDIA GeForce RTX 4090", c: "Tesla T4", d: "NVIDIA A10" };
    const workers = Object.entries(kinds).map(([name, kind]) => worker(name, { gpus: [gpu(`GPU-${name}`, kind, 24)] }));
    for (const [kind, where] of [
      ["a100", "a"],
      ["A100-SXM4", "a"],
      ["rtx 4090", "b"],
      ["t4", "c"],
      ["A10", "d"],
    ] as const) {
      assert.equal(room(...workers).place(needs({ gpu: 1, kind })).worker, where, kind);
    }
    assert.match(reasonOf(room(...workers), needs({ gpu: 1, kind: "10" })), /^needs 1 gpu of kind 10; /);
  });

  it("the memory of parts is within the device's; a device of unknown memory fits nobody who counts it (G1, G3)", () => {
    const at = room(worker("a", { gpus: [gpu("GPU-1", "NVIDIA A10", 24)] }));
    assert.equal(devicesOf(at, needs({ gpu: 0.25, gpuMemory: 16 })), "a GPU-1 250");
    assert.match(reasonOf(at, needs({ gpu: 0.25, gpuMemory: 16 })), /worker a has 1, taken/);
    assert.equal(devicesOf(at, needs({ gpu: 0.25, gpuMemory: 8 })), "a GPU-1 250");
    const unknown = room(worker("a", { gpus: [gpu("0", "", 0)] }));
    assert.match(reasonOf(unknown, needs({ gpu: 1, gpuMemory: 1 })), /worker a has 1 with memory that is not known/);
    assert.equal(devicesOf(unknown, needs({ gpu: 1 })), "a 0 1000");
  });

  it("an optional device is taken where there is one, and done without where there is none", () => {
    const at = room(worker("a", { cpus: 1, gpus: t4 }), worker("b", { cpus: 64 }));
    const wanted = needs({ gpu: 1, optional: true });
    assert.equal(devicesOf(at, wanted), "a GPU-t 1000");
    assert.equal(devicesOf(at, wanted), "b");
    assert.match(reasonOf(at, needs({ gpu: 1, optional: true, memory: 99 })), /^needs 99 GiB of memory; /);
  });

  it("a device that two workers of one machine find is one device; numbers are each worker's own (X5)", () => {
    const twice = room(worker("a", { gpus: [gpu("GPU-1")] }), worker("b", { gpus: [gpu("GPU-1")] }));
    assert.equal(devicesOf(twice, needs({ gpu: 1 })), "a GPU-1 1000");
    reasonOf(twice, needs({ gpu: 0.1 }));
    const told = room(worker("a", { gpus: [gpu("0")] }), worker("b", { gpus: [gpu("0")] }));
    assert.deepEqual(
      [devicesOf(told, needs({ gpu: 1 })), devicesOf(told, needs({ gpu: 1 }))],
      ["a 0 1000", "b 0 1000"],
    );
  });

  it("operators of one host are given all they want or nothing, each what is its own (G4)", () => {
    const want = (operator: string, gpu: number, kind = "", optional = false) => {
      return { operator, thousandths: gpu * 1_000, kind, memoryBytes: 0n, optional };
    };
    const placed = (at: Room, ...gpus: ReturnType<typeof want>[]) => {
      const result = at.placeGroup(needs(), gpus, "");
      if (result.worker === undefined) return result.reason;
      const told = result.gpus.map(({ operator, uuid, thousandths }) => `${operator} ${uuid} ${thousandths}`);
      return [result.worker, ...told].join(", ");
    };
    const workers = () => room(worker("a", { gpus: t4 }), worker("b", { gpus: h200 }));
    const at = workers();
    assert.equal(placed(at, want("x", 0.5), want("y", 1), want("z", 0.4)), "b, x GPU-2 500, y GPU-1 1000, z GPU-2 400");
    assert.equal(
      placed(at, want("x", 0.1), want("y", 1)),
      "needs 0.1 gpu for operator x and 1 gpu for operator y; worker a has 1, taken; worker b has 2, both taken",
    );
    assert.equal(placed(at, want("x", 0.1, "h200")), "b, x GPU-2 100", "what could not be placed took nothing");
    // What anybody may have is not taken from the one who can use no other.
    const mixed = room(worker("m", { gpus: [...t4, gpu("GPU-1")] }));
    assert.equal(placed(mixed, want("any", 1), want("h", 1, "h200")), "m, any GPU-t 1000, h GPU-1 1000");
    assert.equal(placed(room(worker("c")), want("x", 1, "", true)), "c");
  });

  it("a group whose host lives stays with it and its devices, as long as its worker takes work (X7)", () => {
    const kept = [{ operator: "x", uuid: "GPU-1", thousandths: 1_000, memoryBytes: 0n }];
    const gpus = [{ operator: "x", thousandths: 1_000, kind: "", memoryBytes: 0n, optional: false }];
    const group = { actors: ["a"], before: "b", needs: needs(), gpus, kept };
    const holdings = [{ worker: "b", granted: { ...granted(), gpus: kept } }];
    const where = (draining: boolean) => {
      const workers = [worker("a", { gpus: [gpu("GPU-2")] }), worker("b", { gpus: [gpu("GPU-1")], draining })];
      const { places } = placeGroups([group], new Room(workers, holdings, NOTHING));
      return places?.map(({ worker, gpus }) => [worker, ...gpus.map(({ uuid }) => uuid)]);
    };
    assert.deepEqual(where(false), [["b", "GPU-1"]]);
    assert.deepEqual(where(true), [["a", "GPU-2"]]);
  });

  it("the reason names what is needed and what each worker has instead (X6)", () => {
    const at = room(
      worker("a", { gpus: t4, memory: 1 }),
      worker("b", { gpus: h200 }),
      worker("c"),
      worker("d", { gpus: [gpu("GPU-d", "NVIDIA H200", 39)] }),
    );
    at.place(needs({ gpu: 2 }));
    assert.equal(
      reasonOf(at, needs({ gpu: 1, kind: "h200", gpuMemory: 40, memory: 2 })),
      "needs 1 gpu of kind h200 with 40 GiB and 2 GiB of memory; worker a has 1 of kind Tesla T4 and has 1 GiB of its memory left to promise; worker b has 2, both taken; worker c has no gpu; worker d has 1 with 39 GiB",
    );
    const many = room(...Array.from({ length: 9 }, (_, i) => worker(`w${i}`)));
    assert.match(reasonOf(many, needs({ gpu: 1 })), /worker w5 has no gpu; 3 more workers do not have it either$/);
  });
});
