/** What each check says of what it finds, without the servers; test/e2e/doctor.test.ts has those. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { NatsFacts } from "../../../src/bus/nats-probe.js";
import { type Check, describeChecks, exitStatus, fail, ok, warn } from "../../../src/cli/doctor/check.js";
import { checkClock } from "../../../src/cli/doctor/clock.js";
import {
  checkCache,
  checkGpu,
  checkNode,
  checkPackages,
  checkPort,
  judgeRoom,
} from "../../../src/cli/doctor/machine-checks.js";
import { judgeNats } from "../../../src/cli/doctor/nats-checks.js";
import { tryStore } from "../../../src/cli/doctor/store-checks.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { useFolders } from "./folders.js";

const MiB = 1_048_576;
const GiB = 1024 * MiB;
const state = (check: Check) => [check.state, check.exit];

describe("cli/doctor: what the checks come to", () => {
  const plain = (_: string, text: string) => text;

  it("is status 0 without a failure, 3 for a server's, 2 as soon as one is this machine's", () => {
    assert.equal(exitStatus([ok("a", ""), warn("b", "", "")]), 0);
    assert.equal(exitStatus([ok("a", ""), fail("b", 3, "", "")]), 3);
    assert.equal(exitStatus([fail("a", 3, "", ""), fail("b", 2, "", "")]), 2);
  });

  it("is a line for each, with how to mend what is not well below it", () => {
    const text = describeChecks([ok("node", "20"), fail("store: read", 3, "refused", "let it")], plain);
    assert.equal(
      text,
      "ok    node         20\nfail  store: read  refused\n                   mend: let it\n\n1 ok, 0 to look at, 1 wrong\n",
    );
  });
});

describe("cli/doctor: this machine", () => {
  const makeFolder = useFolders();

  it("wants the Node that package.json wants", () => {
    for (const version of ["20.19.0", "20.19", "20.20.1", "22.0.0", "v24.1.0"])
      assert.equal(checkNode(version, ">=20.19").state, "ok", version);
    for (const version of ["20.18.9", "18.99.0", "9.0.0"])
      assert.deepEqual(state(checkNode(version, ">=20.19")), ["fail", 2], version);
  });

  it("loads packages with native code, and names one that cannot be", async () => {
    assert.equal((await checkPackages(["esbuild"])).state, "ok");
    const check = await checkPackages(["esbuild", "no-such-package"]);
    assert.deepEqual(state(check), ["fail", 2]);
    assert.match(check.found, /^no-such-package \(Error.*no-such-package/);
  });

  it("says what nvidia-smi shows, that there is none, or that it fails", async () => {
    const machine = (nvidiaSmi: () => Promise<string | undefined>, visibleDevices?: string) =>
      checkGpu({ cpus: 1, memoryBytes: GiB, visibleDevices, nvidiaSmi });
    const h200 = "0, GPU-5f0c0001-0000, NVIDIA H200, 143771\n";
    assert.deepEqual(await machine(async () => h200), ok("gpu", "NVIDIA H200 with 140.4 GiB"));
    assert.match((await machine(async () => h200, "-1")).found, /CUDA_VISIBLE_DEVICES is "-1"/);
    assert.equal((await machine(async () => undefined)).state, "ok");
    assert.equal((await machine(async () => "No devices were found\n")).state, "warn");
    const broken = await machine(() => Promise.reject(new Error("driver mismatch\nsecond line")));
    assert.deepEqual([broken.state, broken.found], ["warn", "nvidia-smi failed: driver mismatch"]);
  });

  it("wants the cache's folder to be writable, and room in it", async () => {
    const folder = await makeFolder({ file: "" });
    assert.equal((await checkCache(`${folder}/new/below`, 0)).state, "ok");
    assert.deepEqual(state(await checkCache(`${folder}/file/below`, 0)), ["fail", 2]);
    assert.equal(judgeRoom("/c", 20 * GiB, 10 * GiB).state, "ok");
    assert.equal(judgeRoom("/c", 5 * GiB, 10 * GiB).state, "warn");
    assert.deepEqual(state(judgeRoom("/c", GiB - 1, 0)), ["fail", 2]);
  });

  describe("its port", () => {
    let taken: Server;
    let port: number;
    before(async () => {
      taken = createServer((socket) => socket.end("not http"));
      await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
      port = (taken.address() as { port: number }).port;
    });
    after(() => taken.close());

    it("is free, taken, not of this machine, or none", async () => {
      assert.equal((await checkPort("127.0.0.1:0")).state, "ok");
      assert.equal((await checkPort("off")).state, "ok");
      const check = await checkPort(`127.0.0.1:${port}`);
      assert.deepEqual([check.state, check.found], ["warn", `another program listens at 127.0.0.1:${port}`]);
      assert.deepEqual(state(await checkPort("192.0.2.1:8080")), ["fail", 2]);
      for (const address of ["8080", "localhost:", "localhost:99999", "a:b:c"])
        assert.deepEqual(state(await checkPort(address)), ["fail", 2], address);
    });
  });
});

describe("cli/doctor: clocks", () => {
  const reading = (aheadMs: number, tookMs = 10, coarseMs = 0) => ({
    server: "nats",
    serverMs: 1_000_000 + tookMs / 2 + aheadMs,
    coarseMs,
    afterMs: 1_000_000,
    beforeMs: 1_000_000 + tookMs,
  });

  it("agree within 5 s, are to be looked at above, and are wrong from 5 minutes on", () => {
    assert.equal(checkClock([reading(4_000)]).state, "ok");
    assert.deepEqual(
      [checkClock([reading(-20_000)]).state, checkClock([reading(-20_000)]).found],
      ["warn", "nats is 20 s behind"],
    );
    assert.deepEqual(state(checkClock([reading(0), reading(400_000)])), ["fail", 2]);
  });

  it("only what is certain counts: neither the time that the question took, nor a second that HTTP leaves open", () => {
    assert.equal(checkClock([reading(9_000, 20_000)]).state, "ok");
    assert.equal(checkClock([reading(-5_400, 10, 1_000)]).state, "ok");
  });

  it("cannot be told when no server told its own", () => {
    assert.equal(checkClock([]).state, "warn");
  });
});

describe("cli/doctor: NATS", () => {
  const facts: NatsFacts = {
    version: "2.10.4",
    maxPayloadBytes: MiB,
    roundTripMs: 1,
    jetStream: {
      storageBytes: 0,
      storageBytesMax: undefined,
      streams: 0,
      streamsMax: undefined,
      serverTime: "",
      afterMs: 0,
      beforeMs: 0,
    },
  };
  const states = (changed: object) => judgeNats("nats://a:4222", { ...facts, ...changed }).map(state);
  const stream = (changed: object) => states({ jetStream: { ...facts.jetStream, ...changed } })[1];

  it("is well when it is new enough, takes large messages and has room", () => {
    assert.deepEqual(states({}), [
      ["ok", undefined],
      ["ok", undefined],
    ]);
    assert.deepEqual(states({ version: "2.8.4" })[0], ["warn", undefined]);
    assert.deepEqual(states({ version: "3.0.0-beta" })[0], ["ok", undefined]);
    assert.deepEqual(states({ maxPayloadBytes: 65_536 })[0], ["warn", undefined]);
  });

  it("warns when a partition of a durable exchange has no room, or no stream", () => {
    assert.deepEqual(stream({ storageBytesMax: 10 * GiB, storageBytes: 10 * GiB - MiB }), ["warn", undefined]);
    assert.deepEqual(stream({ storageBytesMax: 10 * GiB }), ["ok", undefined]);
    assert.deepEqual(stream({ streamsMax: 3, streams: 2 }), ["warn", undefined]);
  });

  it("fails with status 3 when there is no JetStream", () => {
    const error = new MillraceError("MILL_BUS_REFUSED", "JetStream does not answer");
    assert.deepEqual(states({ jetStream: { error } })[1], ["fail", 3]);
  });
});

describe("cli/doctor: the object store", () => {
  const ports = realPorts();

  it("tries every right, and leaves nothing behind", async () => {
    const store = new MemoryStore();
    const checks = await tryStore(store, ports);
    assert.deepEqual(
      checks.map(({ name, state }) => `${name} ${state}`),
      ["store: write ok", "store: read ok", "store: create once ok", "store: list ok", "store: delete ok"],
    );
    for await (const { key } of store.list("")) assert.fail(`${key} was left behind`);
  });

  it("fails where a second writer may create what is there: the guarantees rest on it (O3)", async () => {
    class Careless extends MemoryStore {
      override async create(key: string, bytes: Uint8Array) {
        await this.put(key, bytes);
        return { created: true } as const;
      }
    }
    const failed = (await tryStore(new Careless(), ports)).filter((check) => check.state === "fail");
    assert.deepEqual(
      failed.map(({ name, exit }) => [name, exit]),
      [["store: create once", 3]],
    );
    assert.match(failed[0]!.mend!, /If-None-Match/);
  });

  it("names the right that is missing, goes on with the others, and says nothing more when nothing can be written", async () => {
    const refuse = () => Promise.reject(new MillraceError("MILL_STORE_REFUSED", "not for you"));
    class MayNotDelete extends MemoryStore {
      override delete = refuse;
    }
    const checks = await tryStore(new MayNotDelete(), ports);
    assert.deepEqual(
      checks.map((check) => check.state),
      ["ok", "ok", "ok", "ok", "fail"],
    );
    assert.match(checks[4]!.mend!, /s3:DeleteObject/);
    class MayNotWrite extends MemoryStore {
      override put = refuse;
    }
    assert.deepEqual((await tryStore(new MayNotWrite(), ports)).map(state), [["fail", 3]]);
  });
});
