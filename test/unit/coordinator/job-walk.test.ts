/** A walk at random through what can happen to a job; its world and the faults in it are in `job-world.ts`. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { limits } from "../../../src/base/limits.js";
import type { JobState } from "../../../src/wire/control.js";
import { ENDED, World } from "./job-world.js";

const pick = <T>(from: Iterable<T>, at: number): T | undefined => {
  const all = [...from];
  return all[at % Math.max(all.length, 1)];
};

type Event = (world: World, at: number) => void | Promise<void>;

/** One event of the walk. Harmless ones are named more often, so that some walks come far. */
const EVENTS: Readonly<Record<string, Event>> = {
  join: (world) => {
    if (world.workers.size < 3) world.join();
  },
  decide: (world) => world.decide(),
  beat: (world) => world.decide(true),
  pass: (world) => world.ports.clock.freeze(limits.heartbeatIntervalMs),
  work: (world, at) => {
    const host = pick(world.hosts.values(), at);
    if (host !== undefined) world.work(host);
  },
  ripen: (world, at) => {
    const one = pick(world.instances.values(), at);
    if (one !== undefined) world.ripen(one);
  },
  reportAll: (world) => world.reportAll(),
  reportWorker: (world, at) => {
    const name = pick(world.workers.keys(), at);
    if (name !== undefined) world.reportWorker(name);
  },
  reportHost: (world, at) => {
    const name = pick(world.hosts.keys(), at);
    if (name !== undefined) world.reportHost(name);
  },
  reportInstance: (world, at) => {
    const name = pick(world.instances.keys(), at);
    if (name !== undefined) world.reportInstance(name);
  },
  deliver: (world, at) => world.deliver(at),
};

const FAULTS: Readonly<Record<string, Event>> = {
  drainWorker: (world, at) => {
    const one = pick(world.workers.values(), at);
    if (one !== undefined) one.draining = true;
  },
  killWorker: (world, at) => {
    const name = pick(world.workers.keys(), at);
    if (name !== undefined) world.killWorker(name);
  },
  killHost: (world, at) => {
    const host = pick(world.hosts.values(), at);
    if (host !== undefined) host.exited = true;
  },
  killInstance: (world, at) => {
    const one = pick(world.instances.values(), at);
    if (one !== undefined && one.state !== "STOPPED") one.state = "FAILED";
  },
  failActor: (world, at) => {
    const host = pick(world.hosts.values(), at);
    const region = host && pick(host.regions.values(), at);
    const one = region && pick(region.actors.values(), at);
    if (one !== undefined && one.state !== "DEPLOYED") one.state = "FAILED";
  },
  silence: (world) => world.silence(),
  takeOver: (world) => world.takeOver(),
  pause: (world, at) => world.book.wish((wishes) => wishes.pause(at % 2 === 0)),
  scale: (world, at) => world.book.wish((wishes) => wishes.scale("model", at % 4)),
  retire: (world, at) => {
    const one = pick(world.instances.keys(), at);
    if (one !== undefined) world.book.wish((wishes) => wishes.retire(one));
  },
  cancel: (world) => world.book.cancel(),
  stop: (world) => world.book.wish((wishes) => wishes.stop()),
};

const CALM_ROUNDS_MAX = 80;

describe("coordinator/job: a walk at random", () => {
  const step = (events: object) =>
    fc.tuple(fc.constantFrom(...Object.keys(events)), fc.nat({ max: 10 }), fc.integer({ min: 0, max: 9 }));
  const event = step(EVENTS);
  const { cancel: _, stop: __, ...mended } = FAULTS;
  const walkWith = (faults: object) =>
    fc.array(fc.oneof({ weight: 12, arbitrary: event }, { weight: 1, arbitrary: step(faults) }), {
      maxLength: 100,
      size: "max",
    });

  async function run(steps: readonly (readonly [string, number, number])[]): Promise<World> {
    let lossy = false;
    const world = new World(() => lossy);
    const checkLater = async () => {
      for (const check of world.later.splice(0)) await check();
    };
    world.join();
    for (const [name, at, dice] of steps) {
      lossy = dice < 2;
      await (EVENTS[name] ?? FAULTS[name])!(world, at);
      await checkLater();
    }
    lossy = false;
    // Calm: from here on nothing is lost, a worker takes work, and the job may go on.
    world.join();
    world.book.wish((wishes) => {
      wishes.pause(false);
      wishes.scale("model", 2);
    });
    for (let round = 0; round < CALM_ROUNDS_MAX && !ENDED.includes(world.state); round++) {
      world.reportAll();
      await world.decide(true);
      await checkLater();
      world.progress();
      await world.ports.clock.freeze(limits.heartbeatIntervalMs / 2);
    }
    return world;
  }

  it("deploys only what is fenced (C4), starts only what is deployed (C5), commits only what all have said (C2), one host per worker (J1), one giver of splits (J7), keeps the first error (J3), leaves nothing running (J4), ends (J2)", async () => {
    const ends = new Map<JobState, number>();
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(walkWith(FAULTS), async (steps) => {
        const world = await run(steps);
        assert.ok(ENDED.includes(world.state), `still ${world.state} after ${CALM_ROUNDS_MAX} calm rounds`);
        ends.set(world.state, (ends.get(world.state) ?? 0) + 1);
        if (world.takeovers > 0 && world.state === "FINISHED") taken += 1;
      }),
      { numRuns: 250 },
    );
    for (const end of ["FINISHED", "CANCELLED"] as const) {
      assert.ok((ends.get(end) ?? 0) > 10, `too few walks came to ${end}: ${[...ends]}`);
    }
    assert.ok(taken > 10, `too few jobs were taken up and finished: ${taken}`);
  });

  it("without faults it finishes in its first attempt, whatever the order of reports and looks", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step(EVENTS), { maxLength: 60 }), async (steps) => {
        const world = await run(steps.map(([name, at]) => [name, at, 9]));
        assert.equal(world.state, "FINISHED");
        assert.ok([...world.book.regions.values()].every(({ attempt }) => attempt === 1));
      }),
      { numRuns: 60 },
    );
  });

  it("faults that pass never fail it with what is its own mistake", async () => {
    await fc.assert(
      fc.asyncProperty(walkWith(mended), async (steps) => {
        const world = await run(steps);
        const { code, message } = world.book.describe();
        if (world.state !== "FINISHED") assert.match(code, /^MILL_(WORKER_LOST|SERVICE_FAILED)$/, message);
      }),
      { numRuns: 60 },
    );
  });
});
