import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3";
import { type NatsOptions, skipBecause, startMinio, startNats } from "../../servers/index.js";

const GONE_MS_MAX = 8_000;

describe("servers/nats: a server of one's own", () => {
  it("two at a time have their own port, process and folder", async () => {
    const [one, two] = await Promise.all([startNats(), startNats()]);
    try {
      assert.notEqual(one.port, two.port);
      assert.notEqual(one.pid, two.pid);
      assert.notEqual(one.dataDir, two.dataDir);
      assert.ok(one.dataDir.startsWith(tmpdir()), one.dataDir);
    } finally {
      await Promise.all([one.stop(), two.stop()]);
    }
  });

  const told: [string, NatsOptions, Record<string, unknown>][] = [
    ["JetStream is on by default and takes everybody", {}, { jetstream: true, auth_required: undefined }],
    ["jetstream: false turns it off", { jetstream: false }, { jetstream: undefined }],
    ["maxPayload is what the server says", { maxPayload: 4096 }, { max_payload: 4096 }],
    ["user and password are asked for", { user: "u", password: 'p"q' }, { auth_required: true }],
    ["a token is asked for", { token: "t" }, { auth_required: true }],
  ];
  for (const [rule, options, expected] of told) {
    it(rule, async () => {
      const nats = await startNats(options);
      try {
        const info = await infoOf(nats.port);
        for (const [key, value] of Object.entries(expected)) assert.equal(info[key], value, key);
      } finally {
        await nats.stop();
      }
    });
  }
});

describe("servers/minio: a server of one's own", () => {
  it("has the bucket, and takes only its own random credentials", async () => {
    const minio = await startMinio({ bucket: "pages" });
    const { endpoint, region, accessKeyId, secretAccessKey } = minio;
    const client = (secret: string) =>
      new S3Client({
        endpoint,
        region,
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: { accessKeyId, secretAccessKey: secret },
      });
    try {
      const { Buckets } = await client(secretAccessKey).send(new ListBucketsCommand({}));
      assert.deepEqual(
        Buckets?.map((bucket) => bucket.Name),
        ["pages"],
      );
      await assert.rejects(client("wrong").send(new ListBucketsCommand({})), { name: "SignatureDoesNotMatch" });
    } finally {
      await minio.stop();
    }
  });
});

describe("servers/running: every way to end", () => {
  it("stop ends the server, removes its folder, and may be called again (P1, P3)", async () => {
    const nats = await startNats();
    await nats.stop();
    await nats.stop();
    await assertGone(nats);
  });

  it("stop works after a test killed the server (P2)", async () => {
    const nats = await startNats();
    nats.kill("SIGKILL");
    await nats.stop();
    nats.kill("SIGKILL");
    await assertGone(nats);
  });

  it("stop ends a server that does not react (P1)", async () => {
    const nats = await startNats();
    nats.kill("SIGSTOP");
    await nats.stop();
    await assertGone(nats);
  });

  const ends: [string, string, NodeJS.Signals | undefined][] = [
    ["exits without stopping it", "exit", undefined],
    ["has nothing left to do", "end", undefined],
    ["is told to stop (SIGTERM)", "stay", "SIGTERM"],
    ["gets Ctrl-C (SIGINT)", "stay", "SIGINT"],
    ["is killed hard (SIGKILL)", "stay", "SIGKILL"],
  ];
  for (const [how, mode, signal] of ends) {
    it(`the server goes when the process that started it ${how} (P1, P3)`, async function () {
      if (process.platform === "win32" && signal !== undefined) skipBecause(this, "no guard on Windows (running.ts)");
      const host = spawn(process.execPath, [fileURLToPath(new URL("./host.js", import.meta.url)), mode], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const exited = once(host, "exit");
      const server = await firstLine(host);
      if (signal !== undefined) host.kill(signal);
      await exited;
      await assertGone(server);
    });
  }
});

async function infoOf(port: number): Promise<Record<string, unknown>> {
  const socket = connect({ host: "127.0.0.1", port });
  const [bytes] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return JSON.parse(bytes.toString("utf8").replace(/^INFO /, "")) as Record<string, unknown>;
}

async function firstLine(host: ChildProcess): Promise<{ port: number; dataDir: string }> {
  const lines = createInterface({ input: host.stdout as NodeJS.ReadableStream });
  for await (const line of lines) return JSON.parse(line) as { port: number; dataDir: string };
  throw new Error("the host process ended without starting a server");
}

/** Asks the port, not the process id: who ended without a parent may stay in the process table. */
async function assertGone(server: { port: number; dataDir: string }): Promise<void> {
  const deadline = performance.now() + GONE_MS_MAX;
  for (;;) {
    const listening = await isListening(server.port);
    const folder = existsSync(server.dataDir);
    if (!listening && !folder) return;
    const seen = `port ${server.port} ${listening ? "answers" : "is closed"}, ${server.dataDir} ${folder ? "exists" : "is gone"}`;
    assert.ok(performance.now() < deadline, `awaited the end of a server for ${GONE_MS_MAX} ms: ${seen}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
