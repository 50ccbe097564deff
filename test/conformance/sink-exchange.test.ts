import { realPorts } from "../../src/base/real/ports.js";
import { MemoryBus } from "../../src/bus/memory-bus.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { startNats } from "../servers/index.js";
import { exchangeSinkPlace } from "./exchange-support.js";
import { sinkConformance } from "./sink.js";

sinkConformance(
  "durable exchange in memory",
  async () => {
    const bus = new MemoryBus(realPorts());
    return { place: async () => exchangeSinkPlace(bus), stop: () => bus.close() };
  },
  { pairs: true },
);

sinkConformance("durable exchange on NATS", async () => {
  const server = await startNats();
  const bus = await connectNats({ servers: server.url, name: "sink-conformance" }, realPorts());
  return {
    place: async () => exchangeSinkPlace(bus),
    async stop() {
      await bus.close();
      await server.stop();
    },
  };
});
