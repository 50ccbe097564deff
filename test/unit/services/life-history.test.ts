import assert from "node:assert/strict";
import { LifeHistory } from "../../../src/services/life-history.js";

const LIFE = ["REQUESTED", "PROVISIONING", "LOADING", "WARMING", "READY", "DRAINING", "STOPPED"] as const;

function statesOf(history: LifeHistory): string[] {
  return history.transitions.map(({ state }) => state);
}

describe("services/life-history: the states of one instance", () => {
  it("are in the order of life, once each, in whatever order they are heard of (H1)", () => {
    for (const order of [LIFE, [...LIFE].reverse(), [...LIFE, ...LIFE]]) {
      const history = new LifeHistory();
      for (const state of order) history.note(state, LIFE.indexOf(state) + 1);
      assert.deepEqual(statesOf(history), LIFE);
      assert.deepEqual(
        history.transitions.map(({ enteredMs }) => enteredMs),
        [1n, 2n, 3n, 4n, 5n, 6n, 7n],
      );
    }
  });

  it("keep their first time; the newest reason counts until it goes on (H2)", () => {
    const history = new LifeHistory();
    history.note("REQUESTED", 10, "no room");
    history.note("REQUESTED", 20, "no room on w1 either");
    history.note("REQUESTED", 30);
    history.note("LOADING", 40);
    history.note("REQUESTED", 50, "late");
    assert.deepEqual(history.transitions, [
      { state: "REQUESTED", enteredMs: 10n, code: "", reason: "no room on w1 either" },
      { state: "LOADING", enteredMs: 40n, code: "", reason: "" },
    ]);
  });

  it("end with what is heard first of STOPPED and FAILED; one that was given up does not drain (H3)", () => {
    const failed = new LifeHistory();
    failed.note("READY", 1);
    failed.note("FAILED", 2, "it fell silent", "MILL_WORKER_LOST");
    for (const state of ["DRAINING", "STOPPED", "FAILED"]) failed.note(state, 3, "too late");
    failed.note("LOADING", 0); // was under way
    assert.deepEqual(statesOf(failed), ["LOADING", "READY", "FAILED"]);
    assert.equal(failed.transitions.at(-1)!.reason, "it fell silent");

    const stopped = new LifeHistory();
    stopped.note("STOPPED", 2);
    stopped.note("FAILED", 3);
    stopped.note("DRAINING", 1);
    assert.deepEqual(statesOf(stopped), ["DRAINING", "STOPPED"]);
  });
});
