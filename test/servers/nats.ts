/**
 * A nats-server of one's own: a port that the server chose itself, a private JetStream folder, ready when it has sent INFO.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { usableServer } from "./find.js";
import { containerPort, privateFolder, RunningServer, untilReady } from "./running.js";

const READY_MS_MAX = 15_000;
const CLIENT_PORT_IN_CONTAINER = 4222;

export interface NatsOptions {
  /** With `password`: what clients must give. */
  readonly user?: string;
  readonly password?: string;
  /** Instead of a user: a token that clients must give. */
  readonly token?: string;
  /** Bytes; the server's own default (1 MiB) if left out. */
  readonly maxPayload?: number;
  /** On unless `false`. */
  readonly jetstream?: boolean;
  /** Answers questions about itself over HTTP (not in a container). */
  readonly monitoring?: boolean;
  /** Files that it finds in the folder that `config` is told. */
  readonly files?: Readonly<Record<string, string>>;
  /** More of its configuration. */
  config?(folder: string): string;
}

export interface NatsServer {
  /** `nats://127.0.0.1:<port>`, without credentials. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** `http://127.0.0.1:<port>`; empty: it was not asked for. */
  readonly monitorUrl: string;
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/** @throws {ServerUnavailableError} no nats-server here; inside mocha that test or suite is then not run, in CI it fails */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const found = await usableServer("nats");
  const dataDir = privateFolder("nats");
  const inDocker = found.kind === "docker";
  const config = join(dataDir, "nats.conf");
  writeFileSync(config, configText(options, inDocker ? "/data" : dataDir, inDocker), { mode: 0o644 });
  for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(join(dataDir, name), text);
  const server = inDocker
    ? inContainer(found.image, dataDir)
    : new RunningServer({ command: found.path, args: ["-c", config], dataDir });
  try {
    const port = await untilReady(server, "nats-server", READY_MS_MAX, async () => {
      const port = clientPort(server, dataDir);
      return port !== undefined && (await sendsInfo(port)) ? port : undefined;
    });
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      pid: server.pid,
      dataDir,
      monitorUrl: options.monitoring === true && !inDocker ? (portsOf(dataDir)?.monitoring?.[0] ?? "") : "",
      stop: () => server.stop(),
      kill: (signal) => server.kill(signal),
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** A file, not flags: other users of the machine can read a command line, and there is no flag for `max_payload`. */
function configText(options: NatsOptions, folder: string, inDocker: boolean): string {
  const quoted = (text: string) => JSON.stringify(text);
  const lines = [
    // Port -1 asks the operating system for a free one; ports_file_dir is where the server says which.
    inDocker ? `listen: "0.0.0.0:${CLIENT_PORT_IN_CONTAINER}"` : `listen: "127.0.0.1:-1"`,
    ...(options.monitoring === true && !inDocker ? [`http: "127.0.0.1:-1"`] : []),
    `server_name: ${quoted(`test-${randomUUID()}`)}`,
    ...(inDocker ? [] : [`ports_file_dir: ${quoted(folder)}`]),
    ...(options.maxPayload === undefined ? [] : [`max_payload: ${options.maxPayload}`]),
    ...(options.jetstream === false ? [] : [`jetstream { store_dir: ${quoted(`${folder}/jetstream`)} }`]),
  ];
  if (options.user !== undefined) {
    lines.push(`authorization { user: ${quoted(options.user)}, password: ${quoted(options.password ?? "")} }`);
  } else if (options.token !== undefined) {
    lines.push(`authorization { token: ${quoted(options.token)} }`);
  }
  if (options.config !== undefined) lines.push(options.config(folder));
  return `${lines.join("\n")}\n`;
}

function inContainer(image: string, dataDir: string): RunningServer & { readonly container: string } {
  const container = `millrace-test-${randomUUID()}`;
  const user = process.getuid === undefined ? [] : ["--user", `${process.getuid()}:${process.getgid?.() ?? 0}`];
  const publish = ["-p", `127.0.0.1::${CLIENT_PORT_IN_CONTAINER}`, "-v", `${dataDir}:/data`];
  const args = ["run", "--rm", "--name", container, ...user, ...publish, image, "-c", "/data/nats.conf"];
  return Object.assign(new RunningServer({ command: "docker", args, dataDir, container }), { container });
}

function clientPort(server: RunningServer, dataDir: string): number | undefined {
  if ("container" in server && typeof server.container === "string") {
    return containerPort(server.container, CLIENT_PORT_IN_CONTAINER);
  }
  const ports = portsOf(dataDir);
  return ports && Number(new URL(ports.nats[0] ?? "").port);
}

function portsOf(dataDir: string): { readonly nats: string[]; readonly monitoring?: string[] } | undefined {
  const file = readdirSync(dataDir).find((name) => name.endsWith(".ports"));
  // Throws on a half-written file, which counts as "not ready yet".
  return file === undefined ? undefined : JSON.parse(readFileSync(join(dataDir, file), "utf8"));
}

function sendsInfo(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.setTimeout(1_000, () => socket.destroy(new Error("no INFO within 1000 ms")));
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString("latin1").startsWith("INFO "));
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(false));
  });
}
