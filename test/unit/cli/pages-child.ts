/**
 * Holds eight payloads of 4 MB at a time, again and again, and says how many pages it got anew once it had done so a few times. Collects garbage when it
 * is over, not when V8 comes to it: how much is held then decides whether malloc gives any back.
 */
import { setTimeout as pause } from "node:timers/promises";

const PAYLOADS = 8;
const PAYLOAD_BYTES = 4_000_000;
const [ROUNDS, ROUNDS_BEFORE] = [24, 8];

let before = 0;
for (let round = 0; round < ROUNDS; round++) {
  if (round === ROUNDS_BEFORE) before = process.resourceUsage().minorPageFault;
  for (let i = 0; i < PAYLOADS; i++) Buffer.allocUnsafeSlow(PAYLOAD_BYTES).fill(1);
  globalThis.gc!();
  await pause(5); // V8 frees them beside
}
process.send!(process.resourceUsage().minorPageFault - before);
process.disconnect();
