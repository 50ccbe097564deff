/** What a NATS connection does when the server is away, refuses, is small, or goes and comes back. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { MillraceError } from "../../../src/base/errors.js";
import type { Bus } from "../../../src/bus/bus.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { split } from "../../../src/bus/nats-parts.js";
import { bytes, Inbox, pattern, recordingPorts, sameBytes, text, within } from "../../conformance/bus-support.js";
import { type NatsServer, startNats } from "../../servers/index.js";

const MiB = 1024 * 1024;

describe("bus/nats-connect: a server that does not let us in", () => {
  const { ports } = recordingPorts();

  it("fails with MILL_BUS_UNREACHABLE that names the address and the next step, without the password", async () => {
    const port = await closedPort();
    const connecting = connectNats({ servers: `nats://me:s3cret@127.0.0.1:${port}`, name: "test" }, ports);
    const error = await failure(connecting);
    assert.equal(error.code, "MILL_BUS_UNREACHABLE");
    assert.match(error.message, new RegExp(`nats://127\\.0\\.0\\.1:${port}.*compose\\.yaml`));
    assert.doesNotMatch(JSON.stringify([error.message, error.facts]), /s3cret/);
    assert.notEqual(error.cause, undefined);
  });

  it("fails with MILL_CONFIG for an address that cannot be read, and does not show it", async () => {
    const error = await failure(connectNats({ servers: "nats://me:s3cret@:::", name: "test" }, ports));
    assert.equal(error.code, "MILL_CONFIG");
    assert.doesNotMatch(error.message, /s3cret/);
  });

  describe("with users", () => {
    let server: NatsServer;
    before(async () => {
      server = await startNats({ user: "mill", password: "right" });
    });
    after(() => server.stop());

    it("fails with MILL_BUS_REFUSED for a wrong or missing password, without naming it", async () => {
      for (const credentials of [{ user: "mill", password: "wr0ng" }, { token: "wr0ng" }, undefined]) {
        const options = { servers: server.url, name: "test", ...(credentials && { credentials }) };
        const error = await failure(connectNats(options, ports));
        assert.equal(error.code, "MILL_BUS_REFUSED");
        assert.match(error.message, new RegExp(`${server.url}.*credentials`));
        assert.doesNotMatch(error.message, /wr0ng/);
      }
    });

    it("takes the right ones, as options or in the address", async () => {
      const credentials = { user: "mill", password: "right" };
      await (await connectNats({ servers: server.url, name: "test", credentials }, ports)).close();
      await (await connectNats({ servers: `nats://mill:right@127.0.0.1:${server.port}`, name: "test" }, ports)).close();
    });
  });

  it("takes a token", async () => {
    const server = await startNats({ token: "right" });
    try {
      const bus = await connectNats({ servers: server.url, name: "test", credentials: { token: "right" } }, ports);
      await bus.close();
    } finally {
      await server.stop();
    }
  });
});

describe("bus/nats-connect: a server without JetStream", () => {
  it("carries messages, and refuses log and bucket with MILL_BUS_REFUSED that says how to start it", async () => {
    const server = await startNats({ jetstream: false });
    const bus = await connectNats({ servers: server.url, name: "test" }, recordingPorts().ports);
    try {
      await assert.rejects(bus.log("orders"), { code: "MILL_BUS_REFUSED", message: /orders.*-js/ });
      await assert.rejects(bus.bucket("meta"), { code: "MILL_BUS_REFUSED", message: /meta.*-js/ });
      await assert.rejects(bus.request("mr.nobody", bytes("")), { code: "MILL_BUS_NO_RESPONDER" });
    } finally {
      await bus.close();
      await server.stop();
    }
  });
});

describe("bus/nats-bus: payloads over the server's max_payload", () => {
  let server: NatsServer;
  let bus: Bus;
  before(async () => {
    server = await startNats({ maxPayload: 64 * 1024 });
    bus = await connectNats({ servers: server.url, name: "test" }, recordingPorts().ports);
  });
  after(async () => {
    await bus.close();
    await server.stop();
  });

  it("splits by the limit that the server states, at its edges too (N2)", async () => {
    const inbox = new Inbox();
    await bus.subscribe("mr.parts", inbox.handler);
    const sizes = [65_535, 65_536, 65_537, 2 * 65_536, 3 * MiB];
    for (const size of sizes) await bus.publish("mr.parts", pattern(size), { replyTo: "mr.back" });
    for (const [i, message] of (await inbox.waitFor(sizes.length)).entries()) {
      sameBytes(message.payload, pattern(sizes[i] ?? 0));
      assert.equal(message.replyTo, "mr.back");
    }
  });

  it("refuses parts at a queue group with MILL_FRAME_TOO_LARGE, which the requester is told", async () => {
    const inbox = new Inbox();
    await bus.subscribe("mr.group", inbox.handler, { queue: "workers" });
    const request = bus.request("mr.group", new Uint8Array(100_000));
    await assert.rejects(request, { code: "MILL_FRAME_TOO_LARGE", message: /queue group workers/ });
    assert.equal(inbox.messages.length, 0);
  });

  it("does not split what goes into a log or a bucket: MILL_FRAME_TOO_LARGE names the limit", async () => {
    const [log, bucket] = [await bus.log("orders"), await bus.bucket("meta")];
    const tooLarge = { code: "MILL_FRAME_TOO_LARGE", message: /max_payload/ };
    await assert.rejects(log.append(new Uint8Array(70_000)), tooLarge);
    await assert.rejects(bucket.update("k", new Uint8Array(70_000), 0n), tooLarge);
  });

  it("refuses a server that leaves no room for parts with MILL_CONFIG", async () => {
    const small = await startNats({ maxPayload: 1024, jetstream: false });
    try {
      const error = await failure(connectNats({ servers: small.url, name: "test" }, recordingPorts().ports));
      assert.equal(error.code, "MILL_CONFIG");
      assert.match(error.message, /max_payload/);
    } finally {
      await small.stop();
    }
  });
});

describe("bus/nats-bus: a connection that breaks", () => {
  it("connects again, says so in the log, keeps its subscriptions, and drops unfinished parts", async () => {
    const server = await startNats();
    const cable = await Cable.to(server.port);
    const { ports, lines } = recordingPorts();
    const direct = await connectNats({ servers: server.url, name: "direct" }, ports);
    const bus = await connectNats({ servers: `nats://127.0.0.1:${cable.port}`, name: "cut" }, ports);
    try {
      const inbox = new Inbox();
      await bus.subscribe("mr.again", inbox.handler);
      const raw = await connect({ servers: server.url });
      const [part] = split(new Uint8Array(2000), 1500, "p", 1);
      if (part !== undefined) raw.publish("mr.again", part.payload, { headers: part.headers });
      raw.publish("mr.again", bytes("before"));
      await inbox.waitFor(1);
      await raw.close();
      cable.cut();
      const answer = await within("an answer over the new connection", askUntilAnswered(bus, direct));
      assert.equal(answer, "back");
      await direct.publish("mr.again", bytes("after"));
      await inbox.waitFor(2);
      assert.deepEqual(inbox.texts(), ["before", "after"]);
      assert.ok(lines.some(({ message }) => message.includes("lost in its middle")));
      assert.ok(lines.some(({ level, message }) => level === "warn" && message.includes("is lost")));
      assert.ok(lines.some(({ level, message }) => level === "info" && message.includes("again")));
    } finally {
      await Promise.all([bus.close(), direct.close()]);
      cable.close();
      await server.stop();
    }
  });

  it("is let in again, however often it was refused meanwhile: credentials are renewed, accounts load late", async () => {
    const server = await startNats({ user: "u", password: "right" });
    const stranger = await startNats({ user: "u", password: "another" });
    const cable = await Cable.to(server.port);
    const credentials = { user: "u", password: "right" };
    const options = { servers: `nats://127.0.0.1:${cable.port}`, name: "cut", credentials };
    const { ports, lines } = recordingPorts();
    const bus = await connectNats(options, ports);
    try {
      cable.leadTo(stranger.port);
      const before = cable.dials;
      cable.cut();
      while (cable.dials < before + 4) await pause(20);
      cable.leadTo(server.port);
      while (!lines.some(({ message }) => message.startsWith("connected to NATS again"))) await pause(20);
      await within("the server to answer", bus.flush());
    } finally {
      await bus.close();
      cable.close();
      await Promise.all([server.stop(), stranger.stop()]);
    }
  });

  it("closes within its bound while the server is away, and lets whoever waits for room go", async () => {
    const server = await startNats();
    const bus = await connectNats({ servers: server.url, name: "test" }, recordingPorts().ports);
    await server.stop();
    const rooms = Array.from({ length: 20 }, () => bus.publish("mr.nobody", new Uint8Array(MiB)));
    await within("close", Promise.all([bus.close(), ...rooms]));
  });
});

async function askUntilAnswered(bus: Bus, responder: Bus): Promise<string> {
  await responder.subscribe("mr.ask", ({ replyTo }) => {
    if (replyTo !== undefined) void responder.publish(replyTo, bytes("back"));
  });
  for (;;) {
    try {
      return text((await bus.request("mr.ask", bytes(""), { timeoutMs: 200 })).payload);
    } catch (error) {
      if (!MillraceError.is(error) || error.code !== "MILL_BUS_TIMEOUT") throw error;
    }
  }
}

/** A TCP connection to a server that can be cut while the server lives. */
class Cable {
  private readonly sockets = new Set<Socket>();
  /** Connections that there ever were. */
  dials = 0;
  private constructor(
    private readonly listener: ReturnType<typeof createServer>,
    private far: number,
  ) {}

  static async to(port: number): Promise<Cable> {
    const listener = createServer((near) => {
      cable.dials++;
      const far = dial(cable.far, "127.0.0.1");
      for (const socket of [near, far]) {
        cable.sockets.add(socket);
        socket.on("error", () => {});
      }
      near.pipe(far);
      far.pipe(near);
    });
    const cable = new Cable(listener, port);
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    return cable;
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port;
  }

  /** Where connections lead from now on. */
  leadTo(port: number): void {
    this.far = port;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  close(): void {
    this.cut();
    this.listener.close();
  }
}

async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function failure(promise: Promise<unknown>): Promise<MillraceError> {
  const error: unknown = await promise.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(MillraceError.is(error), String(error));
  return error;
}
