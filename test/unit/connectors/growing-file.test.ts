import assert from "node:assert/strict";
import type { OperatorRuntime } from "../../../src/actors/operator.js";
import { SinkOperator } from "../../../src/actors/sink-operator.js";
import { limits } from "../../../src/base/limits.js";
import { jsonlInPieces } from "../../../src/connectors/jsonl.js";
import { outputFolder } from "../../../src/connectors/output-folder.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { OutputFolder, SinkWriter } from "../../../src/topology/endpoints.js";
import { text } from "../../conformance/bus-support.js";
import { numbered, numbers, range, testRuntime, turns } from "../actors/support.js";
import { contextOf, keysOf } from "./writing.js";

const PIECE_BYTES = 64;

/** A place that takes pieces only as `take` asks for them. */
function slow(store = new MemoryStore()) {
  const bodies: AsyncIterator<Uint8Array>[] = [];
  const signals: AbortSignal[] = [];
  let failed: (error: Error) => void = () => {};
  const output: OutputFolder = {
    ...outputFolder(store),
    put(_name, body, signal) {
      assert.ok(!(body instanceof Uint8Array));
      bodies.push(body[Symbol.asyncIterator]());
      signals.push(signal!);
      return new Promise((_, reject) => {
        failed = reject;
        signal!.addEventListener("abort", () => reject(signal!.reason));
      });
    },
  };
  return { output, bodies, signals, fail: (error: Error) => failed(error) };
}

async function opened(output: OutputFolder, attempt = 1): Promise<SinkWriter> {
  return jsonlInPieces("out", PIECE_BYTES).open({ ...contextOf(numbered, undefined, attempt), output });
}

async function fill(writer: SinkWriter): Promise<number> {
  let written = 0;
  for (; writer.room?.() === undefined; written++) await writer.write(numbers(written));
  return written;
}

describe("connectors/growing-file: files that are staged while they are filled", () => {
  it("what is written is handed on before the checkpoint, and is whole at it", async () => {
    const store = new MemoryStore();
    const puts: string[] = [];
    const inner = outputFolder(store);
    const writer = await opened({
      ...inner,
      put: (name, body, signal) => {
        puts.push(name);
        return inner.put(name, body, signal);
      },
    });
    for (let n = 0; n < 100; n++) await writer.write(numbers(n));
    assert.deepEqual(puts, ["_staging/1-out-2-after-0.jsonl"]);
    const prepared = await writer.prepare(7n);
    assert.deepEqual(await keysOf(store), ["_staging/1-out-2-after-0.jsonl"]);
    await writer.commit(prepared);
    assert.deepEqual(await keysOf(store), ["out-2-7.jsonl"]);
    const lines = text(await store.get("out-2-7.jsonl"))
      .trimEnd()
      .split("\n");
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { n: number }).n),
      Array.from({ length: 100 }, (_, n) => n),
    );
  });

  it("the next file has another name, also while the one before is still being staged (F4)", async () => {
    const store = new MemoryStore();
    const writer = await opened(outputFolder(store));
    for (let n = 0; n < 50; n++) await writer.write(numbers(n));
    const first = writer.prepare(1n);
    for (let n = 50; n < 100; n++) await writer.write(numbers(n));
    const second = writer.prepare(2n);
    await Promise.all([first, second]);
    assert.deepEqual(await keysOf(store), ["_staging/1-out-2-after-0.jsonl", "_staging/1-out-2-after-1.jsonl"]);
  });

  it("a name that the manifest has of an attempt of the same number is not staged again (F4)", async () => {
    const store = new MemoryStore();
    await store.put("_staging/1-out-2-after-3.jsonl", Uint8Array.of(10));
    const pending = '{"from":"_staging/1-out-2-after-3.jsonl","to":"out-2-5.jsonl"}';
    const writer = await opened(outputFolder(store));
    await writer.recover([new TextEncoder().encode(pending)]);
    for (let n = 0; n < 50; n++) await writer.write(numbers(n));
    await writer.prepare(6n);
    assert.deepEqual(await keysOf(store), ["_staging/1-out-2-after-5.jsonl", "out-2-5.jsonl"]);
  });

  it("holds a few pieces and then has no room until one is written (G1)", async () => {
    const { output, bodies } = slow();
    const writer = await opened(output);
    const written = await fill(writer);
    assert.ok(written * '{"n":0}\n'.length <= (limits.sinkPiecesHeldMax + 2) * PIECE_BYTES, `${written} rows`);
    const room = writer.room?.();
    await bodies[0]!.next();
    await bodies[0]!.next(); // the first is written
    await room;
    assert.equal(writer.room?.(), undefined);
  });

  it("fails what comes after a piece that could not be written, and keeps nobody waiting (G2)", async () => {
    const { output, fail } = slow();
    const writer = await opened(output);
    await fill(writer);
    const room = writer.room?.();
    fail(new Error("the disk is full"));
    await room;
    assert.throws(() => writer.write(numbers(1)), { message: "the disk is full" });
    await assert.rejects(writer.prepare(1n), { message: "the disk is full" });
  });

  it("ends the put of a file that is dropped (G3)", async () => {
    const { output, signals } = slow();
    const writer = await opened(output);
    await fill(writer);
    await writer.abort();
    assert.ok(signals[0]!.aborted);
  });

  it("a batch that waits for room when its actor stops begins no other file, which nobody would drop (G3)", async () => {
    const { output, signals } = slow();
    const writer = await opened(output);
    const plain = testRuntime();
    const park: OperatorRuntime["park"] = (...batch) => plain.parking.wait("out", ...batch);
    const sink = new SinkOperator(async () => writer, { ...plain, park });
    await sink.open();
    await fill(writer);
    const waits = plain.gate.flow(() => sink.process(numbers(...range(0, 100))));
    const met = assert.rejects(waits);
    await turns();
    await sink.output.abort();
    await met;
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true],
    );
  });
});
