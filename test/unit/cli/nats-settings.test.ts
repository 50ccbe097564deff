/** What the environment says of NATS: who this process is, how it speaks, how much is kept. */
import assert from "node:assert/strict";
import { clusterSettings } from "../../../src/cli/settings.js";

const nats = (env: Readonly<Record<string, string>>) =>
  clusterSettings({ store: "s3://bucket", nats: "nats://server" }, env).nats;

describe("cli/settings: who a process is to NATS", () => {
  for (const [env, credentials] of [
    [
      { MILLRACE_NATS_USER: "me", MILLRACE_NATS_PASSWORD: "secret" },
      { user: "me", password: "secret" },
    ],
    [{ MILLRACE_NATS_TOKEN: "secret" }, { token: "secret" }],
    [{ MILLRACE_NATS_NKEY: "/run/seed.nk" }, { nkeyFile: "/run/seed.nk" }],
    [{ MILLRACE_NATS_CREDS: "/run/me.creds" }, { credsFile: "/run/me.creds" }],
  ] as const) {
    it(`says it by ${Object.keys(env).join(" and ")}`, () => {
      assert.deepEqual(nats(env), { servers: ["nats://server"], credentials });
    });
  }

  it("is MILL_CONFIG if it is said twice, which names both variables and no secret", () => {
    const twice = { MILLRACE_NATS_TOKEN: "hidden", MILLRACE_NATS_CREDS: "/run/me.creds" };
    assert.throws(() => nats(twice), { code: "MILL_CONFIG", message: /NATS_TOKEN and MILLRACE_NATS_CREDS are set/ });
    assert.throws(
      () => nats(twice),
      ({ message }: Error) => !message.includes("hidden"),
    );
  });

  it("is said by the environment rather than by the address", () => {
    const settings = clusterSettings({ store: "s3://b", nats: "nats://a:b@server" }, { MILLRACE_NATS_TOKEN: "t" });
    assert.deepEqual(settings.nats, { servers: ["nats://server"], credentials: { token: "t" } });
  });
});

describe("cli/settings: how a process speaks with NATS", () => {
  it("takes an authority, and a certificate with its key", () => {
    const tls = { MILLRACE_NATS_CA: "ca", MILLRACE_NATS_CERT: "cert", MILLRACE_NATS_KEY: "key" };
    assert.deepEqual(nats(tls).tls, { caFile: "ca", certFile: "cert", keyFile: "key" });
    assert.deepEqual(nats({ MILLRACE_NATS_CA: "ca" }).tls, { caFile: "ca" });
    assert.equal(nats({ MILLRACE_NATS_CA: "" }).tls, undefined);
  });

  it("refuses a certificate without its key, and a key alone, with MILL_CONFIG", () => {
    for (const half of [{ MILLRACE_NATS_CERT: "cert" }, { MILLRACE_NATS_KEY: "key" }])
      assert.throws(() => nats(half as Record<string, string>), { code: "MILL_CONFIG", message: /needs both/ });
  });

  it("takes what subjects of answers begin with, and the count of replicas", () => {
    const { inbox, replicas } = nats({ MILLRACE_NATS_INBOX: "_INBOX_worker", MILLRACE_NATS_REPLICAS: "3" });
    assert.deepEqual({ inbox, replicas }, { inbox: "_INBOX_worker", replicas: 3 });
  });

  it("takes where JetStream answers for logs, if that is in another account", () => {
    assert.equal(nats({ MILLRACE_NATS_LOGS_API: "JS.jobs.API" }).logsApi, "JS.jobs.API");
  });

  for (const text of ["0", "6", "1.5", "three"]) {
    it(`${text} replicas are MILL_CONFIG`, () => {
      const named = { code: "MILL_CONFIG", message: /MILLRACE_NATS_REPLICAS is/ };
      assert.throws(() => nats({ MILLRACE_NATS_REPLICAS: text }), named);
    });
  }

  for (const name of ["MILLRACE_NATS_INBOX", "MILLRACE_NATS_LOGS_API"]) {
    for (const text of ["with blank", "a.*", "a.>", ".a"]) {
      it(`"${text}" as ${name} is MILL_CONFIG, which names it`, () => {
        assert.throws(() => nats({ [name]: text }), { code: "MILL_CONFIG", message: new RegExp(name) });
      });
    }
  }
});
