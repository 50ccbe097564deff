import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectLink, serveLink } from "../../src/bus/link-bus.js";
import { MemoryBus } from "../../src/bus/memory-bus.js";
import { busConformance } from "./bus.js";

/** Both ends in one process, over the same kind of socket that a child's extra stdio pipe is. */
busConformance(
  "link",
  async (ports) => {
    const parent = new MemoryBus(ports);
    const folder = await mkdtemp(join(tmpdir(), "millrace-link-"));
    const path = join(folder, "socket");
    const server = createServer((socket) => serveLink(parent, socket, ports));
    server.listen(path);
    await once(server, "listening");
    return {
      async bus() {
        const socket: Socket = connect(path);
        await once(socket, "connect");
        return connectLink(socket, ports);
      },
      async stop() {
        server.close();
        await parent.close();
        await rm(folder, { recursive: true });
      },
    };
  },
  { storage: false },
);
