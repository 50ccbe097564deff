/**
 * The receiving process of `channel-nats.test.ts`: takes batches from a channel over NATS, and after the tenth blocks its
 * event loop as long as it is told. Not a test.
 *
 *     channel-child.js <url of NATS> <ms>
 */
import { realPorts } from "../../../src/base/real/ports.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { ends, nOf } from "./channel-support.js";

process.once("disconnect", () => process.exit()); // its parent is gone, or has seen enough
const [url = "", blockedMs = "0"] = process.argv.slice(2);
const ports = realPorts();
const bus = await connectNats({ servers: url, name: "channel-child" }, ports);
const { receiver } = ends(bus, bus, ports);
await receiver.open();
receiver.start(() => {});
process.send!({ kind: "open" });

let taken = 0;
let inOrder = true;
let heldMost = 0;
let blockedForMs = 0;
for (let item = await receiver.next(); item !== undefined; item = await receiver.next()) {
  if (item.kind === "barrier") continue;
  inOrder &&= nOf(item.batch) === taken;
  heldMost = Math.max(heldMost, receiver.heldBytes);
  if (++taken === 10) {
    process.send!({ kind: "blocks" });
    const fromMs = performance.now();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(blockedMs));
    blockedForMs = performance.now() - fromMs;
  }
}
process.send!({ kind: "done", taken, inOrder, heldMost, blockedForMs });
