import { strict as assert } from "node:assert";
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { CHILD_ENVIRONMENT, CHILD_FLAGS } from "../../../src/cli/child-memory.js";

describe("cli/child-memory: how hosts and instances keep memory", () => {
  let server: Server;
  before(async () => {
    const payload = Buffer.alloc(4_000_000);
    server = createServer((_, answer) => answer.setHeader("content-length", payload.length).end(payload));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(() => server.close());

  it("a process that holds little looks at all of its memory far less often, as payloads go through it", async () => {
    const [without, withFlags] = [await readPayloads(server, []), await readPayloads(server, CHILD_FLAGS)];
    const [many, few] = [without.collections, withFlags.collections];
    assert.ok(few * 2 <= many, `${few} full collections with the flags, ${many} without`);
  });

  it("pages of payloads that are over serve the next ones, where malloc is that of glibc", async () => {
    const without = await readPayloads(server, CHILD_FLAGS);
    const { pages } = await readPayloads(server, CHILD_FLAGS, CHILD_ENVIRONMENT);
    const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    const least = header.glibcVersionRuntime === undefined ? 0 : 2;
    assert.ok(pages * least <= without.pages, `${pages} new pages with the settings, ${without.pages} without`);
  });
});

interface Told {
  readonly collections: number;
  readonly pages: number;
}

async function readPayloads(
  server: Server,
  execArgv: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Told> {
  const env = { ...process.env, ...settings };
  const child = fork(new URL("./payload-child.js", import.meta.url), [], { execArgv: [...execArgv], env });
  child.send((server.address() as AddressInfo).port);
  const [told] = await once(child, "message");
  return told as Told;
}
