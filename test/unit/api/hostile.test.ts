/** Clients that mean harm, or are broken, at a real socket: each is refused or let go, and the server goes on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { limits } from "../../../src/base/limits.js";
import { eventFrame } from "../../../src/wire/control.js";
import { closed } from "../../conformance/bus-support.js";
import { within } from "../actors/support.js";
import { job, subjects } from "../coordinator/coordinator-cluster.js";
import { ApiCluster } from "./api-cluster.js";

describe("api/server: hostile clients", () => {
  let api: ApiCluster;
  let port = 0;
  before(async () => {
    api = await ApiCluster.running();
    await api.server.app.listen({ host: "127.0.0.1", port: 0 });
    port = (api.server.app.server.address() as { port: number }).port;
  });
  after(() => api.close());

  const open = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {}); // that it is cut off is what the tests are about
    await once(socket, "connect");
    return socket;
  };
  /** Everything that comes back until the other side ends it. */
  const say = async (...lines: string[]): Promise<string> => {
    const socket = await open();
    socket.write(lines.join("\r\n"));
    let all = "";
    socket.setEncoding("utf8").on("data", (text: string) => (all += text));
    await within("the end of the connection", closed(socket));
    return all;
  };
  const HOST = "Host: localhost";
  const savepoints = `/v1/jobs/${job}/savepoints`;
  const post = (payload: string, headers = {}) =>
    api.server.app.inject({
      method: "POST",
      url: savepoints,
      payload,
      headers: { "content-type": "application/json", ...headers },
    });

  it("what is no request of HTTP is answered with a problem, and the connection ends", async () => {
    assert.match(await say("\u0016\u0003\u0001 no http", "", ""), /^HTTP\/1\.1 400 [\s\S]*MILL_REQUEST_INVALID/);
    assert.match(
      await say("GET / HTTP/1.1", HOST, "Content-Length: 1", "Transfer-Encoding: chunked", "", ""),
      /^HTTP\/1\.1 400 /,
    );
    assert.match(await say("GET /v1/jobs HTTP/1.1", HOST, HOST, "Connection: close", "", ""), /^HTTP\/1\.1 (400|200) /);
  });

  it("a head that is too large is refused", async () => {
    const bomb = await say("GET /healthz HTTP/1.1", HOST, `X-Bomb: ${"x".repeat(limits.apiHeadBytesMax)}`, "", "");
    assert.match(bomb, /^HTTP\/1\.1 431 [\s\S]*the head of the request is too large/);
    const many = Array.from({ length: 3_000 }, (_, i) => `X-${i}: 1`);
    assert.match(await say("GET /healthz HTTP/1.1", HOST, ...many, "", ""), /^HTTP\/1\.1 431 /);
  });

  it("a server has bounds for heads and bodies that do not come, and for connections", () => {
    const { server } = api.server.app;
    assert.equal(server.headersTimeout, limits.apiHeadersTimeoutMs);
    assert.equal(server.requestTimeout, limits.apiRequestTimeoutMs);
    assert.equal(server.timeout, limits.apiConnectionTimeoutMs);
    assert.equal(server.maxConnections, limits.apiConnectionsMax);
  });

  it("a head that comes too slowly ends its connection, and others are answered meanwhile", async () => {
    const slow = await ApiCluster.running();
    try {
      const { app } = slow.server;
      app.server.headersTimeout = 100;
      await app.listen({ host: "127.0.0.1", port: 0 });
      const socket = connect((app.server.address() as { port: number }).port, "127.0.0.1");
      let all = "";
      socket.setEncoding("utf8").on("data", (text: string) => (all += text));
      socket.write("GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
      assert.equal((await slow.get("/healthz")).statusCode, 200);
      await within("the end of the connection", closed(socket), 10_000);
      assert.match(all, /^HTTP\/1\.1 408 /);
    } finally {
      await slow.close();
    }
  });

  it("who follows events and does not read is let go", async () => {
    const socket = await open();
    socket.pause();
    socket.write(`GET /v1/events/stream HTTP/1.1\r\n${HOST}\r\n\r\n`);
    let gone = false;
    const ended = closed(socket).then(() => (gone = true));
    const message = "x".repeat(64 * 1024);
    const about = { kind: "job.state", severity: "info", job, about: "", code: "", message } as const;
    for (let i = 1; i < 1_000 && !gone; i++) {
      const event = { event: `1-${i}`, atMs: 1n, ...about };
      await api.cluster.bus.publish(subjects.events, eventFrame.encode(event));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write("\r\n"); // what nobody reads learns of its end by writing, as soon as TCP sends what is written
    }
    socket.resume();
    await within("the end of the connection", ended);
    assert.equal((await api.get("/healthz")).statusCode, 200);
  });

  it("bodies that are no JSON, hide keys, nest without end or are too large are refused", async () => {
    const deep = 200_000;
    for (const body of [
      "{",
      "[]",
      "null",
      '"x"',
      "\u0000",
      '{"name": "a\u0000b"}',
      '{"name": "\\ud800"}',
      '{"name": "../../x"}',
    ])
      assert.equal((await post(body)).json().code, "MILL_REQUEST_INVALID", JSON.stringify(body));
    for (const body of ['{"__proto__": {"stop": true}}', '{"constructor": {"prototype": {"stop": true}}}'])
      assert.equal((await post(body)).json().code, "MILL_REQUEST_INVALID", body);
    assert.equal(({} as { stop?: boolean }).stop, undefined);
    assert.equal((await post(`{"name": ${"[".repeat(deep)}${"]".repeat(deep)}}`)).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await post(`{"name": ${'{"a":'.repeat(deep)}1${"}".repeat(deep)}}`)).statusCode, 413);
    assert.equal(
      (await post(JSON.stringify({ name: "x".repeat(limits.apiBodyBytesMax) }))).json().code,
      "MILL_REQUEST_TOO_LARGE",
    );
    assert.equal((await post("name=x", { "content-type": "text/plain" })).json().code, "MILL_REQUEST_INVALID");
  });

  it("paths that lead out, doubled queries and made-up methods are refused", async () => {
    for (const path of [
      "..%2f..%2fetc",
      "%2e%2e",
      "a%00b",
      "%E2%80%AE",
      "a%20b",
      "%ff",
      "x".repeat(300),
      "x".repeat(3_000),
      "a.b",
    ]) {
      const { statusCode, body } = await api.get(`/v1/jobs/${path}`);
      assert.ok(statusCode === 400 || statusCode === 404, `${path}: ${statusCode} ${body}`);
      assert.match(body, /"code":"MILL_REQUEST_(INVALID|NOT_FOUND)"/, path);
    }
    for (const path of ["/v1/jobs/", "/v1/jobs/j/services/", "/v2/models/"]) {
      const { statusCode, body } = await api.get(`${path}${"x".repeat(3_000)}`);
      assert.equal(statusCode, 400, `${path}: a name that is too long is refused as such, and not as a wrong method`);
      assert.match(body, /MILL_REQUEST_INVALID/);
    }
    for (const limit of ["+1", "1.0", "%201", "1e1", ""])
      assert.equal(
        (await api.get(`/v1/jobs?limit=${limit}`)).json().code,
        "MILL_REQUEST_INVALID",
        `"${limit}" is no number`,
      );
    assert.match(await say("GET /v1/../../etc/passwd HTTP/1.1", HOST, "Connection: close", "", ""), /^HTTP\/1\.1 404 /);
    assert.equal((await api.get("/v1/jobs?limit=1&limit=2")).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.get("/v1/jobs?__proto__[x]=1")).json().code, "MILL_REQUEST_INVALID");
    for (const method of ["DELETE", "TRACE", "QUERY"] as const) {
      const answer = await api.server.app.inject({ method: method as "DELETE", url: "/v1/workers" });
      assert.equal(answer.json().code, "MILL_REQUEST_METHOD", method);
      assert.equal(answer.headers.allow, "GET, HEAD", method);
    }
    const overridden = await api.post("/v1/workers", undefined, { "x-http-method-override": "GET" });
    assert.equal(overridden.statusCode, 405);
    assert.equal((await api.server.app.inject({ method: "HEAD", url: "/v1/workers" })).statusCode, 200);
  });

  it("nobody becomes somebody else by a proxy's header", async () => {
    const outside = await api.server.app.inject({
      url: "/v1/me",
      remoteAddress: "10.0.0.9",
      headers: { "x-forwarded-for": "127.0.0.1", forwarded: "for=127.0.0.1" },
    });
    assert.equal(outside.statusCode, 403);
  });
});
