import { strict as assert } from "node:assert";
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { CHILD_FLAGS } from "../../../src/cli/child-process.js";

describe("cli/child-process: the flags of hosts and instances", () => {
  let server: Server;
  before(async () => {
    const payload = Buffer.alloc(4_000_000);
    server = createServer((_, answer) => answer.setHeader("content-length", payload.length).end(payload));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(() => server.close());

  it("a process that holds little looks at all of its memory far less often, as payloads go through it", async () => {
    const [without, withFlags] = [await collections(server, []), await collections(server, CHILD_FLAGS)];
    assert.ok(withFlags * 2 <= without, `${withFlags} full collections with the flags, ${without} without`);
  });
});

async function collections(server: Server, execArgv: readonly string[]): Promise<number> {
  const child = fork(new URL("./payload-child.js", import.meta.url), [], { execArgv: [...execArgv] });
  child.send((server.address() as AddressInfo).port);
  const [count] = await once(child, "message");
  return count as number;
}
