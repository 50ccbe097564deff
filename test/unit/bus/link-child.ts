/** The child of `link.test.ts`: answers on `mr.child.echo`, and ends when its parent is gone. Not a test. */
import { Socket } from "node:net";
import { realPorts } from "../../../src/base/real/ports.js";
import { connectLink } from "../../../src/bus/link-bus.js";

const stream = new Socket({ fd: 3 });
const bus = connectLink(stream, realPorts(), { onClose: () => process.exit(7) });
await bus.subscribe("mr.child.echo", ({ payload, replyTo }) => {
  if (replyTo !== undefined) void bus.publish(replyTo, payload);
});
await bus.publish("mr.child.ready", new Uint8Array());
