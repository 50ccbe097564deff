/**
 * What every transactional sink must do: W1 to W4 of `src/topology/endpoints.ts`, with a crash between any two steps.
 *
 * A *life* is what one attempt of a region does with a writer: it writes, cuts checkpoints, creates manifests and
 * commits. The *world* is what outlives it: the region's log of manifests and fences, and the place that is written to.
 * Everything that leaves the life passes its `Guard`, which counts steps and dies, or stands still, at the chosen one.
 * So the suite does not know a list of dangerous moments; it tries them all.
 */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import type { SinkWriter } from "../../src/topology/endpoints.js";
import { batchFromRows } from "../../src/types/batches.js";
import { t } from "../../src/types/columns.js";
import { within } from "./bus-support.js";
import { Died, type Fault, type FaultKind, Guard } from "./sink-guard.js";

export const sinkColumns = { n: t.int32, text: t.utf8 };

/** One place that a sink writes to, as fresh as a new job finds it. */
export interface SinkPlace {
  /** The writer of an attempt; whatever it does outside of this process goes through `guard`. */
  open(attempt: number, guard: Guard): Promise<SinkWriter>;
  /** `n` of every row that a reader finds now. Fails when anything that a reader sees is not whole. */
  published(): Promise<number[]>;
  /** What is there and no reader sees: staged files. */
  leftovers(): Promise<string[]>;
  close(): Promise<void>;
}

export interface SinkSystem {
  place(): Promise<SinkPlace>;
  stop(): Promise<void>;
}

export interface SinkConformanceOptions {
  /** Faults that the steps of this system can have. */
  readonly kinds?: readonly FaultKind[];
  /** Two crashes, at every pair of steps: only where a life costs next to nothing. Default false. */
  readonly pairs?: boolean;
}

/** Rows by input batch; the empty one must not show. */
const INPUT: readonly (readonly number[])[] = [[1, 2], [3], [4, 5, 6], [], [7], [8, 9]];
const EXPECTED = INPUT.flat();
/** After which inputs a checkpoint is cut, and after which everything that was cut is seen through. */
const CUTS = new Set([0, 2, 3, 4]);
const SETTLES = new Set([2, 3, 4]);

/** A second crash is tried at the steps of the recovery and a few more. */
const RECOVERY_STEPS = 10;

interface Manifest {
  readonly attempt: number;
  readonly checkpoint: bigint;
  /** Inputs that the checkpoint covers. */
  readonly position: number;
  readonly pending: readonly Uint8Array[];
}

class World {
  /** COMMIT and FENCE, as in the region's log: a checkpoint's number is a place in it. */
  readonly #log: (Manifest | { readonly fence: number })[] = [];

  constructor(readonly place: SinkPlace) {}

  get newest(): Manifest | undefined {
    return this.#log.findLast((record): record is Manifest => "pending" in record);
  }

  get next(): bigint {
    return BigInt(this.#log.length + 1);
  }

  fence(attempt: number): void {
    this.#log.push({ fence: attempt });
  }

  /** A higher attempt has its fence in the log. */
  isReplaced(attempt: number): boolean {
    return this.#log.some((record) => "fence" in record && record.fence > attempt);
  }

  /** @returns false: the attempt is replaced */
  commit(manifest: Manifest): boolean {
    if (this.isReplaced(manifest.attempt)) return false;
    this.#log.push(manifest);
    return true;
  }

  /** A reader finds no row twice, and none that no manifest covers. */
  async check(when: string): Promise<void> {
    const rows = await this.place.published();
    const covered = new Set(INPUT.slice(0, this.newest?.position ?? 0).flat());
    assert.deepEqual(
      rows.filter((row) => !covered.has(row)),
      [],
      `${when}: rows that no manifest covers`,
    );
    assert.equal(new Set(rows).size, rows.length, `${when}: rows twice: ${rows}`);
  }

  async checkEnd(when: string): Promise<void> {
    const rows = await this.place.published();
    assert.deepEqual(
      rows.sort((a, b) => a - b),
      EXPECTED,
      `${when}: what is published`,
    );
  }
}

interface Cut {
  readonly checkpoint: bigint;
  readonly position: number;
  readonly prepared: Promise<Uint8Array>;
}

class Life {
  #writer: SinkWriter | undefined;
  #cuts: Cut[] = [];
  #pending: Uint8Array[] = [];
  #uncut = 0n;

  constructor(
    private readonly world: World,
    private readonly attempt: number,
    private readonly guard: Guard,
    private readonly onRecovered: () => Promise<void> = async () => {},
  ) {}

  /** To the end of the input, or to what the guard does. */
  async run(): Promise<"finished" | "died" | "fenced"> {
    try {
      return await this.#run();
    } catch (error) {
      if (error instanceof Died) return "died";
      if (!this.world.isReplaced(this.attempt)) throw error;
      await this.#writer?.abort();
      return "fenced"; // nobody hears of it
    } finally {
      await this.guard.settled();
    }
  }

  async #run(): Promise<"finished" | "fenced"> {
    const manifest = this.world.newest;
    const writer = await this.world.place.open(this.attempt, this.guard);
    this.#writer = writer;
    if (this.attempt > 1) {
      await this.guard.pass("before recover");
      await writer.recover(manifest?.pending ?? []);
      await this.onRecovered();
    }
    for (let i = manifest?.position ?? 0; i < INPUT.length; i++) {
      await writer.room?.();
      await writer.write(batchOf(INPUT[i]!));
      if (CUTS.has(i)) this.#cut(writer, i + 1);
      if (SETTLES.has(i) && !(await this.#settle(writer))) return "fenced";
    }
    writer.end?.();
    this.#cut(writer, INPUT.length);
    return (await this.#settle(writer)) ? "finished" : "fenced";
  }

  /** Not awaited: what is written next must belong to the next checkpoint all the same. */
  #cut(writer: SinkWriter, position: number): void {
    const checkpoint = this.world.next + this.#uncut;
    this.#uncut += 1n;
    const prepared = this.#acknowledged(writer.prepare(checkpoint));
    prepared.catch(() => {});
    this.#cuts.push({ checkpoint, position, prepared });
  }

  async #acknowledged(preparing: Promise<Uint8Array>): Promise<Uint8Array> {
    const prepared = await preparing;
    await this.guard.pass("before prepare is acknowledged");
    return prepared;
  }

  /** Manifests first, all of them, then the commits: so several are pending in the last one. */
  async #settle(writer: SinkWriter): Promise<boolean> {
    for (const { checkpoint, position, prepared } of this.#cuts) {
      this.#pending.push(await prepared);
      const manifest = { attempt: this.attempt, checkpoint, position, pending: [...this.#pending] };
      const created = await this.guard.pass("the manifest", async () => this.world.commit(manifest));
      if (!created) {
        await writer.abort();
        return false;
      }
    }
    this.#cuts = [];
    this.#uncut = 0n;
    for (const prepared of this.#pending) {
      await writer.commit(prepared);
      await this.guard.pass("after a commit");
    }
    this.#pending = [];
    return true;
  }
}

function batchOf(numbers: readonly number[]): RecordBatch {
  return batchFromRows(
    sinkColumns,
    numbers.map((n) => ({ n, text: `row ${n}` })),
  ) as unknown as RecordBatch;
}

/** Attempts one after another, each with its fault, until one comes to the end of the input. */
async function live(place: SinkPlace, faults: readonly Fault[]): Promise<{ readonly world: World; last: Guard }> {
  const world = new World(place);
  for (let attempt = 1; ; attempt++) {
    if (attempt > 1) world.fence(attempt);
    const guard = new Guard(faults[attempt - 1]);
    const ended = await within(`attempt ${attempt} to end`, new Life(world, attempt, guard).run());
    const when = `attempt ${attempt} ${ended} at ${guard.last}`;
    await world.check(when);
    if (ended === "finished") {
      await world.checkEnd(when);
      return { world, last: guard };
    }
    assert.ok(attempt <= faults.length, `attempt ${attempt} had no fault and ${ended} at ${guard.last}`);
  }
}

export function sinkConformance(
  name: string,
  make: () => Promise<SinkSystem>,
  { kinds = ["before", "after"], pairs = false }: SinkConformanceOptions = {},
): void {
  describe(`conformance/sink: ${name}`, () => {
    let system: SinkSystem;
    const opened: SinkPlace[] = [];
    const place = async () => {
      const made = await system.place();
      opened.push(made);
      return made;
    };
    before(async () => {
      system = await make();
    });
    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close();
    });
    after(() => system.stop());

    /** Steps of a life without a fault. */
    const stepsOf = async () => (await live(await place(), [])).last.steps;
    /** All at a time, each in a place of its own. */
    const atEveryStep = async (act: (at: number) => Promise<void>) => {
      const steps = await stepsOf();
      await Promise.all(Array.from({ length: steps }, (_, i) => act(i + 1)));
    };

    it("publishes every row once, and leaves nothing else", async () => {
      const mine = await place();
      await live(mine, []);
      assert.deepEqual(await mine.leftovers(), []);
    });

    it("publishes nothing before commit", async () => {
      const mine = await place();
      const writer = await mine.open(1, new Guard());
      await writer.write(batchOf([1]));
      const prepared = await writer.prepare(1n);
      assert.deepEqual(await mine.published(), []);
      await writer.commit(prepared);
      assert.deepEqual(await mine.published(), [1]);
    });

    it("cuts before prepare returns its promise, also while others are under way (W1)", async () => {
      const mine = await place();
      const writer = await mine.open(1, new Guard());
      await writer.write(batchOf([1]));
      const one = writer.prepare(1n);
      await writer.write(batchOf([2]));
      const two = writer.prepare(2n);
      await writer.write(batchOf([3]));
      await writer.commit(await one);
      assert.deepEqual(await mine.published(), [1]);
      await writer.commit(await two);
      assert.deepEqual((await mine.published()).sort(), [1, 2]);
    });

    it("has nothing to publish for a checkpoint without rows", async () => {
      const mine = await place();
      const writer = await mine.open(1, new Guard());
      await writer.write(batchOf([]));
      await writer.commit(await writer.prepare(1n));
      await writer.commit(await writer.prepare(2n));
      assert.deepEqual(await mine.published(), []);
      assert.deepEqual(await mine.leftovers(), []);
    });

    it("changes nothing when it commits again: at once, and from another attempt's writer (W3)", async () => {
      const mine = await place();
      const writer = await mine.open(1, new Guard());
      await writer.write(batchOf([1, 2]));
      const prepared = await writer.prepare(1n);
      await Promise.all([writer.commit(prepared), writer.commit(prepared)]);
      await writer.commit(prepared);
      await (await mine.open(2, new Guard())).commit(prepared);
      assert.deepEqual((await mine.published()).sort(), [1, 2]);
    });

    it("abort drops what was not prepared and keeps what was", async () => {
      const mine = await place();
      const writer = await mine.open(1, new Guard());
      await writer.write(batchOf([1]));
      const prepared = await writer.prepare(1n);
      await writer.write(batchOf([2]));
      await writer.abort();
      const second = await mine.open(2, new Guard());
      await second.recover([prepared]);
      await second.commit(await second.prepare(3n));
      assert.deepEqual(await mine.published(), [1]);
      assert.deepEqual(await mine.leftovers(), []);
    });

    it("recover removes what no manifest names, and only what lower attempts staged", async () => {
      const mine = await place();
      const [first, third] = [await mine.open(1, new Guard()), await mine.open(3, new Guard())];
      await first.write(batchOf([1]));
      await third.write(batchOf([3]));
      await first.prepare(1n);
      const kept = await third.prepare(3n);
      await (await mine.open(2, new Guard())).recover([]);
      await third.commit(kept);
      assert.deepEqual(await mine.published(), [3]);
      assert.deepEqual(await mine.leftovers(), []);
    });

    for (const kind of kinds) {
      it(`survives a crash ${kind} any step (W2, W3)`, async function () {
        this.timeout(60_000);
        await atEveryStep(async (at) => {
          const mine = await place();
          await live(mine, [{ at, kind }]);
          assert.deepEqual(await mine.leftovers(), [], `leftovers after a crash ${kind} step ${at}`);
        });
      });
    }

    if (pairs) {
      it("survives two crashes at any two steps (W2, W3)", async function () {
        this.timeout(60_000);
        const steps = await stepsOf();
        for (let first = 1; first <= steps; first++) {
          for (let second = 1; second <= Math.min(steps, RECOVERY_STEPS); second++) {
            const kind = kinds[(first + second) % kinds.length]!;
            await live(await place(), [
              { at: first, kind },
              { at: second, kind },
            ]);
          }
        }
      });
    }

    for (const order of [
      "while the new attempt recovers",
      "after it has recovered",
      "after it has finished",
    ] as const) {
      it(`a zombie that stood still at any step and goes on ${order} changes nothing (W4)`, async function () {
        this.timeout(60_000);
        await atEveryStep(async (at) => {
          const world = new World(await place());
          const guard = new Guard({ at, kind: "pause" });
          const zombie = new Life(world, 1, guard).run();
          await within(`the first attempt to stand still at step ${at}`, guard.paused);
          world.fence(2);
          const goOn = () => {
            guard.resume();
            return zombie;
          };
          const meanwhile = order === "while the new attempt recovers" ? goOn() : undefined;
          const wait = order === "after it has recovered" ? async () => void (await goOn()) : undefined;
          const second = await within("the second attempt", new Life(world, 2, new Guard(), wait).run());
          const when = `zombie at step ${at}, ${guard.pausedAt}, ${order}`;
          assert.equal(second, "finished", when);
          const first = await within("the zombie to end", meanwhile ?? goOn());
          assert.notEqual(first, "died", when);
          await world.checkEnd(when);
          await (await world.place.open(3, new Guard())).recover(world.newest?.pending ?? []);
          assert.deepEqual(await world.place.leftovers(), [], when);
          await world.checkEnd(`${when}, then recovered once more`);
        });
      });
    }
  });
}
