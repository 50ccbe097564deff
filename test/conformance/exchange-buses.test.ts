import { realPorts } from "../../src/base/real/ports.js";
import { MemoryBus } from "../../src/bus/memory-bus.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { startNats } from "../servers/index.js";
import { exchangeConformance } from "./exchange.js";

exchangeConformance("memory", async () => {
  const bus = new MemoryBus(realPorts());
  return { bus, stop: () => bus.close() };
});

exchangeConformance("nats", async () => {
  const server = await startNats();
  const bus = await connectNats({ servers: server.url, name: "exchange-conformance" }, realPorts());
  return {
    bus,
    async stop() {
      await bus.close();
      await server.stop();
    },
  };
});
