import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import { JobNotes } from "../../../src/coordinator/job-notes.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { jobReportFrame } from "../../../src/wire/control.js";
import { gate } from "../actors/support.js";
import { keys } from "./coordinator-cluster.js";
import { fakePorts } from "./fake-ports.js";
import { spec } from "./job-facts.js";

function setUp() {
  const ports = fakePorts();
  const store = new MemoryStore();
  const book = new JobBook(spec, ports.clock);
  /** How often keeping it fails yet. */
  const state = { failures: 0, closed: false };
  const notes = new JobNotes({
    store,
    ports,
    leads: async () => true,
    isClosed: () => state.closed,
    keep: async () => {
      if (state.failures-- > 0) throw new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
      await store.put(keys.report, new Uint8Array());
    },
  });
  /** The first write of a note lasts until it is let go. */
  const first = gate();
  const put = store.put.bind(store);
  let puts = 0;
  store.put = async (key, ...rest) => {
    if (key === keys.open && ++puts === 1) await first.promise;
    return put(key, ...rest);
  };
  const noted = async () => jobReportFrame.decode(await store.get(keys.open)).header.state;
  return { ports, store, book, notes, state, first, noted, puts: () => puts };
}

describe("coordinator/job-notes: what the next leader finds", () => {
  it("a note that lasts is not overtaken by the next, which says what is true by then, whoever asked (W1, W2)", async () => {
    const { ports, book, notes, first, noted, puts } = setUp();
    book.enter("DEPLOYING");
    const early = notes.note(book);
    await ports.clock.settle();
    book.enter("RUNNING");
    notes.noteSoon(book);
    let isThere = false;
    const late = notes.note(book).then(() => {
      isThere = true;
    });
    book.cancel();
    await ports.clock.settle();
    assert.deepEqual([puts(), isThere], [1, false]);
    first.open();
    await Promise.all([early, late]);
    assert.deepEqual([puts(), await noted()], [2, "FAILING"]);
  });

  it("one that fails is told whoever asked for it, and the next is written all the same (W1)", async () => {
    const { store, book, notes, first, noted } = setUp();
    const put = store.put;
    store.put = () => Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "no store today"));
    await assert.rejects(notes.note(book), { code: "MILL_STORE_UNREACHABLE" });
    store.put = put;
    first.open();
    book.enter("RUNNING");
    await notes.note(book);
    assert.equal(await noted(), "RUNNING");
  });

  it("the end is recorded behind the last note, again until it is, and nothing is noted behind it (W3)", async () => {
    const { ports, store, book, notes, state, first, puts } = setUp();
    const note = notes.note(book);
    await ports.clock.settle();
    book.enter("FINISHED");
    state.failures = 2;
    let isOver = false;
    const kept = notes.keepEnd(book);
    const recorded = notes.recorded(spec.job as JobId).then(() => {
      isOver = true;
    });
    await ports.clock.settle();
    assert.equal(state.failures, 2, "not before the note has been answered");
    first.open();
    await note;
    for (const left of [1, 0]) {
      await ports.clock.settle();
      assert.deepEqual([state.failures, isOver], [left, false]);
      await ports.clock.advance(limits.storeBackoffMsMax);
    }
    await recorded;
    assert.equal(await kept, true);
    assert.ok(await store.head(keys.report));
    await notes.note(book);
    assert.equal(puts(), 1);
    await notes.recorded(spec.job as JobId);
  });

  it("what a closed coordinator has not recorded is the next leader's", async () => {
    const { store, book, notes, state } = setUp();
    book.enter("FINISHED");
    state.closed = true;
    assert.equal(await notes.keepEnd(book), false);
    assert.equal(await store.head(keys.report), undefined);
  });
});
