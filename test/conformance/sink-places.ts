/** A file sink over an object store, as the sink suite drives it: every call of the writer passes the guard. */
import assert from "node:assert/strict";
import { tableFromIPC } from "apache-arrow";
import { readParquet } from "parquet-wasm";
import { silentLog } from "../../src/base/real/ports.js";
import { outputFolder } from "../../src/connectors/output-folder.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import type { OutputFolder, Sink } from "../../src/topology/endpoints.js";
import { gate } from "../unit/actors/support.js";
import { text } from "./bus-support.js";
import { type SinkPlace, sinkColumns } from "./sink.js";
import { Died, type Guard } from "./sink-guard.js";

const PUBLISHED = /^out-0-\d+\.[a-z]+$/;
const STAGING = "_staging/";

/** Column `n` of a whole file; fails when it is not whole. */
const READERS: Readonly<Record<string, (bytes: Uint8Array) => number[]>> = {
  jsonl: (bytes) => {
    const content = text(bytes);
    assert.ok(content.endsWith("\n"), "a file that ends within a line");
    return content
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { n: number }).n);
  },
  parquet: (bytes) => numbersOf(readParquet(bytes).intoIPCStream()),
  arrow: (bytes) => {
    assert.equal(text(bytes.subarray(-6)), "ARROW1", "a file without its end");
    return numbersOf(bytes);
  },
};

function numbersOf(ipc: Uint8Array): number[] {
  return [...(tableFromIPC(ipc).getChild("n")?.toArray() ?? [])] as number[];
}

export function filePlace(sink: Sink, store: ObjectStore): SinkPlace {
  const puts = new Puts();
  const names = async () => {
    const all: string[] = [];
    for await (const { key } of store.list("")) all.push(key);
    return all;
  };
  return {
    open: (attempt, guard) =>
      sink.open({
        columns: sinkColumns,
        operator: "out",
        subtask: 0,
        attempt,
        output: guarded(outputFolder(store), store, guard, puts),
        log: silentLog,
      }),
    async published() {
      const rows: number[] = [];
      for (const name of (await names()).filter((each) => !each.startsWith("_"))) {
        assert.match(name, PUBLISHED);
        const read = READERS[name.slice(name.lastIndexOf(".") + 1)];
        rows.push(...read!(await store.get(name)));
      }
      return rows;
    },
    leftovers: () => outputFolder(store).list(STAGING),
    async close() {
      await puts.end();
      await store.close();
    },
  };
}

/** Puts in pieces: once their process has died, to whoever is left, no piece comes any more, and no end. */
class Puts {
  #over = new AbortController();
  #all: Promise<unknown>[] = [];

  async put(output: OutputFolder, name: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal, guard: Guard) {
    const died = gate();
    const signals = AbortSignal.any([signal, this.#over.signal]);
    const put = output.put(name, this.#pieces(name, body, guard, died.open), signals);
    this.#all.push(put.catch(() => {}));
    const isDead = await guard.follow(Promise.race([put.then(() => false), died.promise.then(() => true)]));
    if (isDead) throw new Died();
  }

  /** Each of them is a step, and the end of them. */
  async *#pieces(name: string, body: AsyncIterable<Uint8Array>, guard: Guard, die: () => void) {
    try {
      for await (const piece of body) {
        await guard.pass(`a piece of ${name}`);
        yield piece;
      }
      await guard.pass(`the end of ${name}`);
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      die();
      await new Promise(() => {});
    }
  }

  /** Also those that nobody has brought to an end. */
  async end(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#all);
  }
}

function guarded(output: OutputFolder, store: ObjectStore, guard: Guard, puts: Puts): OutputFolder {
  return {
    url: output.url,
    async put(name, body, signal) {
      if (body instanceof Uint8Array) return guard.pass(`put ${name}`, () => output.put(name, body, signal));
      await guard.pass(`put ${name} in pieces`);
      await puts.put(output, name, body, signal ?? new AbortController().signal, guard);
      await guard.pass(`${name} is put`);
    },
    move: (from, to) =>
      guard.pass(
        `move ${from}`,
        () => output.move(from, to),
        // S3 copies and then deletes.
        async () => store.head(from).then(async (found) => found && store.put(to, await store.get(from))),
      ),
    delete: (name) => guard.pass(`delete ${name}`, () => output.delete(name)),
    list: (prefix) => guard.pass(`list ${prefix}`, () => output.list(prefix)),
  };
}
