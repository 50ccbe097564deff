/** The client against a server of this test: what it sends, and what it makes of each kind of answer. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { ApiClient, apiSettings, parseEvents, part } from "../../../src/cli/api/client.js";
import { drainCommand, pauseCommand, resumeCommand, scaleCommand } from "../../../src/cli/commands/control.js";

describe("cli/api/client: where the coordinator is", () => {
  it("takes the flag, then the environment, then this machine; the token from the environment alone (H1)", () => {
    const env = { MILLRACE_URL: "https://a.example/mill/", MILLRACE_TOKEN: "mrt_1" };
    assert.deepEqual(apiSettings({}, {}), { url: "http://127.0.0.1:8080", token: undefined });
    assert.deepEqual(apiSettings({}, env), { url: "https://a.example/mill", token: "mrt_1" });
    assert.equal(apiSettings({ url: "http://b:1" }, env).url, "http://b:1");
    assert.deepEqual(apiSettings({}, { MILLRACE_URL: "", MILLRACE_TOKEN: "" }), apiSettings({}, {}));
  });

  it("refuses what is no address, or holds a secret, without showing it", () => {
    for (const url of ["b:1", "planted", "ftp://planted", "http://planted:planted@b", "http://planted@b"]) {
      const refused = (error: Error & { code?: string }) =>
        error.code === "MILL_CONFIG" && !error.message.includes("planted");
      assert.throws(() => apiSettings({ url }, {}), refused, url);
    }
  });
});

describe("cli/api/client: server-sent events", () => {
  const text =
    'id: 1-1\nevent: job.state\ndata: {"a":1}\n\n: still here\n\nid: 1-2\r\ndata: x\r\ndata: y\r\n\r\nid: 1-3\nda';

  it("are read whole, however they are cut, and comments are none", () => {
    const expected = [
      { id: "1-1", data: '{"a":1}' },
      { id: "1-2", data: "x\ny" },
    ];
    assert.deepEqual(parseEvents(text), { events: expected, left: "id: 1-3\nda" });
    for (let at = 0; at <= text.length; at++) {
      const first = parseEvents(text.slice(0, at));
      const second = parseEvents(first.left + text.slice(at));
      assert.deepEqual([...first.events, ...second.events], expected, `cut at ${at}`);
    }
  });
});

describe("cli/api/client: answers", () => {
  let server: Server;
  let url: string;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  const seen: {
    readonly method: string | undefined;
    readonly url: string | undefined;
    readonly token: string | undefined;
    readonly key: string | undefined;
    readonly ifMatch: string | undefined;
    body: string;
  }[] = [];

  before(async () => {
    server = createServer((request, response) => {
      const { authorization: token, "idempotency-key": key, "if-match": ifMatch } = request.headers;
      const one = {
        method: request.method,
        url: request.url,
        token,
        key: key as string | undefined,
        ifMatch,
        body: "",
      };
      seen.push(one);
      request.on("data", (bytes) => (one.body += bytes)).on("end", () => answer(request, response));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  });
  after(() => server.close());
  beforeEach(() => void seen.splice(0));

  const client = (token?: string) => new ApiClient({ url, token });
  const json = (value: unknown, status = 200, type = "application/json") => {
    answer = (_, response) => response.writeHead(status, { "content-type": type }).end(JSON.stringify(value));
  };

  it("lists whole lists, page by page", async () => {
    answer = ({ url }, response) => {
      const last = url!.includes("after=x");
      const page = last ? { items: [3] } : { items: [1, 2], next: "x" };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(page));
    };
    assert.deepEqual(await client().list("/v1/jobs", { state: "RUNNING", region: undefined }), [1, 2, 3]);
    assert.deepEqual(
      seen.map(({ url }) => url),
      ["/v1/jobs?state=RUNNING&limit=1000", "/v1/jobs?state=RUNNING&limit=1000&after=x"],
    );
  });

  it("sends the token where there is one, and follows no redirect with it (H1)", async () => {
    json({});
    await client("mrt_secret").get("/v1/me");
    await client().get("/v1/me");
    assert.deepEqual(
      seen.map(({ token }) => token),
      ["Bearer mrt_secret", undefined],
    );
    answer = (_, response) => response.writeHead(302, { location: "/elsewhere" }).end();
    await assert.rejects(client("mrt_secret").get("/v1/me"), (error: Error & { code?: string }) => {
      return error.code === "MILL_COORDINATOR_UNREACHABLE" && !error.message.includes("mrt_secret");
    });
    assert.equal(seen.length, 3, "nobody was asked elsewhere");
  });

  it("makes a problem the error that it tells of (H2)", async () => {
    json(
      { code: "MILL_JOB_UNKNOWN", detail: 'there is no job "a".', status: 404 },
      404,
      "application/problem+json; charset=utf-8",
    );
    await assert.rejects(client().get("/v1/jobs/a"), { code: "MILL_JOB_UNKNOWN", message: 'there is no job "a".' });
    json({ code: "MILL_OF_TOMORROW", detail: "new" }, 400, "application/problem+json");
    await assert.rejects(client().get("/v1/jobs/a"), { code: "MILL_INTERNAL", message: "new" });
  });

  it("says of an access token that is not there, or not known, where the next one goes, and shows none (H2)", async () => {
    json({ code: "MILL_REQUEST_UNAUTHENTICATED", detail: "as for programs" }, 401, "application/problem+json");
    const code = "MILL_REQUEST_UNAUTHENTICATED";
    await assert.rejects(client().get("/v1/jobs"), { code, message: /wants an access token\. Set MILLRACE_TOKEN/ });
    await assert.rejects(client("mrt_planted").get("/v1/jobs"), (error: Error & { code?: string }) => {
      assert.match(error.message, /does not know the access token in MILLRACE_TOKEN/);
      return error.code === code && !error.message.includes("mrt_planted");
    });
  });

  it("says of another program's answer that it is no coordinator's", async () => {
    for (const [status, type] of [
      [200, "text/html"],
      [404, "text/html"],
      [502, "application/json"],
    ] as const) {
      answer = (_, response) => response.writeHead(status, { "content-type": type }).end("<html>");
      const message = new RegExp(`HTTP ${status}\\) is no coordinator`);
      await assert.rejects(client().get("/v1/jobs"), { code: "MILL_COORDINATOR_UNREACHABLE", message });
    }
  });

  it("says what to do when nobody answers, and when the answer breaks off", async () => {
    const nobody = new ApiClient({ url: "http://127.0.0.1:9", token: undefined });
    const message = /no coordinator answers at http:\/\/127\.0\.0\.1:9 .*millrace coordinator/;
    await assert.rejects(nobody.get("/v1/jobs"), { code: "MILL_COORDINATOR_UNREACHABLE", message });
    answer = (_, response) => void response.writeHead(200).write("id: 1-1\n", () => response.destroy());
    const events = client().events("/v1/events/stream", {}, "0-0", new AbortController().signal);
    await assert.rejects(events.next(), { code: "MILL_COORDINATOR_UNREACHABLE" });
  });

  it("keeps what a user wrote within its part of the path", async () => {
    json({});
    await client().get(`/v1/jobs/${part("../../healthz?a=b#c")}`);
    assert.equal(seen[0]!.url, "/v1/jobs/..%2F..%2Fhealthz%3Fa%3Db%23c");
  });

  it("a change is sent again with its key where nobody leads, or the answer was lost; the next has another (H4)", async () => {
    const pauses: number[] = [];
    const patient = new ApiClient({ url, token: undefined }, { sleep: async (ms) => void pauses.push(ms) });
    const problem = JSON.stringify({ code: "MILL_NO_LEADER", detail: "nobody leads" });
    let times = 0;
    answer = (_, response) => {
      times++;
      if (times === 1) response.writeHead(503, { "content-type": "application/problem+json" }).end(problem);
      else if (times === 2) response.destroy();
      else response.writeHead(202, { "content-type": "application/json" }).end('{"done":true}');
    };
    assert.deepEqual(await patient.change("POST", "/v1/jobs/a/pause", { ifMatch: '"7"' }), { done: true });
    assert.equal(pauses.length, 2);
    assert.deepEqual(
      [new Set(seen.map(({ key }) => key)).size, new Set(seen.map(({ ifMatch }) => ifMatch)).size],
      [1, 1],
    );
    assert.match(seen[0]!.key!, /^[!-~]{16,128}$/);
    assert.equal(seen[0]!.ifMatch, '"7"');
    await patient.change("POST", "/v1/jobs/a/pause");
    assert.notEqual(seen[3]!.key, seen[0]!.key);
    times = 0;
    answer = (_, response) => void response.writeHead(503, { "content-type": "application/problem+json" }).end(problem);
    await assert.rejects(patient.change("POST", "/v1/jobs/a/pause"), { code: "MILL_NO_LEADER" });
    assert.equal(pauses.length, 2 + 4, "not for ever");
  });

  it("a change that is refused, or that nobody hears, is not sent again (H4)", async () => {
    const never = { sleep: () => assert.fail("it was to be sent again") };
    json({ code: "MILL_REQUEST_STALE", detail: "changed meanwhile" }, 412, "application/problem+json");
    const asked = new ApiClient({ url, token: undefined }, never);
    await assert.rejects(asked.change("PATCH", "/v1/a", { body: {} }), { code: "MILL_REQUEST_STALE" });
    const nobody = new ApiClient({ url: "http://127.0.0.1:9", token: undefined }, never);
    await assert.rejects(nobody.change("POST", "/v1/a"), { code: "MILL_COORDINATOR_UNREACHABLE" });
  });

  it("scale, pause and resume hold for what was read just before", async () => {
    answer = (_, response) =>
      response.writeHead(200, { "content-type": "application/json", etag: '"41"' }).end('{"paused":false}');
    await scaleCommand("job-1", "ocr", 3, { url });
    await pauseCommand("job-1", { url });
    await resumeCommand("job-1", { url });
    const asked = seen.map(({ method, url, ifMatch }) => `${method} ${url} ${ifMatch ?? "-"}`);
    const reads = "GET /v1/jobs/job-1/wishes -";
    assert.deepEqual(asked, [
      ...[reads, 'PATCH /v1/jobs/job-1/services/ocr "41"'],
      ...[reads, 'POST /v1/jobs/job-1/pause "41"'],
      ...[reads, 'POST /v1/jobs/job-1/resume "41"'],
    ]);
  });

  it("scale and drain ask for what they say", async () => {
    json({});
    await scaleCommand("job-1", "ocr", 3, { url });
    seen.shift(); // what it read before
    await drainCommand("w1", { url });
    await drainCommand("i1", { url, job: "job-1", service: "ocr" });
    await assert.rejects(drainCommand("i1", { url, job: "job-1" }), { code: "MILL_CONFIG", message: /go together/ });
    assert.deepEqual(
      seen.map(({ method, url, body }) => [method, url, body]),
      [
        ["PATCH", "/v1/jobs/job-1/services/ocr", '{"instances":3}'],
        ["POST", "/v1/workers/w1/drain", ""],
        ["POST", "/v1/jobs/job-1/services/ocr/instances/i1/drain", ""],
      ],
    );
  });
});
