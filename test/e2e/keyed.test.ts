/**
 * Counts by key when hosts are killed in the middle: exact, whatever was under way. Readers and counters are on two hosts, with a
 * hash exchange over NATS between them. Real processes, NATS, S3.
 */
import assert from "node:assert/strict";
import { Cluster, finished } from "./cluster.js";

interface Count {
  readonly initial: string;
  readonly words: number;
  readonly longest: string;
}

describe("e2e: counts by key, and hosts that are killed", function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let words: string[];

  before(async () => {
    cluster = await Cluster.start("w1", "w2");
    words = await cluster.writeWords(140, 5, "abcdefghijklmnopqr");
  });
  after(() => cluster.stop());

  /** What a plain loop counts, letter by letter. */
  function counts(): Map<string, Count> {
    const found = new Map<string, Count>();
    for (const word of words) {
      const initial = word[0]!;
      const { words: before, longest } = found.get(initial) ?? { words: 0, longest: "" };
      const longer = word.length > longest.length || (word.length === longest.length && word < longest);
      found.set(initial, { initial, words: before + 1, longest: longer ? word : longest });
    }
    return found;
  }

  async function runWithKills(output: string, emit: string): Promise<Count[]> {
    const job = await cluster.submit("count-words", output, { emit, pauseMs: 500 });
    await job.killHosts(3);
    await cluster.release(output);
    finished(await job.ended);
    return cluster.rows(output);
  }

  it("one count for each key at the end, of every word once (rules 1, 2, 7)", async () => {
    const rows = await runWithKills("at-end", "end");
    const byLetter = (a: Count, b: Count) => (a.initial < b.initial ? -1 : 1);
    assert.deepEqual(rows.sort(byLetter), [...counts().values()].sort(byLetter));
  });

  it("every change of a count comes out once: 1, 2, 3, ... for each key (rules 1, 2)", async () => {
    const rows = await runWithKills("changes", "changes");
    assert.equal(rows.length, words.length);
    for (const { initial, words: total, longest } of counts().values()) {
      const own = rows.filter((row) => row.initial === initial).sort((a, b) => a.words - b.words);
      assert.deepEqual(
        own.map((row) => row.words),
        Array.from({ length: total }, (_, i) => i + 1),
        `counts of ${initial}`,
      );
      assert.equal(own.at(-1)!.longest, longest);
    }
  });
});
