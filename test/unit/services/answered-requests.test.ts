import assert from "node:assert/strict";
import { AnsweredRequests } from "../../../src/services/answered-requests.js";

describe("services/answered-requests: rows of requests that were answered", () => {
  it("are given once, by the name of their request", () => {
    const answered = new AnsweredRequests(10);
    answered.add("one", ["a", "b"]);
    answered.add("none", []);
    assert.deepEqual(answered.take("one"), ["a", "b"]);
    assert.deepEqual([answered.take("one"), answered.take("none")], [[], []]);
  });

  it("are bounded in rows; the oldest are forgotten first, and a request that came again is not the oldest", () => {
    const answered = new AnsweredRequests(4);
    answered.add("one", ["a", "b"]);
    answered.add("two", ["c"]);
    answered.add("one", ["a", "b"]);
    answered.add("three", ["d", "e"]);
    assert.deepEqual(
      [answered.take("two"), answered.take("one"), answered.take("three")],
      [[], ["a", "b"], ["d", "e"]],
    );
    answered.add("large", ["a", "b", "c", "d", "e"]);
    assert.deepEqual(answered.take("large"), []);
  });
});
