import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { usableServer } from "../../servers/find.js";
import { type NatsServer, skipBecause, startNats } from "../../servers/index.js";
import { privateFolder, RunningServer } from "../../servers/running.js";
import { batch, ends, KiB, MiB, opened, shown } from "./channel-support.js";
import { range, within } from "./support.js";

const ports = realPorts();
const BLOCKED_MS = 5_000;

async function send(sender: ReturnType<typeof ends>["sender"], count: number, bytes: number, look = () => {}) {
  for (const n of range(0, count)) {
    const next = batch(n, bytes);
    while (!sender.offer(next)) await sender.room();
    look();
    if (n % 100 === 99) sender.barrier(BigInt((n + 1) / 100));
  }
  sender.end();
  await sender.delivered();
}

describe("actors/channel-sender, channel-receiver: faults of a real NATS", () => {
  let nats: NatsServer;
  let again: RunningServer | undefined;
  beforeEach(async () => {
    nats = await startNats({ jetstream: false });
  });
  afterEach(async () => {
    await again?.stop();
    again = undefined;
    await nats.stop();
  });

  it("nats-server is killed (-9) in the middle and comes back on its port: nothing lost or doubled, no error (N3)", async function () {
    this.timeout(60_000);
    const found = await usableServer("nats");
    if (found.kind === "docker")
      return skipBecause(this, "a nats-server in a container cannot be started again on its port");
    const from = await connectNats({ servers: nats.url, name: "from" }, ports);
    const to = await connectNats({ servers: nats.url, name: "to" }, ports);
    const { sender, receiver } = await opened(from, to, ports);
    const count = 600;
    const sending = send(sender, count, 64 * KiB);
    const expected = range(0, count).flatMap((n) => (n % 100 === 99 ? [n, `barrier ${(n + 1) / 100}`] : [n]));
    for (const item of [...expected, "end"]) {
      assert.equal(shown(await within(`${item}`, receiver.next(), 20_000)), item);
      if (item !== 150 && item !== 350) continue;
      // Twice, the second time without a moment for the channel to become quiet.
      if (again === undefined) nats.kill("SIGKILL");
      else again.kill("SIGKILL");
      await again?.stop();
      const dataDir = privateFolder("nats-again");
      const text = readFileSync(join(nats.dataDir, "nats.conf"), "utf8").replaceAll(nats.dataDir, dataDir);
      writeFileSync(join(dataDir, "nats.conf"), text.replace("127.0.0.1:-1", `127.0.0.1:${nats.port}`));
      again = new RunningServer({ command: found.path, args: ["-c", join(dataDir, "nats.conf")], dataDir });
    }
    await within("the sender to know", sending, 20_000);
    sender.close();
    receiver.close();
    await Promise.all([from.close(), to.close()]);
  });

  it("a subscriber whose event loop is blocked for 5 s loses nothing; both ends stay within the grant (N2, N3)", async function () {
    this.timeout(60_000);
    const child = fork(fileURLToPath(new URL("./channel-child.js", import.meta.url)), [nats.url, String(BLOCKED_MS)]);
    const bus = await connectNats({ servers: nats.url, name: "sender" }, ports);
    const { sender } = ends(bus, bus, ports);
    try {
      const told = (kind: string) =>
        within(
          `the child to say "${kind}"`,
          new Promise<Record<string, unknown>>((resolve, reject) => {
            child.on("message", (message: Record<string, unknown>) => message.kind === kind && resolve(message));
            child.once("exit", (code) => reject(new Error(`the child ended with ${code}`)));
          }),
          30_000,
        );
      const messages = { open: told("open"), blocks: told("blocks"), done: told("done") };
      await messages.open;
      await sender.open();
      let keptMost = 0;
      const count = 300;
      const sending = send(sender, count, 256 * KiB, () => {
        keptMost = Math.max(keptMost, sender.keptBytes);
      });
      await messages.blocks;
      const done = await messages.done;
      assert.ok(Number(done.blockedForMs) >= BLOCKED_MS * 0.9, "the child was not blocked");
      assert.deepEqual([done.taken, done.inOrder], [count, true]);
      const bound = limits.channelCreditBytes;
      assert.ok(keptMost > 8 * MiB && keptMost <= bound, `the sender kept ${keptMost} bytes`);
      assert.ok(Number(done.heldMost) <= bound, `the receiver held ${done.heldMost} bytes`);
      await within("the sender to know", sending);
    } finally {
      sender.close();
      await bus.close();
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.connected) child.disconnect();
      await within("the child to end", ended);
    }
  });
});
