import { MemoryBus } from "../../src/bus/memory-bus.js";
import { busConformance } from "./bus.js";

busConformance("memory", async (ports) => {
  const first = new MemoryBus(ports);
  return { bus: async () => first.connect(), stop: () => first.close() };
});
