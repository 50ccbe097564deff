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
    assert.ok(withFlags * 2 <= without, `${withFlags} full collections with the flags, ${without} without`);
  });

  it("pages of payloads that are over serve the next ones, where malloc is that of glibc", async () => {
    const newPages = async (settings: Readonly<Record<string, string>>) => {
      const options = { execArgv: [...CHILD_FLAGS, "--expose-gc"], env: { ...process.env, ...settings } };
      const [pages] = await once(fork(new URL("./pages-child.js", import.meta.url), [], options), "message");
      return pages as number;
    };
    const [without, withSettings] = [await newPages({}), await newPages(CHILD_ENVIRONMENT)];
    const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    const least = header.glibcVersionRuntime === undefined ? 0 : 10;
    assert.ok(withSettings * least <= without, `${withSettings} new pages with the settings, ${without} without`);
  });
});

async function readPayloads(server: Server, execArgv: readonly string[]): Promise<number> {
  const child = fork(new URL("./payload-child.js", import.meta.url), [], { execArgv: [...execArgv] });
  child.send((server.address() as AddressInfo).port);
  const [collections] = await once(child, "message");
  return collections as number;
}
