/** The second process of `call-overhead.ts`: an instance of the service, and a bare responder, each on its own connection. */
import { connect } from "@nats-io/transport-node";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { Instance } from "../src/services/instance.js";
import { noContent } from "../test/unit/actors/support.js";
import { echo, instance, job, namespace, rawSubject } from "./call-overhead-service.js";

process.on("disconnect", () => process.exit());
const url = process.argv[2] ?? "";

const ports = realPorts();
const bus = await connectNats({ servers: url, name: "call-overhead-worker" }, ports);
const served = new Instance({
  ...{ bus, ports, namespace, job, instance, service: echo },
  content: noContent,
  asset: (name) => name,
  env: () => undefined,
  // As `src/cli/instance-main.ts` does it.
  yieldToMessages: () => new Promise((resolve) => setImmediate(resolve)),
  onHung: (error) => {
    throw error;
  },
});
await served.start();

const connection = await connect({ servers: url, name: "call-overhead-worker" });
connection.subscribe(rawSubject, { callback: (_, message) => void message.respond(message.data) });
await connection.flush();
process.send?.("ready");
