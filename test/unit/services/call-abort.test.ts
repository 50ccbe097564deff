import assert from "node:assert/strict";
import { CallAbort } from "../../../src/services/call-abort.js";

describe("services/call-abort: the signal of a call", () => {
  it("is one and the same whenever it is asked for, and is aborted with the reason, once", () => {
    const abort = new CallAbort();
    const { signal } = abort;
    assert.equal(abort.signal, signal);
    assert.deepEqual([signal.aborted, abort.aborted], [false, false]);
    abort.abort("first");
    abort.abort("second");
    assert.deepEqual([signal.aborted, signal.reason, abort.aborted], [true, "first", true]);
  });

  it("is aborted already when it is asked for afterwards", () => {
    const abort = new CallAbort();
    abort.abort("late");
    assert.deepEqual([abort.aborted, abort.signal.aborted, abort.signal.reason], [true, true, "late"]);
  });
});
