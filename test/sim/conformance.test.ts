/**
 * The simulated bus and store keep the contracts of their ports while no fault is on. Virtual time runs beside the real one
 * here, as fast as it can, because the suites are written for real servers.
 */
import { busConformance } from "../conformance/bus.js";
import { objectStoreConformance } from "../conformance/object-store.js";
import { FAULT_PROFILES, Faults } from "./faults.js";
import { SharedStore } from "./shared-store.js";
import { SimBus } from "./sim-bus.js";
import { SimWorld } from "./sim-clock.js";
import { SimNetwork } from "./sim-network.js";
import { SimProcess } from "./sim-process.js";
import { SimRandom } from "./sim-random.js";
import { SimStore } from "./sim-store.js";
import { Trace } from "./trace.js";

interface LiveWorld {
  readonly world: SimWorld;
  readonly faults: Faults;
  stop(): Promise<void>;
}

/** A world that runs by itself, next to real timers. */
function liveWorld(): LiveWorld {
  const random = new SimRandom("conformance");
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const world = new SimWorld(random, new Trace(undefined), () => ({ settle, openIo: () => "", release() {} }));
  const faults = new Faults(FAULT_PROFILES["one-attempt"], random);
  faults.active = false;
  let stopped = false;
  const run = async () => {
    while (!stopped) {
      await world.runUntil(() => stopped, world.nowMs + 1);
      await settle();
    }
  };
  const running = run();
  return {
    world,
    faults,
    stop() {
      stopped = true;
      return running;
    },
  };
}

busConformance("simulated", async (ports) => {
  const live = liveWorld();
  const network = new SimNetwork(live.world, live.faults);
  let connections = 0;
  return {
    bus: async () => new SimBus(new SimProcess(live.world, `p${connections++}`, "client", ports.log), network),
    stop: () => live.stop(),
  };
});

objectStoreConformance("simulated", async () => {
  const live = liveWorld();
  const shared = new SharedStore(live.world, live.faults);
  let views = 0;
  return {
    open: (place) => new SimStore(new SimProcess(live.world, `p${views++}`, "client"), shared, `${place}/`),
    stop: () => live.stop(),
  };
});
