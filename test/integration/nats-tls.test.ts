/** Who a process is to NATS, and TLS, on real servers: files of seeds, credentials and certificates. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { MillraceError } from "../../src/base/errors.js";
import { connectNats, type NatsOptions } from "../../src/bus/nats-bus.js";
import { clusterSettings } from "../../src/cli/settings.js";
import { bytes, recordingPorts, text, within } from "../conformance/bus-support.js";
import { type Certificates, hasOpenssl, makeCertificates } from "../servers/certificates.js";
import { type NatsServer, skipBecause, startNats } from "../servers/index.js";

const { ports, lines } = recordingPorts();

/** As a process of a cluster does it. @throws what that throws */
async function connectBy(env: Readonly<Record<string, string>>, servers: string): Promise<void> {
  const { nats } = clusterSettings({ store: "s3://none", nats: servers }, env);
  await echo(nats);
}

async function echo(options: Omit<NatsOptions, "name">): Promise<void> {
  const bus = await connectNats({ ...options, name: "test" }, ports);
  try {
    await bus.subscribe("mr.echo", ({ payload, replyTo }) => void bus.publish(replyTo ?? "mr.none", payload));
    assert.equal(text((await bus.request("mr.echo", bytes("hello"))).payload), "hello");
  } finally {
    await bus.close();
  }
}

async function refusal(connecting: Promise<void>): Promise<MillraceError> {
  const error: unknown = await connecting.then(
    () => assert.fail("it was let in"),
    (reason: unknown) => reason,
  );
  assert.ok(MillraceError.is(error), String(error));
  return error;
}

describe("bus/nats-connect: TLS", () => {
  let folder: string;
  let files: Certificates;
  let plain: NatsServer;
  let server: NatsServer;
  /** Asks for a certificate of the client, too. */
  let mutual: NatsServer;

  before(async function () {
    if (!hasOpenssl()) skipBecause(this, "no openssl to make certificates with");
    folder = await mkdtemp(join(tmpdir(), "millrace-tls-"));
    files = makeCertificates(folder);
    const pem = (file: string) => readFileSync(file, "utf8");
    const own = { "cert.pem": pem(files.serverCert), "key.pem": pem(files.serverKey), "ca.pem": pem(files.ca) };
    const tls = (at: string, more: string) =>
      `tls { cert_file: "${at}/cert.pem", key_file: "${at}/key.pem", ca_file: "${at}/ca.pem"${more} }`;
    const start = (more: string) => startNats({ jetstream: false, files: own, config: (at) => tls(at, more) });
    [plain, server, mutual] = await Promise.all([startNats({ jetstream: false }), start(""), start(", verify: true")]);
  });
  after(async () => {
    await Promise.all([plain?.stop(), server?.stop(), mutual?.stop()]);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  it("speaks with a server whose certificate the authority of MILLRACE_NATS_CA signed, by either kind of address", async () => {
    for (const scheme of ["nats", "tls"])
      await connectBy({ MILLRACE_NATS_CA: files.ca }, `${scheme}://127.0.0.1:${server.port}`);
  });

  it("does not speak with one whose certificate nobody vouches for: MILL_BUS_REFUSED names MILLRACE_NATS_CA", async () => {
    const error = await refusal(connectBy({}, `tls://127.0.0.1:${server.port}`));
    assert.equal(error.code, "MILL_BUS_REFUSED");
    assert.match(error.message, /certificate that is not trusted.*MILLRACE_NATS_CA/);
  });

  it("does not speak in the clear once an authority is named, though the address says nats://", async () => {
    const error = await refusal(connectBy({ MILLRACE_NATS_CA: files.ca }, plain.url));
    assert.equal(error.code, "MILL_BUS_REFUSED");
    assert.match(error.message, /speaks no TLS/);
  });

  it("shows its own certificate to a server that asks for one", async () => {
    const env = {
      MILLRACE_NATS_CA: files.ca,
      MILLRACE_NATS_CERT: files.clientCert,
      MILLRACE_NATS_KEY: files.clientKey,
    };
    await connectBy(env, `tls://127.0.0.1:${mutual.port}`);
    const error = await refusal(connectBy({ MILLRACE_NATS_CA: files.ca }, `tls://127.0.0.1:${mutual.port}`));
    assert.match(error.code, /MILL_BUS_(REFUSED|UNREACHABLE)/); // the server's word may be lost with the connection
  });

  it("says which file cannot be read, with MILL_CONFIG", async () => {
    const gone = join(folder, "gone.pem");
    const error = await refusal(connectBy({ MILLRACE_NATS_CA: gone }, `tls://127.0.0.1:${server.port}`));
    assert.equal(error.code, "MILL_CONFIG");
    assert.ok(error.message.includes(gone));
  });
});

/** An account of a server that knows users by their JWT alone, signed as nats-server checks it. */
class TestAccount {
  readonly #operator = nkeys.createOperator();
  readonly #account = nkeys.createAccount();

  serverConfig(): string {
    const operator = jwt(this.#operator, this.#operator.getPublicKey(), { type: "operator", version: 2 });
    const unlimited = {
      subs: -1,
      data: -1,
      payload: -1,
      imports: -1,
      exports: -1,
      wildcards: true,
      conn: -1,
      leaf: -1,
    };
    const claims = { type: "account", version: 2, limits: unlimited };
    const account = jwt(this.#operator, this.#account.getPublicKey(), claims);
    return `operator: ${operator}\nresolver: MEMORY\nresolver_preload: { ${this.#account.getPublicKey()}: ${account} }`;
  }

  creds(): string {
    const user = nkeys.createUser();
    const claims = { type: "user", version: 2, subs: -1, data: -1, payload: -1 };
    const token = jwt(this.#account, user.getPublicKey(), claims);
    const block = (name: string, content: string) => `-----BEGIN ${name}-----\n${content}\n------END ${name}------\n`;
    const seed = Buffer.from(user.getSeed()).toString("latin1");
    return `${block("NATS USER JWT", token)}\n${block("USER NKEY SEED", seed)}`;
  }
}

describe("bus/nats-connect: who a process is, by a file", () => {
  const [right, wrong] = [nkeys.createUser(), nkeys.createUser()];
  const seed = (pair: nkeys.KeyPair) => `${Buffer.from(pair.getSeed()).toString("latin1")}\n`;
  const account = new TestAccount();
  let folder: string;
  let byKey: NatsServer;
  let byCreds: NatsServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-creds-"));
    const users = `authorization { users: [ { nkey: ${right.getPublicKey()} } ] }`;
    [byKey, byCreds] = await Promise.all([
      startNats({ jetstream: false, config: () => users }),
      startNats({ jetstream: false, config: () => account.serverConfig() }),
    ]);
  });
  after(async () => {
    await Promise.all([byKey?.stop(), byCreds?.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  function file(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  it("lets in whose seed MILLRACE_NATS_NKEY names, and nobody else", async () => {
    await connectBy({ MILLRACE_NATS_NKEY: file("right.nk", seed(right)) }, byKey.url);
    const error = await refusal(connectBy({ MILLRACE_NATS_NKEY: file("wrong.nk", seed(wrong)) }, byKey.url));
    assert.equal(error.code, "MILL_BUS_REFUSED");
    assert.ok(!error.message.includes(seed(wrong).trim()));
  });

  it("lets in whose credentials MILLRACE_NATS_CREDS names, and nobody else", async () => {
    await connectBy({ MILLRACE_NATS_CREDS: file("right.creds", account.creds()) }, byCreds.url);
    const stranger = file("stranger.creds", new TestAccount().creds());
    const error = await refusal(connectBy({ MILLRACE_NATS_CREDS: stranger }, byCreds.url));
    assert.equal(error.code, "MILL_BUS_REFUSED");
  });

  it("is MILL_CONFIG for a file that is not there", async () => {
    const error = await refusal(connectBy({ MILLRACE_NATS_CREDS: join(folder, "gone.creds") }, byCreds.url));
    assert.equal(error.code, "MILL_CONFIG");
    assert.match(error.message, /gone\.creds.*ENOENT/);
  });

  it("reads the file again for each connection: a renewed seed is used when the server comes back", async () => {
    const path = file("renewed.nk", seed(right));
    const next = nkeys.createUser();
    const old = await startNats({
      jetstream: false,
      config: () => `authorization { users: [ { nkey: ${right.getPublicKey()} } ] }`,
    });
    const bus = await connectNats({ servers: old.url, name: "test", credentials: { nkeyFile: path } }, ports);
    const config = join(old.dataDir, "nats.conf");
    try {
      const again = within("the connection to come back", untilLogged("connected to NATS again"));
      file("renewed.nk", seed(next));
      writeFileSync(config, readFileSync(config, "utf8").replace(right.getPublicKey(), next.getPublicKey()));
      old.kill("SIGHUP"); // it ends the connections of users that it no longer knows
      await again;
      await bus.flush();
    } finally {
      await bus.close();
      await old.stop();
    }
  });
});

async function untilLogged(message: string): Promise<void> {
  while (!lines.some((line) => line.message.includes(message))) await ports.clock.sleep(20);
}

function jwt(by: nkeys.KeyPair, of: string, nats: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = part({ typ: "JWT", alg: "ed25519-nkey" });
  const body = part({ jti: "test", iat: 1_700_000_000, iss: by.getPublicKey(), name: "test", sub: of, nats });
  const signed = `${head}.${body}`;
  return `${signed}.${Buffer.from(by.sign(Buffer.from(signed))).toString("base64url")}`;
}
