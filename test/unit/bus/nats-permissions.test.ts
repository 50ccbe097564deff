/** Refusals of single subjects: the server tells them apart from the message, and they must not vanish (N3). */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../src/base/errors.js";
import type { Bus } from "../../../src/bus/bus.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { bytes, Inbox, recordingPorts, within } from "../../conformance/bus-support.js";
import { type NatsServer, startNats } from "../../servers/index.js";

const PERMISSIONS = `permissions: { publish: { deny: "mr.forbidden.>" }, subscribe: { deny: "mr.forbidden.>" } }`;

/** The server reads its configuration again some time later. */
function permit(server: NatsServer, permissions: string): void {
  const file = join(server.dataDir, "nats.conf");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/authorization \{(.*)\}/, `authorization { users: [ {$1, ${permissions}} ] }`));
  server.kill("SIGHUP");
}

describe("bus/nats-bus: a user who may not do everything", () => {
  const { ports, lines } = recordingPorts();
  let server: NatsServer;
  let bus: Bus;

  before(async () => {
    server = await startNats({ user: "mill", password: "right" });
    permit(server, PERMISSIONS);
    bus = await within("the server to take the permissions", connectWithPermissions(server));
  });
  after(async () => {
    await bus?.close();
    await server.stop();
  });

  /** Until the server has read its configuration again it may refuse everybody, or permit everything. */
  async function connectWithPermissions(of: NatsServer): Promise<Bus> {
    const credentials = { user: "mill", password: "right" };
    for (;;) {
      const candidate = await connectNats({ servers: of.url, name: "test", credentials }, ports).catch(unlessRefused);
      const subscribing = candidate?.subscribe("mr.forbidden.probe", () => {});
      if (candidate !== undefined && (await subscribing?.catch(unlessRefused)) === undefined) return candidate;
      await candidate?.close();
    }
  }

  function unlessRefused(error: unknown): undefined {
    if (!MillraceError.is(error) || error.code !== "MILL_BUS_REFUSED") throw error;
  }

  it("fails a refused subscribe with MILL_BUS_REFUSED that names subject and permission", async () => {
    const subscribing = bus.subscribe("mr.forbidden.a", () => {});
    await assert.rejects(subscribing, { code: "MILL_BUS_REFUSED", message: /mr\.forbidden\.a.*subscribe permissions/ });
  });

  it("tells a refused publish by the log, the next flush, and the next publish to that subject", async () => {
    await bus.publish("mr.forbidden.b", bytes("x"));
    const refused = { code: "MILL_BUS_REFUSED", message: /mr\.forbidden\.b.*publish permissions/ };
    await assert.rejects(bus.flush(), refused);
    assert.throws(() => bus.publish("mr.forbidden.b", bytes("x")), refused);
    assert.ok(lines.some(({ level, message }) => level === "error" && message.includes("refused a publication")));
    await bus.flush();
  });

  it("fails a refused request with MILL_BUS_REFUSED, not by a timeout", async () => {
    const request = bus.request("mr.forbidden.c", bytes("x"), { timeoutMs: 60_000 });
    await within("the refusal", assert.rejects(request, { code: "MILL_BUS_REFUSED" }));
  });

  it("goes on with what is permitted", async () => {
    const inbox = new Inbox();
    await bus.subscribe("mr.permitted", inbox.handler);
    await bus.publish("mr.permitted", bytes("x"));
    await inbox.waitFor(1);
  });
});

describe("bus/nats-log: a user who may not do everything any more", () => {
  it("fails a read that is under way with MILL_BUS_REFUSED, which nobody takes for an error of the one who reads", async () => {
    const server = await startNats({ user: "mill", password: "right" });
    const credentials = { user: "mill", password: "right" };
    const bus = await connectNats({ servers: server.url, name: "test", credentials }, recordingPorts().ports);
    try {
      const log = await bus.log("orders");
      await log.append(bytes("x"));
      const entries = log.read(1n, new AbortController().signal)[Symbol.asyncIterator]();
      await within("the first entry", entries.next());
      permit(server, `permissions: { subscribe: { deny: "_INBOX.>" } }`);
      const refused = { code: "MILL_BUS_REFUSED", message: /_INBOX.*subscribe permissions/ };
      await within("the refusal", assert.rejects(entries.next(), refused));
    } finally {
      await bus.close();
      await server.stop();
    }
  });
});
