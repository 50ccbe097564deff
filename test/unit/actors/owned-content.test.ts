/** What an actor says of the job's own content: in its snapshots, and before its output can be published. */
import assert from "node:assert/strict";
import { BlobReader, BlobWriter } from "../../../src/actors/blobs.js";
import { DeadLetters, deadLetterColumns } from "../../../src/actors/dead-letters.js";
import { TransactionalOutput } from "../../../src/actors/output.js";
import { ownedIn, ownedInText } from "../../../src/actors/owned-content.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { Sink, SinkWriter } from "../../../src/topology/endpoints.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { unpackHashes } from "../../../src/wire/content-hashes.js";
import { sinkStateFrame } from "../../../src/wire/stored.js";
import { gate, noOutput, numbers } from "./support.js";

const PREFIX = "memory:/jobs/job/content/";
const hashOf = (letter: string) => letter.repeat(64);
const columns = { page: t.document };
const refers = (letter: string) => ({
  ...{ uri: `${PREFIX}${hashOf(letter)}`, offset: 0n, sizeBytes: 9n, sha256: hashOf(letter), mediaType: "" },
  bytes: null,
});
const pages = (...letters: string[]) =>
  batchFromRows(
    columns,
    letters.map((letter) => ({ page: refers(letter) })),
  );

/** A writer that notes what it was asked, and prepares when it is let. */
function setUp() {
  const prepares = gate();
  const recorded: string[] = [];
  const writer: SinkWriter = {
    write() {},
    prepare: async (checkpoint) => Uint8Array.of(Number(checkpoint)),
    publishes: (checkpoint) => `file-${checkpoint}`,
    commit: async () => {},
    recover: async () => {},
    resume: async () => {},
    abort: async () => {},
  };
  const record = async (checkpoint: bigint, name: string | undefined, contents: readonly string[]) => {
    await prepares.promise;
    recorded.push(`${checkpoint} ${name} ${contents.map(([first]) => first)}`);
  };
  const output = new TransactionalOutput(async () => writer, { ownedIn: ownedIn(PREFIX), record });
  return { output, writer, recorded, prepares };
}

describe("actors/owned-content: what snapshots say", () => {
  it("batches in them refer to it; each object is listed once, in order", () => {
    const blobs = new BlobWriter(ownedIn(PREFIX));
    blobs.add(pages("b", "a"));
    blobs.add(pages("a"));
    const listed = blobs.addContents(blobs.contents);
    const reader = new BlobReader(blobs.lengths, Buffer.concat(blobs.pieces));
    assert.deepEqual(reader.contents(listed), [hashOf("a"), hashOf("b")]);
  });

  it("nothing is listed, and nothing looked at, where there is none", () => {
    const blobs = new BlobWriter(ownedIn(PREFIX));
    blobs.add(numbers(1, 2));
    blobs.add(batchFromRows(columns, [{ page: inline(Uint8Array.of(1), "") }]));
    assert.deepEqual([blobs.addContents(blobs.contents), blobs.pieces.length > 0], [-1, true]);
    assert.deepEqual(ownedIn(undefined)(pages("a")), []);
  });

  it("lists that are broken are refused (MILL_STORE_CORRUPT)", () => {
    assert.throws(() => unpackHashes(new Uint8Array(33)), { code: "MILL_STORE_CORRUPT" });
  });
});

describe("actors/owned-content: what outputs say (U4)", () => {
  const stateOf = async (output: TransactionalOutput, checkpoint: bigint) => {
    const blobs = new BlobWriter();
    const state = await output.cut(checkpoint)!(blobs);
    const { pending } = sinkStateFrame.decode(state).header;
    const reader = new BlobReader(blobs.lengths, Buffer.concat(blobs.pieces));
    const shown = pending.map((one) => `${one.checkpoint}: ${reader.contents(one.contents).map(([first]) => first)}`);
    return { state, reader, shown, contents: [...blobs.contents].map(([first]) => first) };
  };

  it("a checkpoint is prepared when its record is there, with the name that it will be published under", async () => {
    const { output, recorded, prepares } = setUp();
    await output.open();
    await output.write(pages("a", "b"));
    let done = false;
    const state = stateOf(output, 4n).then((made) => {
      done = true;
      return made;
    });
    await new Promise(setImmediate);
    assert.equal(done, false);
    prepares.open();
    assert.deepEqual((await state).contents, ["a", "b"]);
    assert.deepEqual(recorded, ["4 file-4 a,b"]);
  });

  it("what is pending is in every snapshot until it is published, with what it refers to; also when it was restored", async () => {
    const { output, prepares } = setUp();
    prepares.open();
    await output.open();
    await output.write(pages("a"));
    await stateOf(output, 1n);
    await output.write(pages("b"));
    const second = await stateOf(output, 2n);
    assert.deepEqual(second.shown, ["1: a", "2: b"]);
    const restored = setUp();
    restored.prepares.open();
    await restored.output.recover(second.state, second.reader);
    assert.deepEqual((await stateOf(restored.output, 3n)).shown, ["1: a", "2: b", "3: "]);
    await restored.output.publish(1n);
    assert.deepEqual((await stateOf(restored.output, 4n)).contents, ["b"]);
  });

  it("a checkpoint that refers to nothing leaves no record", async () => {
    const { output, recorded, prepares } = setUp();
    prepares.open();
    await output.open();
    await output.write(numbers(1));
    assert.deepEqual((await stateOf(output, 1n)).contents, []);
    assert.deepEqual(recorded, []);
  });

  it("so do dead letters, whose records are text", async () => {
    const { writer } = setUp();
    const sink = { kind: "none", describe: "", url: "bad", check() {}, open: async () => writer } as Sink;
    const recorded: string[] = [];
    const record = async (_: bigint, __: string | undefined, contents: readonly string[]) => {
      recorded.push(...contents);
    };
    const context = { operator: "bad", subtask: 0, attempt: 1, output: noOutput, log: silentLog };
    const kept = { prefix: PREFIX };
    const letters = new DeadLetters(sink, context, { nowMs: () => 1 }, { ownedIn: ownedIn(PREFIX), record }, kept);
    const letter = { operator: "x", code: "MILL_RECORD_INVALID", message: "no", batch: numbers(1) };
    await letters.write({ ...letter, row: { page: refers("c") } });
    await letters.output.cut(1n)!(new BlobWriter());
    assert.deepEqual(recorded, [hashOf("c")]);
    assert.ok(Object.keys(deadLetterColumns).includes("record"));
  });

  it("in a text, what only begins like an address is none", () => {
    assert.deepEqual(ownedInText(`"${PREFIX}${hashOf("a")}0" ${PREFIX}nothing ${PREFIX}${hashOf("b")}`, PREFIX), [
      hashOf("b"),
    ]);
  });
});
