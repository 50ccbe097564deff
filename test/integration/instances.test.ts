import assert from "node:assert/strict";
import { limits } from "../../src/base/limits.js";
import { finished } from "../e2e/cluster.js";
import { allGone, isThere, TestCluster, words } from "./cluster.js";

describe("integration/instances: a service's processes on two workers", function () {
  this.timeout(60_000);
  const cluster = new TestCluster();
  before(() => cluster.start("w1", "w2"));
  after(() => cluster.stop());

  it("an instance that is killed with requests on board costs no row and doubles none", async () => {
    const plain = words("plain", 60);
    const { submitted, marks, rows, deadLetters } = await cluster.tell([["hold-0", "hold-1", ...plain]], {
      instances: 2,
      workMs: 5,
    });
    const victim = await marks.until("an instance that is busy with a word that holds it", async () => {
      return (await marks.instances()).find((one) => one.words.some((word) => word.startsWith("hold-")));
    });
    process.kill(victim.pid, "SIGKILL");
    await marks.release();
    const ended = await submitted.ended;
    finished(ended);
    // What that instance had: a call under way, and one that waited.
    assert.match(ended.stdout, /service told: 62 rows in \d+ calls, duplicate_calls [1-4]$/m);
    const published = await rows();
    assert.deepEqual(published.map(({ word }) => word).sort(), ["hold-0", "hold-1", ...plain].sort());
    const held = victim.words.at(-1)!;
    const servedBy = published.find(({ word }) => word === held)?.instance;
    assert.notEqual(servedBy, victim.instance, `${held} was on board of ${victim.instance} and was served again`);
    assert.deepEqual(await deadLetters(), []);
    await allGone(await marks.pids());
  });

  it(`a row that kills its instance is a dead letter after ${limits.inferCrashesMax} of them; the others are served`, async () => {
    const before = words("before", 10);
    const after = words("after", 30);
    // A file of its own: rows that share its request share its fate.
    const texts = [before, ["poison-0"], after];
    const { submitted, marks, rows, deadLetters } = await cluster.tell(texts, { instances: 2, workMs: 5 });
    const ended = await submitted.ended;
    finished(ended);
    assert.match(ended.stdout, /service told: 41 rows .*duplicate_calls \d+, refused_rows 1$/m);
    assert.deepEqual((await rows()).map(({ word }) => word).sort(), [...before, ...after].sort());
    const letters = await deadLetters();
    assert.deepEqual(
      letters.map(({ code, record }) => [code, JSON.parse(record)]),
      [["MILL_SERVICE_LOST", { word: "poison-0" }]],
    );
    assert.match(letters[0]!.message, new RegExp(`${limits.inferCrashesMax} instances that were lost.*SIGKILL`));
    const killed = (await marks.instances()).filter((one) => one.words.includes("poison-0"));
    assert.equal(killed.length, limits.inferCrashesMax);
    await allGone(await marks.pids());
  });

  it("two instances share the load: neither gets less than a quarter", async () => {
    const all = words("plain", 200);
    // Long enough that one which stands still for two seconds meanwhile has its quarter all the same.
    const { submitted, marks, rows } = await cluster.tell([all], { instances: 2, workMs: 30 });
    const ended = await submitted.ended;
    finished(ended);
    assert.doesNotMatch(ended.stdout, /service told/, "nothing was paid for twice, so nothing is said");
    const served = new Map<string, number>();
    for (const { instance } of await rows()) served.set(instance, (served.get(instance) ?? 0) + 1);
    assert.deepEqual([...served.keys()].sort(), ["told-1-0", "told-1-1"]);
    assert.ok(
      [...served.values()].every((count) => count >= all.length / 4),
      `rows by instance: ${JSON.stringify([...served])}`,
    );
    for (const pid of await marks.pids()) assert.ok(!isThere(pid), `process ${pid} outlived its job`);
  });
});
