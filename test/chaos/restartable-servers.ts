/**
 * nats-server and MinIO that keep port and data folder when they are killed and started again. Otherwise as in
 * `test/servers`: private folders, free ports, an end with this process. Needs the binaries, not Docker.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { type ServerName, usableServer } from "../servers/find.js";
import { type Launch, privateFolder, RunningServer, untilReady } from "../servers/running.js";

const READY_MS_MAX = 30_000;

export class RestartableServer {
  #server: RunningServer;

  private constructor(
    private readonly name: string,
    private readonly launch: Launch,
    private readonly answers: () => Promise<true | undefined>,
  ) {
    this.#server = new RunningServer(launch);
  }

  static async start(
    name: string,
    launch: Launch,
    answers: () => Promise<true | undefined>,
  ): Promise<RestartableServer> {
    const server = new RestartableServer(name, launch, answers);
    try {
      await untilReady(server.#server, name, READY_MS_MAX, answers);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#server.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#server.kill(signal);
  }

  async kill(): Promise<void> {
    this.#server.kill("SIGKILL");
    while (!this.#server.ended) await pause(10);
  }

  async startAgain(): Promise<void> {
    this.#server = new RunningServer(this.launch);
    await untilReady(this.#server, this.name, READY_MS_MAX, this.answers);
  }

  /** A stopped process would not hear it. */
  stop(): Promise<void> {
    this.#server.kill("SIGCONT");
    return this.#server.stop();
  }
}

export interface ChaosServers {
  readonly nats: RestartableServer;
  readonly store: RestartableServer;
  /** How processes find them. */
  readonly env: Readonly<Record<string, string>>;
  readonly s3: { readonly endpoint: string; readonly region: string } & Credentials;
}

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export async function startServers(): Promise<ChaosServers> {
  const [natsPath, minioPath] = await Promise.all([binary("nats"), binary("minio")]);
  const [natsPort, storePort] = await Promise.all([freePort(), freePort()]);
  const nats = await startNats(natsPath, natsPort);
  try {
    const credentials = {
      accessKeyId: randomBytes(8).toString("hex"),
      secretAccessKey: randomBytes(20).toString("hex"),
    };
    const store = await startStore(minioPath, storePort, credentials);
    const endpoint = `http://127.0.0.1:${storePort}`;
    const env = {
      MILLRACE_NATS: `nats://127.0.0.1:${natsPort}`,
      MILLRACE_STORE: "s3://chaos/cluster",
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    };
    return { nats, store, env, s3: { endpoint, region: "us-east-1", ...credentials } };
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

async function binary(server: ServerName): Promise<string> {
  const found = await usableServer(server);
  if (found.kind !== "docker") return found.path;
  throw new Error(
    `chaos needs ${server} as a program, not by Docker: it is killed by pid. Get it with node scripts/servers.mjs.`,
  );
}

function startNats(command: string, port: number): Promise<RestartableServer> {
  const dataDir = privateFolder("nats");
  const config = join(dataDir, "nats.conf");
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `jetstream { store_dir: ${JSON.stringify(join(dataDir, "jetstream"))} }`,
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  return RestartableServer.start("nats-server", { command, args: ["-c", config], dataDir }, () => sendsInfo(port));
}

function startStore(command: string, port: number, credentials: Credentials): Promise<RestartableServer> {
  const dataDir = privateFolder("minio");
  mkdirSync(join(dataDir, "objects"));
  const args = [
    "server",
    "--certs-dir",
    join(dataDir, "certs"),
    "--address",
    `127.0.0.1:${port}`,
    join(dataDir, "objects"),
  ];
  const env = {
    MINIO_ROOT_USER: credentials.accessKeyId,
    MINIO_ROOT_PASSWORD: credentials.secretAccessKey,
    MINIO_BROWSER: "off",
    MINIO_UPDATE: "off",
    MINIO_CI_CD: "1",
  };
  return RestartableServer.start("minio", { command, args, env, dataDir }, () => hasBucket(port, credentials));
}

async function hasBucket(port: number, credentials: Credentials): Promise<true> {
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({ endpoint, region: "us-east-1", credentials, forcePathStyle: true, maxAttempts: 1 });
  try {
    await client.send(new CreateBucketCommand({ Bucket: "chaos" }));
  } catch (error) {
    if ((error as Error).name !== "BucketAlreadyOwnedByYou") throw error;
  } finally {
    client.destroy();
  }
  return true;
}

function sendsInfo(port: number): Promise<true | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.setTimeout(1_000, () => socket.destroy(new Error("no INFO within 1000 ms")));
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString("latin1").startsWith("INFO ") ? true : undefined);
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(undefined));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
