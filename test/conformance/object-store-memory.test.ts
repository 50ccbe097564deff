import { MemoryStore } from "../../src/storage/memory-store.js";
import { objectStoreConformance } from "./object-store.js";

objectStoreConformance("memory", async () => {
  const places = new Map<string, MemoryStore>();
  return {
    open(place) {
      const store = places.get(place) ?? new MemoryStore();
      places.set(place, store);
      return store;
    },
    async stop() {},
  };
});
