import { connectNats } from "../../src/bus/nats-bus.js";
import { startNats } from "../servers/index.js";
import { busConformance } from "./bus.js";

/** A server for each test: nothing of one is left for the next, and a server starts in milliseconds. */
busConformance("nats", async (ports) => {
  const server = await startNats();
  return {
    bus: () => connectNats({ servers: server.url, name: "conformance" }, ports),
    stop: () => server.stop(),
  };
});
