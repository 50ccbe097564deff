import assert from "node:assert/strict";
import {
  findResources,
  type Machine,
  NVIDIA_SMI_QUERY,
  parseNvidiaSmi,
  type Told,
} from "../../../src/worker/resources.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const MiB = 1_048_576n;
const TWO = `0, GPU-5f0c9e0b-7a4b-7f5c-2f5e-0d8f6a3c1b11, NVIDIA H200, 143771
1, GPU-91a7c2d4-1c0e-9d43-8b65-62a2f0e6d922, NVIDIA H200, 143771
`;
const [FIRST, SECOND] = parseNvidiaSmi(TWO).map(({ uuid }) => uuid) as [string, string];

const machine = (smi: string | undefined | Error, visibleDevices?: string): Machine => ({
  cpus: 8,
  memoryBytes: 1_000,
  visibleDevices,
  nvidiaSmi: async (query) => {
    assert.deepEqual(query, NVIDIA_SMI_QUERY);
    if (smi instanceof Error) throw smi;
    return smi;
  },
});
const find = (at: Machine, told: Told = {}, ports = fakePorts()) => findResources(at, told, ports.log);
const uuids = async (at: Machine, told: Told = {}) => (await find(at, told)).gpus.map(({ uuid }) => uuid);

describe("worker/resources: what nvidia-smi prints", () => {
  for (const [what, text, seen] of [
    ["two devices", TWO, [`${FIRST}/NVIDIA H200/143771`, `${SECOND}/NVIDIA H200/143771`]],
    ["lines of Windows", "0, GPU-aa, Tesla T4, 15360\r\n", ["GPU-aa/Tesla T4/15360"]],
    ["a unit that was not asked for", "0, GPU-aa, Tesla T4, 15360 MiB", ["GPU-aa/Tesla T4/15360"]],
    ["memory that is the processor's", "0, GPU-aa, NVIDIA GB10, [N/A]", ["GPU-aa/NVIDIA GB10/0"]],
    ["an older driver's word for it", "0, GPU-aa, Orin (nvgpu), [Not Supported]", ["GPU-aa/Orin (nvgpu)/0"]],
    ["a machine without devices", "No devices were found\n", []],
    ["nothing", "", []],
  ] as const) {
    it(what, () => {
      const found = parseNvidiaSmi(text).map(({ uuid, kind, memoryBytes }) => `${uuid}/${kind}/${memoryBytes / MiB}`);
      assert.deepEqual(found, seen);
    });
  }
});

describe("worker/resources: what a worker offers", () => {
  it("what is there: processors, memory, devices by UUID", async () => {
    const { cpus, memoryBytes, gpus } = await find(machine(TWO));
    assert.deepEqual([cpus, memoryBytes], [8, 1_000]);
    assert.deepEqual(gpus[0], { uuid: FIRST, kind: "NVIDIA H200", memoryBytes: 143_771n * MiB });
    assert.equal(gpus.length, 2);
  });

  it("no device without the command; none, and a warning, where it fails", async () => {
    assert.deepEqual(await uuids(machine(undefined)), []);
    const ports = fakePorts();
    const broken = machine(new Error("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver"));
    assert.deepEqual((await find(broken, {}, ports)).gpus, []);
    assert.deepEqual(
      ports.lines.map(({ level }) => level),
      ["warn"],
    );
  });

  it("what it was told instead, with the UUIDs of what is there", async () => {
    const told = { cpus: 3, memoryBytes: 7, gpus: 1, gpuKind: "h200", gpuMemoryBytes: 80 };
    const offer = { cpus: 3, memoryBytes: 7, gpus: [{ uuid: FIRST, kind: "h200", memoryBytes: 80n }] };
    assert.deepEqual(await find(machine(TWO), told), offer);
    assert.deepEqual(await uuids(machine(TWO), { gpus: 0 }), []);
    const kinds = (await find(machine(TWO), { gpuKind: "mine" })).gpus.map(({ kind }) => kind);
    assert.deepEqual(kinds, ["mine", "mine"]);
  });

  it("devices that it was told of and nobody finds are numbers, as CUDA counts", async () => {
    const { gpus } = await find(machine(undefined), { gpus: 2 });
    assert.deepEqual(gpus, [
      { uuid: "0", kind: "", memoryBytes: 0n },
      { uuid: "1", kind: "", memoryBytes: 0n },
    ]);
    assert.deepEqual(await uuids(machine(undefined, "3,5"), { gpus: 2 }), ["3", "5"], "those that it was given itself");
  });

  for (const [visible, seen] of [
    ["1", [SECOND]],
    ["1,0", [SECOND, FIRST]],
    [SECOND, [SECOND]],
    [FIRST.slice(0, 12), [FIRST]],
    ["", []],
    ["-1", []],
    ["0,7,1", [FIRST]],
    ["0,0", [FIRST]],
  ] as const) {
    it(`CUDA_VISIBLE_DEVICES=${visible} leaves it ${seen.length} of two`, async () => {
      assert.deepEqual(await uuids(machine(TWO, visible)), seen);
    });
  }

  it("CUDA_VISIBLE_DEVICES=-1 names no device, whatever a worker is told", async () => {
    assert.deepEqual(await uuids(machine(TWO, "-1"), { gpus: 1 }), ["0"]);
  });
});
