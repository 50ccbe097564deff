/** A coordinator that asks for tokens, over TLS: who comes in and who does not while its files change, and what it writes down. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { get, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished, until } from "../e2e/cluster.js";
import { MillraceProcess, millrace } from "../e2e/millrace-process.js";
import { type Certificates, hasOpenssl, makeCertificates } from "../servers/certificates.js";
import { type NatsServer, startNats } from "../servers/index.js";
import { skipBecause } from "../servers/not-run.js";

describe("access to a coordinator: tokens, certificates and the audit log", () => {
  let nats: NatsServer;
  let folder = "";
  let coordinator: MillraceProcess | undefined;
  let certificates: Certificates;
  let url = "";
  let tokens = "";

  before(async function () {
    this.timeout(90_000);
    if (!hasOpenssl()) skipBecause(this, "no openssl, which makes the certificates");
    nats = await startNats();
    folder = await mkdtemp(join(tmpdir(), "millrace-access-"));
    tokens = join(folder, "tokens.json");
    certificates = makeCertificates(folder);
    await writeFile(tokens, '{"tokens": []}');
    coordinator = new MillraceProcess(
      [
        ...["coordinator", "--log-level", "info", "--tokens", tokens, "--audit", join(folder, "audit.jsonl")],
        ...["--tls-cert", certificates.serverCert, "--tls-key", certificates.serverKey],
      ],
      {
        env: {
          MILLRACE_NATS: nats.url,
          MILLRACE_STORE: `file://${folder}/store`,
          MILLRACE_CACHE: join(folder, "cache"),
        },
      },
    );
    await coordinator.says("HTTP API and dashboard at", 60_000);
    url = /dashboard at (\S+)/.exec(coordinator.said)![1]!;
    await coordinator.says("leads", 60_000);
  });
  after(async function () {
    this.timeout(60_000);
    await coordinator?.stop();
    await nats?.stop();
    if (folder !== "") await rm(folder, { recursive: true });
  });

  const token = async (...args: string[]) => finished(await millrace(["token", ...args, "--file", tokens]));
  const ask = async (path: string, token: string, method = "GET"): Promise<number> => {
    const ca = await readFile(certificates.ca);
    const options = { ca, method, agent: false, headers: { authorization: `Bearer ${token}` } };
    return new Promise((resolve, reject) => {
      request(`${url}${path}`, options, (answer) => resolve(answer.resume().statusCode!))
        .once("error", reject)
        .end();
    });
  };
  const readings = () => coordinator!.complained.split("access tokens were read again").length;
  /** Asks once for each time that the file was read: an address that has sent 20 wrong tokens has to wait. */
  const untilAnswers = (status: number, secret: string) => {
    let seen = 0;
    return until(`status ${status}`, async () => {
      const now = readings();
      if (now === seen) return undefined;
      const answer = await ask("/v1/jobs", secret);
      if (answer !== 503) seen = now; // that one does not lead at the moment, and has not looked at the token
      return answer === status ? true : undefined;
    });
  };

  it("a new token works and a revoked one is refused within seconds, with no restart (N1)", async function () {
    this.timeout(90_000);
    const secret = (await token("create", "ops@example.org", "--role", "operator")).trim();
    assert.match(secret, /^mrt_[a-z0-9]{8}_[\w-]{43}$/);
    await untilAnswers(200, secret);
    const id = secret.split("_")[1]!;
    const listed = await token("list");
    assert.match(listed, new RegExp(`${id} +ops@example.org +operator +never`));
    const kept = await readFile(tokens, "utf8");
    for (const text of [listed, kept])
      assert.equal(text.includes(secret.slice(-43)), false, "nothing that lets anybody in");
    assert.equal((await stat(tokens)).mode & 0o777, 0o600);
    const other = (await token("create", "eyes")).trim();
    await token("revoke", id);
    await untilAnswers(401, secret);
    await untilAnswers(200, other);
    assert.equal((await millrace(["token", "revoke", "nobody00", "--file", tokens])).status, 2);
  });

  it("a list that is broken changes nothing, and the log says so", async function () {
    this.timeout(90_000);
    const secret = (await token("create", "stays", "--role", "viewer")).trim();
    await untilAnswers(200, secret);
    const before = await readFile(tokens, "utf8");
    await writeFile(tokens, '{"tokens": [');
    await coordinator!.complains("access tokens could not be read again", 15_000);
    assert.equal(await ask("/v1/jobs", secret), 200);
    const refused = await millrace(["token", "create", "more", "--file", tokens]);
    assert.equal(refused.status, 2, "what is broken is not written over");
    await writeFile(tokens, before);
  });

  it("a new certificate is taken over for new connections; one that does not fit its key is not", async function () {
    this.timeout(60_000);
    const serial = () =>
      new Promise<string>((resolve, reject) => {
        const socket = get(`${url}/healthz`, { rejectUnauthorized: false, agent: false }, (answer) => {
          resolve((answer.socket as import("node:tls").TLSSocket).getPeerCertificate().serialNumber);
          answer.resume();
        });
        socket.once("error", reject);
      });
    const first = await serial();
    await writeFile(certificates.serverCert, await readFile(certificates.clientCert));
    await coordinator!.complains("the certificate could not be read again", 15_000);
    assert.equal(await serial(), first);
    makeCertificates(folder);
    await until("the new certificate", async () => ((await serial()) === first ? undefined : true), {
      withinMs: 15_000,
    });
  });

  it("the audit log has every change, with who, from where and how it ended, and no reading", async function () {
    this.timeout(60_000);
    const secret = (await token("create", "writer", "--role", "operator")).trim();
    await untilAnswers(200, secret);
    assert.equal(await ask("/v1/jobs/nowhere/cancel", secret, "POST"), 404);
    assert.equal(await ask("/v1/jobs/nowhere/cancel", "wrong", "POST"), 401);
    const file = join(folder, "audit.jsonl");
    const records = await until("two records", async () => {
      const lines = (await readFile(file, "utf8")).trim().split("\n");
      return lines.length < 2 ? undefined : lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    });
    assert.deepEqual(
      records.map(({ who, address, operation, status, code }) => ({ who, address, operation, status, code })),
      [
        { who: "writer", address: "127.0.0.1", operation: "cancelJob", status: 404, code: "MILL_JOB_UNKNOWN" },
        {
          who: "unknown",
          address: "127.0.0.1",
          operation: "cancelJob",
          status: 401,
          code: "MILL_REQUEST_UNAUTHENTICATED",
        },
      ],
    );
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it("no token and no key is in what the coordinator says", async () => {
    const said = `${coordinator!.said}${coordinator!.complained}${await readFile(join(folder, "audit.jsonl"), "utf8")}`;
    assert.doesNotMatch(said, /mrt_[a-z0-9]{8}_|PRIVATE KEY/);
  });
});
