/** `millrace doctor` with real servers, with wrong ones, and with none. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts } from "../../src/base/real/ports.js";
import { openStore } from "../../src/storage/open-store.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { type Ended, millrace } from "./millrace-process.js";

interface Told {
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  readonly mend?: string;
}

/** Nothing listens there. */
const NOBODY = "127.0.0.1:9";

describe("e2e: millrace doctor", function () {
  this.timeout(60_000);
  let nats: NatsServer;
  let minio: MinioServer;
  let folder: string;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-doctor-"));
    [nats, minio] = await Promise.all([startNats({ user: "ann", password: "planted-nats-password" }), startMinio()]);
    env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_NATS_USER: "ann",
      MILLRACE_NATS_PASSWORD: "planted-nats-password",
      MILLRACE_STORE: `s3://${minio.bucket}/doctor`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
      MILLRACE_HTTP: "127.0.0.1:0",
      MILLRACE_CONTENT_CACHE_BYTES: "0",
    };
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
    await Promise.all([nats.stop(), minio.stop()]);
  });

  const doctor = (changed: Record<string, string>, ...args: string[]) =>
    millrace(["doctor", ...args], { env: { ...env, ...changed } });

  async function told(changed: Record<string, string>, ...args: string[]) {
    const ended = await doctor(changed, ...args, "--json");
    const { exit, checks } = JSON.parse(ended.stdout) as { exit: number; checks: Told[] };
    assert.equal(ended.status, exit, "the status that it says is the one that it has");
    return { exit, ended, of: (name: string) => checks.find((check) => check.name === name)!, checks };
  }

  const noSecret = ({ stdout, stderr }: Ended) =>
    assert.ok(!`${stdout}${stderr}`.includes("planted"), `a secret shows: ${stdout}${stderr}`);

  it("finds a set-up that is well to be well, with status 0, and leaves nothing behind", async () => {
    const { exit, checks, of } = await told({});
    assert.deepEqual(
      checks.filter(({ state }) => state === "fail"),
      [],
    );
    assert.equal(exit, 0);
    assert.match(of("nats").found, /version \d+\.\d+\.\d+, answers in \d+ ms, messages of up to 1 MiB/);
    assert.match(of("jetstream").found, /streams can be made/);
    assert.equal(of("clock").found, "nats agrees, store agrees");
    for (const right of ["write", "read", "create once", "list", "delete"])
      assert.equal(of(`store: ${right}`).state, "ok");
    const store = openStore(env.MILLRACE_STORE!, { s3: { ...minio } }, realPorts());
    for await (const { key } of store.list("")) assert.fail(`${key} was left behind`);
    await store.close();
  });

  it("says it for people, each with its name, without colours where nobody watches", async () => {
    const { status, stdout } = await doctor({});
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^ok {4}node +\d+/m);
    assert.match(stdout, /^ok {4}store: create once +s3:\/\//m);
    assert.match(stdout, /\n\d+ ok, \d+ to look at, 0 wrong\n$/);
    assert.ok(!stdout.includes("\u001b"), "colours are for terminals");
  });

  it("where nobody has named a server it says what is not there, and that a job in one process needs none", async () => {
    const { of } = await told({ MILLRACE_NATS: "", MILLRACE_NATS_USER: "", MILLRACE_STORE: "" });
    assert.equal(of("store").state, "warn");
    assert.match(of("store").mend!, /`run` needs none/);
    // Somebody may run one at the default address of this machine.
    assert.notEqual(of("nats").state, "fail");
  });

  it("a server that was named and is not reachable is status 3, with how to mend it", async () => {
    const { exit, of, ended } = await told({ MILLRACE_NATS: NOBODY, AWS_ENDPOINT_URL_S3: `http://${NOBODY}` });
    assert.equal(exit, 3);
    assert.deepEqual([of("nats").state, of("store: write").state], ["fail", "fail"]);
    assert.match(of("nats").found, /no NATS server answers at/);
    assert.match(of("store: write").mend!, /docs\/storage\.md/);
    assert.equal(of("store: read"), undefined, "what cannot be tried is not told");
    noSecret(ended);
  });

  it("wrong credentials are status 3, and are shown nowhere", async () => {
    const { exit, of, ended } = await told({
      MILLRACE_NATS_PASSWORD: "planted-wrong-password",
      AWS_SECRET_ACCESS_KEY: "planted-wrong-secret-key",
    });
    assert.equal(exit, 3);
    assert.match(of("nats").mend!, /MILLRACE_NATS_USER/);
    assert.match(of("store: write").mend!, /s3:PutObject/);
    noSecret(ended);
  });

  it("a setting that is none is status 2, whatever else is wrong, and shows no secret", async () => {
    const { exit, of, ended } = await told({
      MILLRACE_NATS: `nats://ann:planted%zz@${NOBODY}`,
      MILLRACE_NATS_USER: "",
      MILLRACE_HTTP: "nowhere",
      AWS_ENDPOINT_URL_S3: `http://${NOBODY}`,
    });
    assert.equal(exit, 2);
    assert.deepEqual([of("settings").state, of("http port").state], ["fail", "fail"]);
    noSecret(ended);
  });

  it("a JetStream that is not enabled is named", async () => {
    const plain = await startNats({ jetstream: false });
    try {
      const { exit, of } = await told({ MILLRACE_NATS: plain.url, MILLRACE_NATS_USER: "" });
      assert.deepEqual([exit, of("nats").state, of("jetstream").state], [3, "ok", "fail"]);
      assert.match(of("jetstream").mend!, /-js/);
    } finally {
      await plain.stop();
    }
  });
});
