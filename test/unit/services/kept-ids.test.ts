import assert from "node:assert/strict";
import { KeptIds } from "../../../src/services/kept-ids.js";

describe("services/kept-ids: rows whose answers may be kept", () => {
  it("are bounded, the newest of them, and are taken once", () => {
    const kept = new KeptIds(3);
    kept.add(["a", "b"]);
    kept.add(["c", "d", "b"]);
    assert.deepEqual(kept.take(["a", "b", "c", "d"]), ["b", "c", "d"]);
    assert.deepEqual(kept.take(["b"]), []);
  });
});
