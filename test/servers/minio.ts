/**
 * A MinIO server of one's own: a free loopback port, random credentials, a private data folder, and one bucket.
 *
 * MinIO cannot be told to choose its port, so a free one is found first; when somebody takes it in between, the start is
 * tried again with another. Whose server answers is known by the credentials: the bucket is made with ours.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { type UsableServer, usableServer } from "./find.js";
import { containerPort, privateFolder, RunningServer, untilReady } from "./running.js";

const READY_MS_MAX = 30_000;
const STARTS_MAX = 5;
const API_PORT_IN_CONTAINER = 9000;
const REGION = "us-east-1";

export interface MinioOptions {
  /** Name of the bucket that is made; a random one if left out. */
  readonly bucket?: string;
}

export interface MinioServer {
  /** `http://127.0.0.1:<port>`; clients need path-style addresses. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucket: string;
  readonly pid: number;
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** @throws {ServerUnavailableError} no minio here; inside mocha that test or suite is then not run, in CI it fails */
export async function startMinio(options: MinioOptions = {}): Promise<MinioServer> {
  const found = await usableServer("minio");
  for (let start = 1; ; start++) {
    try {
      return await startOnce(found, options.bucket ?? `test-${randomUUID()}`);
    } catch (error) {
      const clash = error instanceof Error && /address already in use|port .* in use/i.test(error.message);
      if (!clash || start === STARTS_MAX) throw error;
    }
  }
}

async function startOnce(found: UsableServer, bucket: string): Promise<MinioServer> {
  const credentials = { accessKeyId: randomBytes(8).toString("hex"), secretAccessKey: randomBytes(20).toString("hex") };
  const { server, port } = await launch(found, credentials);
  try {
    const endpoint = await untilReady(server, "minio", READY_MS_MAX, async () => {
      const known = port();
      if (known === undefined) return undefined;
      const live = await fetch(`http://127.0.0.1:${known}/minio/health/live`, { signal: AbortSignal.timeout(2_000) });
      return live.ok ? `http://127.0.0.1:${known}` : undefined;
    });
    await untilReady(server, `minio, creation of bucket ${bucket}`, READY_MS_MAX, () =>
      createBucket(endpoint, credentials, bucket),
    );
    return {
      endpoint,
      region: REGION,
      ...credentials,
      bucket,
      pid: server.pid,
      stop: () => server.stop(),
      kill: (signal) => server.kill(signal),
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function launch(found: UsableServer, credentials: Credentials) {
  const dataDir = privateFolder("minio");
  mkdirSync(join(dataDir, "objects"));
  const env = {
    MINIO_ROOT_USER: credentials.accessKeyId,
    MINIO_ROOT_PASSWORD: credentials.secretAccessKey,
    MINIO_BROWSER: "off", // no console, so no second port
    MINIO_UPDATE: "off",
    MINIO_REGION: REGION,
    // Single-drive mode refuses nothing on a small disk, and syncs no test data for us.
    MINIO_CI_CD: "1",
  };
  if (found.kind === "docker") {
    const container = `millrace-test-${randomUUID()}`;
    const user = process.getuid === undefined ? [] : ["--user", `${process.getuid()}:${process.getgid?.() ?? 0}`];
    // Only names on the command line; docker takes the values from its environment.
    const names = Object.keys(env).flatMap((name) => ["-e", name]);
    const publish = ["-p", `127.0.0.1::${API_PORT_IN_CONTAINER}`, "-v", `${dataDir}:/data`];
    const args = [
      "run",
      "--rm",
      "--name",
      container,
      ...user,
      ...names,
      ...publish,
      found.image,
      "server",
      "/data/objects",
    ];
    const server = new RunningServer({ command: "docker", args, env, dataDir, container });
    return { server, port: () => containerPort(container, API_PORT_IN_CONTAINER) };
  }
  const free = await freePort();
  const certificates = ["--certs-dir", join(dataDir, "certs")]; // else it reads ~/.minio
  const args = ["server", ...certificates, "--address", `127.0.0.1:${free}`, join(dataDir, "objects")];
  return { server: new RunningServer({ command: found.path, args, env, dataDir }), port: () => free };
}

async function createBucket(endpoint: string, credentials: Credentials, bucket: string): Promise<true> {
  const client = new S3Client({
    endpoint,
    region: REGION,
    credentials: { ...credentials },
    forcePathStyle: true,
    maxAttempts: 1,
  });
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    return true;
  } finally {
    client.destroy();
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
