import assert from "node:assert/strict";
import { BlobWriter } from "../../../src/actors/blobs.js";
import { TransactionalOutput } from "../../../src/actors/output.js";
import type { SinkWriter } from "../../../src/topology/endpoints.js";
import { sinkStateFrame } from "../../../src/wire/stored.js";
import { gate, isOpen, numbers, turns } from "./support.js";

function setUp() {
  const calls: string[] = [];
  const holds = new Map<string, Promise<void>>();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  let rows = 0;
  const writer: SinkWriter = {
    write(batch) {
      rows += batch.numRows;
    },
    prepare: async (checkpoint) => {
      const cut = rows;
      rows = 0;
      await holds.get(`prepare ${checkpoint}`);
      return new TextEncoder().encode(cut === 0 ? "" : `${checkpoint}:${cut}`);
    },
    commit: async (prepared) => {
      await holds.get(`commit ${text(prepared)}`);
      calls.push(`commit ${text(prepared)}`);
    },
    recover: async (pending) => void calls.push(`recover ${pending.map(text)}`),
    abort: async () => void calls.push("abort"),
  };
  let opened = 0;
  const output = new TransactionalOutput(async () => {
    opened += 1;
    await turns(1);
    return writer;
  });
  const pending = async (encode: ReturnType<TransactionalOutput["cut"]>) =>
    sinkStateFrame
      .decode(await encode!(new BlobWriter()))
      .header.pending.map(({ checkpoint, prepared }) => `${checkpoint} ${text(prepared)}`);
  return { output, calls, holds, pending, opened: () => opened };
}

describe("actors/output: what a snapshot holds of an output", () => {
  it("what was written before a cut is in that snapshot and every later one until it is published (U1)", async () => {
    const { output, calls, pending } = setUp();
    await output.write(numbers(1, 2));
    const first = output.cut(1n);
    await output.write(numbers(3));
    assert.deepEqual(await pending(first), ["1 1:2"]);
    assert.deepEqual(await pending(output.cut(2n)), ["1 1:2", "2 2:1"]);
    await output.publish(1n);
    assert.deepEqual(calls, ["commit 1:2"]);
    assert.deepEqual(await pending(output.cut(3n)), ["2 2:1"], "empty ones are left out");
  });

  it("an output that was given nothing has no state and opens nothing", async () => {
    const { output, opened } = setUp();
    assert.equal(output.cut(1n), undefined);
    await output.publish(1n);
    await output.abort();
    assert.equal(opened(), 0);
  });

  it("is opened once, by however many at a time", async () => {
    const { output, opened, pending } = setUp();
    await Promise.all([output.write(numbers(1)), output.write(numbers(2)), output.open()]);
    assert.equal(opened(), 1);
    assert.deepEqual(await pending(output.cut(1n)), ["1 1:2"]);
  });

  it("publishes up to the number it is told, oldest first, one after the other (U2, rule 5)", async () => {
    const { output, calls, holds } = setUp();
    for (const n of [1n, 2n, 4n]) {
      await output.write(numbers(1));
      output.cut(n);
    }
    const slow = gate();
    holds.set("commit 1:1", slow.promise);
    const both = [output.publish(2n), output.publish(3n)];
    assert.ok(await isOpen(both[1]!));
    assert.deepEqual(calls, []);
    slow.open();
    await Promise.all(both);
    assert.deepEqual(calls, ["commit 1:1", "commit 2:1"], "4 is nobody's yet");
  });

  it("publishes what a checkpoint that was given up had prepared with the next one (U2)", async () => {
    const { output, calls, holds } = setUp();
    const slow = gate();
    holds.set("prepare 1", slow.promise);
    await output.write(numbers(1));
    output.cut(1n);
    await output.write(numbers(2, 3));
    output.cut(2n);
    const published = output.publish(2n);
    assert.ok(await isOpen(published), "it is not durable yet");
    slow.open();
    await published;
    assert.deepEqual(calls, ["commit 1:1", "commit 2:2"]);
  });

  it("a restored output is given what its snapshot has pending, and holds none of it itself (U3, rule 9)", async () => {
    const before = setUp();
    await before.output.write(numbers(1));
    const encode = before.output.cut(1n);
    const state = await encode!(new BlobWriter());
    const { output, calls, pending } = setUp();
    await output.recover(state);
    assert.deepEqual(calls, ["recover 1:1"]);
    await output.write(numbers(2));
    assert.deepEqual(await pending(output.cut(3n)), ["3 3:1"]);
    await setUp().output.recover(undefined);
  });

  it("a commit that fails is told, and nothing later is published before it (U2)", async () => {
    const { output, calls, holds } = setUp();
    for (const n of [1n, 2n]) {
      await output.write(numbers(1));
      output.cut(n);
    }
    holds.set("commit 1:1", Promise.reject(new Error("away")));
    await assert.rejects(output.publish(1n), /away/);
    await assert.rejects(output.publish(2n), /away/);
    assert.deepEqual(calls, []);
  });

  it("what comes after it was aborted is not written: nobody would drop it (U5)", async () => {
    const { output, calls, pending } = setUp();
    await output.write(numbers(1));
    const aborted = output.abort();
    await assert.rejects(async () => output.write(numbers(2)), { code: "MILL_JOB_FAILED" });
    await aborted;
    assert.deepEqual(calls, ["abort"]);
    assert.deepEqual(await pending(output.cut(1n)), ["1 1:1"]);
  });

  it("one that was not open when it was aborted is not opened for what comes then (U5)", async () => {
    const { output, opened } = setUp();
    await output.abort();
    await assert.rejects(async () => output.write(numbers(1)), { code: "MILL_JOB_FAILED" });
    assert.equal(opened(), 0);
  });

  it("what waits until it is open when it is aborted is not written (U5)", async () => {
    const { output, pending } = setUp();
    const written = output.write(numbers(1));
    const met = assert.rejects(async () => written, { code: "MILL_JOB_FAILED" });
    await output.abort();
    await met;
    assert.deepEqual(await pending(output.cut(1n)), []);
  });
});
