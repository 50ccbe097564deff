/** A process of `scale-out.ts`: one instance, as `src/cli/instance-main.ts` runs it. Arguments: server, place, number. */
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { Instance } from "../src/services/instance.js";
import { noContent } from "../test/unit/actors/support.js";
import { instanceId, job, namespace, type Place, workOf } from "./scale-out-service.js";

process.on("disconnect", () => process.exit());
const [url = "", place, number] = process.argv.slice(2);

const ports = realPorts();
const bus = await connectNats({ servers: url, name: `instance ${number}` }, ports);
const instance = new Instance({
  ...{ bus, ports, namespace, job, instance: instanceId(Number(number)), service: workOf(place as Place) },
  content: noContent,
  asset: (name) => name,
  env: () => undefined,
  yieldToMessages: () => new Promise((resolve) => setImmediate(resolve)),
  onHung: (error) => {
    throw error;
  },
});
await instance.start();
