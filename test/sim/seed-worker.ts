/** A process of `seed-pool.ts`: simulates one seed after another, until its parent has no more. */
import type { SeedOrder } from "./seed-pool.js";
import { simulate } from "./simulate.js";

process.on("message", (message) => {
  const { seed, profile } = message as SeedOrder;
  void simulate(seed, { profile }).then((result) => process.send?.(result));
});
