import assert from "node:assert/strict";
import { Pace } from "../../../src/api/shield.js";
import { newToken, TokenAccess } from "../../../src/api/tokens.js";
import { limits } from "../../../src/base/limits.js";
import { job } from "../coordinator/coordinator-cluster.js";
import { FakeClock, fakePorts } from "../coordinator/fake-ports.js";
import { ApiCluster } from "./api-cluster.js";

const PAGE = "https://ops.example.org";
const pause = `/v1/jobs/${job}/pause`;

describe("api/shield: pages of other sites (B1)", () => {
  let api: ApiCluster;
  before(async () => {
    api = await ApiCluster.running();
  });
  after(() => api.close());

  const preflight = (server: ApiCluster, origin: string) =>
    server.server.app.inject({
      method: "OPTIONS",
      url: pause,
      headers: { origin, "access-control-request-method": "POST" },
    });

  it("no answer opens anything to another origin, and a preflight is refused", async () => {
    const answers = [await preflight(api, PAGE), await api.get("/v1/jobs", { origin: PAGE })];
    assert.deepEqual(
      answers.map(({ statusCode }) => statusCode),
      [405, 200],
    );
    for (const { headers } of answers)
      assert.deepEqual(
        Object.keys(headers).filter((name) => name.startsWith("access-control")),
        [],
      );
  });

  it("a change that a page of another origin asks for is refused, also a plain POST that browsers send unasked", async () => {
    const answer = await api.post(pause, undefined, { origin: PAGE, host: "127.0.0.1:8080" });
    assert.equal(answer.statusCode, 403);
    assert.equal(answer.json().code, "MILL_REQUEST_FORBIDDEN");
    assert.equal((await api.post(pause, undefined, { origin: "null" })).statusCode, 403);
    const own = { origin: "http://127.0.0.1:8080", host: "127.0.0.1:8080" };
    assert.equal((await api.post(pause, undefined, own)).statusCode, 202);
  });

  it("on loopback a name that leads here is refused, unless it was named (DNS rebinding)", async () => {
    for (const host of ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"])
      assert.equal((await api.get("/v1/jobs", { host })).statusCode, 403, host);
    for (const host of ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"])
      assert.equal((await api.get("/v1/jobs", { host })).statusCode, 200, host);
    const named = await api.follower({ hosts: ["mill.example.org"] });
    const answer = await named.app.inject({ url: "/v1/jobs", headers: { host: "mill.example.org" } });
    assert.equal(answer.statusCode, 200);
    const outside = await api.follower({ host: "0.0.0.0" });
    assert.equal((await outside.app.inject({ url: "/v1/jobs", headers: { host: "any.example" } })).statusCode, 200);
  });

  it("an origin that was named may ask and change; another one not", async () => {
    const open = await ApiCluster.running({ cors: [PAGE] });
    try {
      const { statusCode, headers } = await preflight(open, PAGE);
      assert.equal(statusCode, 204);
      assert.equal(headers["access-control-allow-origin"], PAGE);
      assert.match(String(headers["access-control-allow-headers"]), /authorization/);
      assert.equal((await open.post(pause, undefined, { origin: PAGE })).statusCode, 202);
      const read = await open.get("/v1/jobs", { origin: PAGE });
      assert.equal(read.headers["access-control-allow-origin"], PAGE);
      assert.equal(read.headers["access-control-allow-credentials"], undefined, "there are no cookies to send");
      assert.equal(read.headers.vary, "origin");
      const other = await open.get("/v1/jobs", { origin: "https://evil.example" });
      assert.equal(other.headers["access-control-allow-origin"], undefined);
      assert.equal((await preflight(open, "https://evil.example")).statusCode, 405);
      assert.equal((await open.post(pause, undefined, { origin: "https://evil.example" })).statusCode, 403);
    } finally {
      await open.close();
    }
  });

  it("every answer says that it is no page; those that are load and run nothing but the server's own", async () => {
    for (const url of ["/v1/jobs", "/healthz", "/v1/nowhere", "/openapi.json"]) {
      const { headers } = await api.get(url);
      assert.match(String(headers["content-security-policy"]), /^default-src 'none'; base-uri/, url);
      assert.equal(headers["x-content-type-options"], "nosniff", url);
      assert.equal(headers["x-frame-options"], "DENY", url);
      assert.equal(headers["referrer-policy"], "no-referrer", url);
      assert.equal(headers["cache-control"], "no-store", url);
      assert.equal(headers["set-cookie"], undefined, url);
    }
    const { headers } = await api.get("/docs/");
    const policy = String(headers["content-security-policy"]);
    assert.match(policy, /^default-src 'none'; script-src 'self'; /);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /https:|upgrade-insecure|unsafe-eval/);
  });
});

describe("api/shield: how much may be asked (B2, B3)", () => {
  it("one principal's requests in a second are bounded; the next second is another, and others are others", async () => {
    const clock = new FakeClock();
    const pace = new Pace(clock);
    for (let i = 0; i < limits.apiRequestsPerSecondMax; i++) pace.count("busy");
    assert.throws(() => pace.count("busy"), { code: "MILL_REQUEST_TOO_MANY" });
    pace.count("calm");
    await clock.advance(1_000);
    pace.count("busy");
  });

  it("over it the answer is 429, and says when to come again", async () => {
    const made = newToken("busy", "viewer");
    const api = await ApiCluster.running({ access: new TokenAccess([made.entry], fakePorts().clock) });
    try {
      const header = { authorization: `Bearer ${made.token}` };
      let answer = await api.get("/v1/me", header);
      for (let i = 0; i < limits.apiRequestsPerSecondMax; i++) answer = await api.get("/v1/me", header);
      assert.equal(answer.statusCode, 429);
      assert.equal(answer.headers["retry-after"], "1");
      assert.equal((await api.get("/healthz")).statusCode, 200, "who watches over it is not slowed down");
    } finally {
      await api.close();
    }
  });

  it("a body that is compressed is refused, whatever is in it", async () => {
    const api = await ApiCluster.running();
    try {
      for (const encoding of ["gzip", "br", "deflate", "zstd", "gzip, identity"]) {
        const answer = await api.post(`/v1/jobs/${job}/savepoints`, {}, { "content-encoding": encoding });
        assert.equal(answer.json().code, "MILL_REQUEST_INVALID", encoding);
      }
    } finally {
      await api.close();
    }
  });
});
