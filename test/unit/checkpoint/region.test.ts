import assert from "node:assert/strict";
import { decideRegion, dueInMs, type Failure } from "../../../src/checkpoint/region.js";
import { decide, final, host, kinds, member, passing, policy, region } from "./region-facts.js";

describe("checkpoint/region: from the log to running", () => {
  it("reads the log first, then fences the place behind it, then places (C4, rule 1)", () => {
    assert.deepEqual(kinds(decide({ phase: "OPENING" })), ["read-log"]);
    assert.deepEqual(decide({ phase: "FENCING" }), [{ kind: "fence", number: 5n }]);
    assert.deepEqual(decide({ phase: "FENCING", writing: true }), []);
    assert.deepEqual(kinds(decide({ phase: "PLACING" })), ["place"]);
  });

  it("deploys each host's actors with the newest commit, again until it is acknowledged (C4)", () => {
    const hosts = [host("h1", { deployed: false }), host("h2")];
    assert.deepEqual(decide({ phase: "DEPLOYING", committed: 3n, hosts }), [
      { kind: "deploy", host: "h1", actors: ["a"], checkpoint: 3n },
    ]);
  });

  it("starts nobody before every host has acknowledged its part (C5)", () => {
    const waiting = [host("h1", { started: false }), host("h2", { deployed: false, started: false })];
    assert.deepEqual(kinds(decide({ phase: "DEPLOYING", hosts: waiting })), ["deploy"]);
    const unplaced = [member("a", "h1"), member("b", "")];
    assert.deepEqual(decide({ phase: "DEPLOYING", hosts: [host("h1")], members: unplaced }), []);
    const ready = waiting.map((one) => ({ ...one, deployed: true }));
    assert.deepEqual(kinds(decide({ phase: "DEPLOYING", hosts: ready })), ["start", "start", "enter"]);
  });

  it("an inherited attempt goes on as a whole, waits for those that may still tell of themselves, or starts again (C8)", () => {
    const inherited = { phase: "PLACING", inherited: true } as const;
    assert.deepEqual(decide(inherited), [{ kind: "enter", phase: "RUNNING" }]);
    for (const missing of [
      member("b", ""),
      member("b", "h2", { state: undefined }),
      member("b", "h2", { state: "FAILED" }),
    ]) {
      const members = [member("a", "h1"), missing];
      assert.deepEqual(decide({ ...inherited, members, adopting: true }), []);
      assert.deepEqual(kinds(decide({ ...inherited, members })), ["restart"]);
    }
  });
});

describe("checkpoint/region: checkpoints", () => {
  it("opens one when it is due, at the next place of the log, and no second one (C1)", () => {
    assert.deepEqual(decide({ sinceCheckpointMs: 999 }), []);
    assert.deepEqual(decide({ sinceCheckpointMs: 1_000 }), [{ kind: "open-checkpoint", checkpoint: 5n }]);
    const open = { checkpoint: 5n, ageMs: 0 };
    assert.deepEqual(kinds(decide({ sinceCheckpointMs: 9_000, open })), ["trigger", "trigger"]);
  });

  it("the time until one is due is never less than a timer's millisecond, unless it is due now", () => {
    const left = (sinceCheckpointMs: number) => dueInMs(region({ sinceCheckpointMs }), policy);
    assert.equal(left(400), 600);
    assert.equal(left(999.999_999_999_5), 1, "else a timer of no length goes off again and again");
    assert.equal(left(1_000), 0);
    assert.equal(dueInMs(region({ phase: "DEPLOYING" }), policy), Number.POSITIVE_INFINITY);
  });

  it("commits when every actor has acknowledged; until then it triggers those that have not (C2)", () => {
    const open = { checkpoint: 5n, ageMs: 1 };
    const one = [member("a", "h1", { acknowledged: true }), member("b", "h2")];
    assert.deepEqual(decide({ open, members: one }), [{ kind: "trigger", host: "h2", checkpoint: 5n }]);
    const both = one.map((each) => ({ ...each, acknowledged: true }));
    assert.deepEqual(decide({ open, members: both }), [{ kind: "commit", checkpoint: 5n }]);
    assert.deepEqual(decide({ open, members: both, writing: true }), []);
  });

  it("gives one up after its time by taking its place in the log (C3)", () => {
    assert.deepEqual(decide({ open: { checkpoint: 5n, ageMs: 5_001 } }), [{ kind: "give-up", checkpoint: 5n }]);
  });

  it("takes the last one at once when every actor is finished (rule 7)", () => {
    const members = [member("a", "h1", { state: "FINISHED" }), member("b", "h2", { state: "FINISHED" })];
    const never = { ...policy, checkpointIntervalMs: 0 };
    assert.deepEqual(kinds(decideRegion(region({ members }), never)), ["open-checkpoint"]);
    assert.deepEqual(decideRegion(region({ sinceCheckpointMs: 1e9 }), never), []);
  });

  it("tells of the newest commit until every output has followed (rule 5)", () => {
    const members = [member("a", "h1", { published: 3n }), member("b", "h2", { published: 2n })];
    assert.deepEqual(decide({ committed: 3n, members }), [{ kind: "complete", host: "h2", checkpoint: 3n }]);
  });

  it("is over when the last commit is finished and published, whatever becomes of its hosts then (C6)", () => {
    const members = [member("a", "h1", { published: 4n }), member("b", "h2", { published: 3n })];
    const facts = { committed: 4n, finished: true, members };
    assert.deepEqual(kinds(decide(facts)), ["complete"]);
    const all = members.map((one) => ({ ...one, published: 4n }));
    const hosts = [host("h1"), host("h2", { state: "gone", failure: passing })];
    assert.deepEqual(kinds(decide({ ...facts, members: all, hosts })), ["stop", "enter"]);
    assert.deepEqual(decide({ phase: "FINISHED" }), []);
  });
});

describe("checkpoint/region: failures", () => {
  it("an attempt after several that failed waits for its pause, and says when it is due", () => {
    const waits = { phase: "PLACING", inherited: false, waitMs: 700.5 } as const;
    assert.deepEqual(kinds(decide(waits)), []);
    assert.equal(dueInMs(region(waits), policy), 701);
    assert.deepEqual(kinds(decide({ ...waits, waitMs: 0 })), ["place"]);
  });

  const lost = [host("h1"), host("h2", { state: "gone", failure: passing })];

  for (const phase of ["DEPLOYING", "RUNNING"] as const) {
    it(`${phase}: the loss of a host stops the others and begins the next attempt (C7)`, () => {
      assert.deepEqual(decide({ phase, hosts: lost }), [
        { kind: "stop", host: "h1" },
        { kind: "restart", failure: passing },
      ]);
    });
  }

  it("waits for the outcome of a record that is being written: it may be the commit", () => {
    assert.deepEqual(decide({ hosts: lost, writing: true }), []);
  });

  it("a host of which nothing is known is a lost one", () => {
    assert.deepEqual(kinds(decide({ hosts: [host("h1"), host("h2", { state: "gone" })] })), ["stop", "restart"]);
  });

  it("what trying again does not mend fails the job; so do too many failures without a checkpoint between them", () => {
    const members = [member("a", "h1", { state: "FAILED", failure: final }), member("b", "h2")];
    assert.deepEqual(decide({ members }), [{ kind: "fail", failure: final }]);
    const [action] = decide({ hosts: lost, failures: 2 });
    assert.equal(action!.kind, "fail");
    assert.match((action as { failure: Failure }).failure.message, /3 times in a row/);
  });
});

describe("checkpoint/region: checkpoints that are given up, and those that a savepoint asks for", () => {
  it("as many in a row as are allowed start the region again, like any failure (C9)", () => {
    assert.deepEqual(decide({ givenUp: 2 }), []);
    const [stop, , restart] = decide({ givenUp: 3 });
    assert.equal(stop?.kind, "stop");
    assert.ok(restart?.kind === "restart" && restart.failure.code === "MILL_CHECKPOINT_FAILED");
    assert.match(restart.failure.message, /3 checkpoints in a row were given up/);
    assert.deepEqual(kinds(decide({ givenUp: 3, failures: policy.failuresMax })), ["fail"]);
    assert.deepEqual(decide({ givenUp: 3, writing: true }), [], "the outcome of what is being written decides");
  });

  it("one that is asked for is opened at once, due or not, behind the open one (C10, C1)", () => {
    assert.deepEqual(decide({ wanted: true }), [{ kind: "open-checkpoint", checkpoint: 5n }]);
    const open = { checkpoint: 5n, ageMs: 0 };
    assert.deepEqual(kinds(decide({ wanted: true, open })), ["trigger", "trigger"]);
    const over = { finished: true, committed: 4n };
    assert.deepEqual(decide({ ...over, wanted: true }), decide(over), "a region that is over has its last commit");
  });

  it("a region that is held opens no other (C10)", () => {
    assert.deepEqual(decide({ held: true, sinceCheckpointMs: 9_000 }), []);
    assert.equal(dueInMs(region({ held: true }), policy), Number.POSITIVE_INFINITY);
    assert.deepEqual(kinds(decide({ held: true, wanted: true })), ["open-checkpoint"]);
  });
});

describe("checkpoint/region: a paused job (C11)", () => {
  const committed = [member("a", "h1", { sinksPublished: 3n }), member("b", "h2", { sinksPublished: 3n })];

  it("rests behind a checkpoint that was opened for it, once that is published", () => {
    assert.deepEqual(kinds(decide({ paused: true, wanted: true })), ["open-checkpoint"]);
    const open = { checkpoint: 5n, ageMs: 0 };
    assert.deepEqual(kinds(decide({ paused: true, wanted: true, open })), ["trigger", "trigger"]);
    const behind = [committed[0]!, member("b", "h2", { sinksPublished: 2n })];
    assert.ok(!kinds(decide({ paused: true, committed: 3n, members: behind })).includes("rest"));
    assert.deepEqual(kinds(decide({ paused: true, committed: 3n, members: committed })), ["stop", "stop", "rest"]);
    assert.ok(!kinds(decide({ paused: true, committed: 3n, members: committed, writing: true })).includes("rest"));
  });

  it("does not wait for a durable exchange, whose log may be full for as long as its readers rest", () => {
    const members = committed.map((one) => ({ ...one, published: 1n }));
    assert.ok(kinds(decide({ paused: true, committed: 3n, members })).includes("rest"));
  });

  it("is not placed while it is paused, whoever leads, and is when it goes on", () => {
    const gone = [member("a", ""), member("b", "")];
    for (const inherited of [true, false]) {
      assert.deepEqual(decide({ phase: "PLACING", paused: true, inherited, members: gone }), []);
      assert.notDeepEqual(decide({ phase: "PLACING", inherited, members: gone }), []);
    }
    const works = { phase: "PLACING", paused: true, inherited: true } as const;
    assert.deepEqual(
      decide(works),
      [{ kind: "enter", phase: "RUNNING" }],
      "a new leader has to know what it lets rest",
    );
  });

  it("what has failed meanwhile starts again; what is over ends", () => {
    const failed = [member("a", "h1", { state: "FAILED", failure: passing }), member("b", "h2")];
    assert.ok(kinds(decide({ paused: true, members: failed })).includes("restart"));
    const over = committed.map((one) => ({ ...one, published: 3n }));
    assert.deepEqual(kinds(decide({ paused: true, finished: true, committed: 3n, members: over })).at(-1), "enter");
  });
});
