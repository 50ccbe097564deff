/** A child that says it may be silent for a while, and then, told to, blocks its thread for ever. */
import { sayAlive } from "../../../src/cli/silence.js";

sayAlive(300);
process.on("message", () => {
  for (;;);
});
setInterval(() => {}, 1_000);
