/** What a link does beyond the conformance suite: another process, its death, back-pressure, garbage. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { limits } from "../../../src/base/limits.js";
import type { Bus } from "../../../src/bus/bus.js";
import { connectLink, serveLink } from "../../../src/bus/link-bus.js";
import { encodeLinkFrame, type LinkFrame, LinkFrameReader, LinkKind } from "../../../src/bus/link-frames.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { bytes, Inbox, pattern, recordingPorts, sameBytes, text, within } from "../../conformance/bus-support.js";

const MiB = 1024 * 1024;

describe("bus/link-bus: a child process", () => {
  let parent: MemoryBus;
  let child: ChildProcess;
  let stream: Duplex;
  let link: ReturnType<typeof serveLink>;

  beforeEach(async () => {
    const { ports } = recordingPorts();
    parent = new MemoryBus(ports);
    const ready = new Inbox();
    await parent.subscribe("mr.child.ready", ready.handler);
    const program = new URL("./link-child.js", import.meta.url).pathname;
    child = spawn(process.execPath, [program], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
    stream = child.stdio[3] as Socket;
    link = serveLink(parent, stream, ports);
    await ready.waitFor(1);
  });
  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await parent.close();
  });

  it("answers requests of 1.2 and 40 MB, aligned to 8 bytes so that Arrow reads them in place", async () => {
    for (const size of [1_200_000, 40 * MiB, 5, 0]) {
      const answer = await within("the echo", parent.request("mr.child.echo", pattern(size)));
      sameBytes(answer.payload, pattern(size));
      assert.equal(answer.payload.byteOffset % 8, 0);
    }
  });

  it("loses its subscriptions when the child is killed: MILL_BUS_NO_RESPONDER", async () => {
    child.kill("SIGKILL");
    await within("the link to end", link.ended);
    await assert.rejects(parent.request("mr.child.echo", bytes("x")), { code: "MILL_BUS_NO_RESPONDER" });
  });

  it("tells the child that its parent has let go, so that it can exit", async () => {
    link.close();
    const [code] = await within("the child to exit", once(child, "exit"));
    assert.equal(code, 7);
  });
});

describe("bus/link-bus: the ends of a link", () => {
  let ends: { near: Socket; far: Socket };
  beforeEach(async () => {
    ends = await socketPair();
  });
  afterEach(() => {
    ends.near.destroy();
    ends.far.destroy();
  });

  it("fails pending calls with MILL_BUS_CLOSED and calls onClose once when the stream ends", async () => {
    const { ports } = recordingPorts();
    let closed = 0;
    const bus = connectLink(ends.near, ports, { onClose: () => closed++ });
    const calls = [bus.subscribe("mr.a", () => {}), bus.request("mr.a", bytes(""), { timeoutMs: 60_000 }), bus.flush()];
    const rejections = calls.map((call) => assert.rejects(call, { code: "MILL_BUS_CLOSED" }));
    ends.far.destroy();
    await within("the calls to fail", Promise.all(rejections));
    assert.throws(() => bus.publish("mr.a", bytes("")), { code: "MILL_BUS_CLOSED" });
    await within("close", bus.close());
    assert.equal(closed, 1);
  });

  it("does not call onClose for its own close", async () => {
    const { ports } = recordingPorts();
    const served = serveLink(new MemoryBus(ports), ends.far, ports);
    let closed = 0;
    const bus = connectLink(ends.near, ports, { onClose: () => closed++ });
    await bus.close();
    await within("the parent to see the end", served.ended);
    assert.equal(closed, 0);
  });

  it("refuses logs and buckets with MILL_CONFIG", async () => {
    const bus = connectLink(ends.near, recordingPorts().ports);
    await assert.rejects(bus.log("orders"), { code: "MILL_CONFIG", message: /orders/ });
    await assert.rejects(bus.existingLog("orders"), { code: "MILL_CONFIG", message: /orders/ });
    await assert.rejects(bus.bucket("meta"), { code: "MILL_CONFIG", message: /meta/ });
  });

  it("stops reading its child while the parent's bus has no room (B4)", async () => {
    const { ports } = recordingPorts();
    const full = new FullBus(ports);
    serveLink(full, ends.far, ports);
    const bus = connectLink(ends.near, ports);
    let room: void | Promise<void> | undefined;
    for (let i = 0; i < 64; i++) room = bus.publish("mr.a", new Uint8Array(MiB));
    assert.ok(room instanceof Promise);
    await within("the first publication", full.reached);
    assert.ok(full.published < 64, "it read on");
    full.giveRoom();
    await within("room at the child", room);
    await bus.flush();
    assert.equal(full.published, 64);
  });

  it("ends on bytes that are no frame, and says so", async () => {
    const { ports, lines } = recordingPorts();
    const served = serveLink(new MemoryBus(ports), ends.far, ports);
    ends.near.on("error", () => {});
    ends.near.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await within("the link to end", served.ended);
    assert.ok(lines.some(({ level, message }) => level === "warn" && message.includes("broke")));
  });

  for (const code of ["ECONNRESET", "EPIPE"]) {
    it(`leaves it to whoever started the child to say that it ended before it had read everything: ${code}`, async () => {
      const { ports, lines } = recordingPorts();
      const served = serveLink(new MemoryBus(ports), ends.far, ports);
      ends.far.destroy(Object.assign(new Error(`read ${code}`), { code }));
      await within("the link to end", served.ended);
      assert.deepEqual(
        lines.map(({ level }) => level),
        ["debug"],
      );
    });
  }
});

describe("bus/link-frames: framing", () => {
  const frame = { kind: LinkKind.message, id: 7, timeoutMs: 9, subject: "mr.a", extra: "mr.back" } as const;

  for (const [size, step] of [
    [0, 1],
    [3, 1],
    [5000, 7],
    [5000, 20],
    [200_000, 65_536],
    [200_000, 1_000_000],
  ] as const) {
    it(`reads what it wrote from chunks of ${step} bytes (payload of ${size})`, () => {
      const payload = pattern(size);
      const stream = Buffer.concat([
        ...encodeLinkFrame({ ...frame, payload }),
        ...encodeLinkFrame({ ...frame, payload }),
      ]);
      const seen: LinkFrame[] = [];
      const reader = new LinkFrameReader((read) => seen.push(read));
      for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
      assert.equal(seen.length, 2);
      for (const { payload: read, ...head } of seen) {
        assert.deepEqual(head, frame);
        sameBytes(read, payload);
        assert.equal(read.byteOffset % 8, 0);
      }
    });
  }

  it("refuses a length over limits.frameBytesMax before it allocates", () => {
    const head = Buffer.concat(encodeLinkFrame(frame));
    head.writeUInt32LE(limits.frameBytesMax + 1, 0);
    const reader = new LinkFrameReader(() => {});
    assert.throws(() => reader.push(head), { code: "MILL_FRAME_INVALID" });
  });
});

/** A bus that has no room until it is given some. */
class FullBus extends MemoryBus {
  published = 0;
  giveRoom = () => {};
  private arrived = () => {};
  readonly reached = new Promise<void>((resolve) => {
    this.arrived = resolve;
  });
  private readonly room = new Promise<void>((resolve) => {
    this.giveRoom = resolve;
  });

  override publish(...[subject, payload]: Parameters<Bus["publish"]>): Promise<void> {
    assert.equal(subject, "mr.a");
    assert.equal(text(payload.subarray(0, 1)), "\0");
    this.published += 1;
    this.arrived();
    return this.room;
  }
}

async function socketPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = dial((server.address() as AddressInfo).port, "127.0.0.1");
  const [[far]] = await Promise.all([once(server, "connection"), once(near, "connect")]);
  server.close();
  return { near, far: far as Socket };
}
