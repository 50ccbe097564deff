import assert from "node:assert/strict";
import { MillraceError } from "../../../../src/base/errors.js";
import { realPorts } from "../../../../src/base/real/ports.js";
import { retryAfterMs } from "../../../../src/base/retry-after.js";
import {
  checkEndpoint,
  type Endpoint,
  type EndpointSettings,
  openEndpoint,
} from "../../../../src/services/handlers/endpoint.js";
import { BadServer, json, type Reply } from "./bad-server.js";
import { callContext, errorOf, loadContext } from "./contexts.js";

const KEY = "sk-secret-1234567890";

describe("services/handlers/endpoint: what a model server's refusals mean", () => {
  let server: BadServer;
  let endpoint: Endpoint | undefined;

  beforeEach(async () => {
    server = await BadServer.start();
  });
  afterEach(async () => {
    await endpoint?.close();
    endpoint = undefined;
    await server.stop();
  });

  async function open(settings: Partial<EndpointSettings> = {}, nowMs?: number): Promise<Endpoint> {
    const clock = realPorts().clock;
    const context = loadContext({
      service: "scorer",
      env: (name) => (name === "SERVER_KEY" ? KEY : undefined),
      clock: nowMs === undefined ? clock : { ...clock, nowMs: () => nowMs },
    });
    endpoint = await openEndpoint({ url: `${server.url}/v1?api-version=7`, ...settings }, context);
    return endpoint;
  }

  async function call(at: Endpoint, bounds = callContext()): Promise<Uint8Array> {
    return at.bytes(await at.send({ path: "infer", body: "{}" }, bounds));
  }

  async function refusal(reply: Reply | "silence", settings: Partial<EndpointSettings> = {}): Promise<MillraceError> {
    server.answer = () => reply;
    return errorOf(call(await open(settings)));
  }

  for (const [status, code] of [
    [429, "MILL_ENDPOINT_BUSY"],
    [503, "MILL_ENDPOINT_BUSY"],
    [502, "MILL_ENDPOINT_UNREACHABLE"],
    [504, "MILL_ENDPOINT_UNREACHABLE"],
    [500, "MILL_ENDPOINT_FAILED"],
    [400, "MILL_ENDPOINT_REFUSED"],
    [401, "MILL_ENDPOINT_REFUSED"],
    [403, "MILL_ENDPOINT_REFUSED"],
    [404, "MILL_ENDPOINT_REFUSED"],
    [413, "MILL_ENDPOINT_REFUSED"],
    [422, "MILL_ENDPOINT_REFUSED"],
  ] as const) {
    it(`${status} is ${code}, with status, URL and the server's words (E2)`, async () => {
      const error = await refusal(json({ error: { message: "such are my words" } }, { status }));
      assert.equal(error.code, code);
      assert.equal(error.facts.status, status);
      assert.match(
        error.message,
        new RegExp(`service "scorer": ${server.url}/v1/infer answered ${status}: such are my words\\. \\w`),
      );
    });
  }

  for (const [what, body, words] of [
    ["an Open Inference server", JSON.stringify({ error: "wrong shape" }), "wrong shape"],
    ["an OpenAI server", JSON.stringify({ error: { message: "wrong\n  model." } }), "wrong model"],
    ["a FastAPI server", JSON.stringify({ detail: "wrong field" }), "wrong field"],
    ["a FastAPI check", JSON.stringify({ detail: [{ loc: ["inputs"] }] }), '[{"loc":["inputs"]}]'],
    ["a plain text", "wrong and plain", "wrong and plain"],
    ["a page", "<html><body>Not here</body></html>", "an HTML page"],
    ["a long text", "x".repeat(5_000), `${"x".repeat(300)}...`],
  ] as const) {
    it(`finds the words of ${what}`, async () => {
      const { message } = await refusal({ status: 400, body });
      assert.equal(message.split(" answered 400: ")[1]?.split(". Correct what is sent")[0], words);
    });
  }

  it("a server's text about memory is MILL_OUT_OF_MEMORY, so that the call is made again in halves (E2)", async () => {
    const error = await refusal(json({ error: "CUDA out of memory. Tried to allocate 2 GiB" }, { status: 500 }));
    assert.equal(error.code, "MILL_OUT_OF_MEMORY");
  });

  it("a model that is being loaded again is BUSY, though the status is 400 (E2)", async () => {
    const error = await refusal(json({ error: "Model iris is not ready yet." }, { status: 400 }));
    assert.equal(error.code, "MILL_ENDPOINT_BUSY");
  });

  it("a call that is traced carries its span, whatever the settings say, and another carries none (E3)", async () => {
    server.answer = () => json({});
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const at = await open({ headers: { traceparent: "of the topology" } });
    await call(at, callContext({ traceparent }));
    await endpoint?.close();
    await call(await open());
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.traceparent),
      [traceparent, undefined],
    );
  });

  it("a redirection is refused and names where to, without its query", async () => {
    const error = await refusal({ status: 307, headers: { location: "https://other.example/v2?token=abc" } });
    assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
    assert.match(error.message, /points to https:\/\/other\.example\/v2; give the URL/);
  });

  it("the error's body is read up to a bound, however long it is", async () => {
    const error = await refusal({ status: 500, body: "y".repeat(200_000), after: "say nothing more" });
    assert.equal(error.code, "MILL_ENDPOINT_FAILED");
    await server.callerGone;
  });

  describe("Retry-After", () => {
    const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";
    const DATE_MS = 784_111_777_000;

    async function waits(headers: Readonly<Record<string, string>>, nowMs = 0): Promise<unknown> {
      server.answer = () => ({ status: 429, headers });
      const error = await errorOf(call(await open({}, nowMs)));
      return error.facts.retryAfterMs;
    }

    it("in seconds", async () => assert.equal(await waits({ "retry-after": "7" }), 7_000));
    it("as a date, by the server's own clock", async () => {
      const headers = { "retry-after": "Sun, 06 Nov 1994 08:50:00 GMT", date: DATE };
      assert.equal(await waits(headers, DATE_MS - 3_600_000), 23_000);
    });
    it("as a date in the past: at once", async () => {
      assert.equal(await waits({ "retry-after": DATE, date: "Mon, 07 Nov 1994 08:49:37 GMT" }), 0);
    });
    it("in ms, as OpenAI and Azure say it", async () => {
      assert.equal(await waits({ "retry-after-ms": "250", "retry-after": "1" }), 250);
    });
    it("in no form that there is: as if it was not said", async () => {
      assert.equal(await waits({ "retry-after": "soon" }), undefined);
    });
    it("by our clock where the server tells no date of its own; every day of 200 years is right", () => {
      const day = 86_400_000;
      for (let ms = 0; ms < 200 * 365 * day; ms += 97 * day + 1_000) {
        const when = new Date(ms).toUTCString();
        const header = (name: string) => (name === "retry-after" ? when : undefined);
        assert.equal(retryAfterMs({ header }, ms - 5_000), 5_000, when);
      }
    });
  });

  describe("what is no answer", () => {
    it("nothing listens there: MILL_ENDPOINT_UNREACHABLE", async () => {
      const { url } = server;
      const at = await open();
      await server.stop();
      const error = await errorOf(call(at));
      server = await BadServer.start();
      assert.equal(error.code, "MILL_ENDPOINT_UNREACHABLE");
      assert.match(error.message, new RegExp(`^${url}/v1/infer: nothing listens there`));
      assert.ok(error.cause instanceof Error);
    });

    it("the first byte does not come: MILL_ENDPOINT_UNREACHABLE after idleTimeoutMs (H1)", async () => {
      const error = await refusal("silence", { idleTimeoutMs: 50 });
      assert.equal(error.code, "MILL_ENDPOINT_UNREACHABLE");
      assert.match(error.message, /no answer for 50 ms/);
    });

    it("it stalls after half a body: MILL_ENDPOINT_UNREACHABLE after idleTimeoutMs (H1)", async () => {
      // Less than a second, undici would take a standstill of this process, in which the server lives, too, for silence of the server.
      const error = await refusal({ body: '{"outputs": [', after: "say nothing more" }, { idleTimeoutMs: 1_000 });
      assert.equal(error.code, "MILL_ENDPOINT_UNREACHABLE");
      assert.match(error.message, /stopped halfway, and nothing more came for 1000 ms/);
      await server.callerGone;
    });

    it("a silence is no longer than the time that the call has left (H1)", async () => {
      server.answer = () => "silence";
      const at = await open();
      const error = await errorOf(call(at, callContext({ timeLeftMs: 40 })));
      assert.match(error.message, /no answer for 40 ms/);
    });

    it("the connection closes in the middle of the body: MILL_ENDPOINT_UNREACHABLE", async () => {
      const error = await refusal({ body: '{"outputs": [', after: "close the connection" });
      assert.equal(error.code, "MILL_ENDPOINT_UNREACHABLE");
      assert.match(error.message, /closed the connection before its answer was whole/);
    });

    it("the connection closes after fewer bytes than were announced: MILL_ENDPOINT_UNREACHABLE", async () => {
      const headers = { "content-length": "100" };
      const error = await refusal({ headers, body: "{}", after: "close the connection" });
      assert.equal(error.code, "MILL_ENDPOINT_UNREACHABLE");
    });

    it("a body of more bytes than it may have: MILL_ENDPOINT_INVALID, and the caller hangs up (H3)", async () => {
      const error = await refusal({ body: "z".repeat(100_000), after: "say nothing more" }, { answerBytesMax: 10_000 });
      assert.equal(error.code, "MILL_ENDPOINT_INVALID");
      assert.match(error.message, /longer than 10000 bytes/);
      await server.callerGone;
    });

    it("what is no JSON: MILL_ENDPOINT_INVALID, with its type and how it begins", async () => {
      server.answer = () => ({ headers: { "content-type": "text/html" }, body: "<html>Log in</html>" });
      const at = await open();
      const answer = await at.send({ path: "infer" }, callContext());
      const error = await errorOf(at.json(answer, "infer"));
      assert.equal(error.code, "MILL_ENDPOINT_INVALID");
      assert.match(error.message, /no JSON \(text\/html\) and begins with "<html>Log in/);
    });
  });

  it("an aborted call ends with the signal's reason, and its connection is closed (H2)", async () => {
    const stop = new AbortController();
    const reason = new MillraceError("MILL_SERVICE_TIMEOUT", "nobody waits for it any more");
    server.answer = () => {
      stop.abort(reason);
      return "silence";
    };
    await assert.rejects(call(await open(), callContext({ signal: stop.signal })), reason);
    await server.callerGone;
  });

  it("so does one that is aborted while its answer comes (H2)", async () => {
    const stop = new AbortController();
    const reason = new MillraceError("MILL_SERVICE_TIMEOUT", "nobody waits for it any more");
    server.answer = () => ({ body: "half", after: "say nothing more" });
    const at = await open();
    const answer = await at.send({ path: "infer" }, callContext({ signal: stop.signal }));
    const rest = at.bytes(answer);
    stop.abort(reason);
    await assert.rejects(rest, reason);
    await server.callerGone;
  });

  it("calls one after the other go over connections that are kept open", async () => {
    server.answer = () => ({ body: "{}" });
    const at = await open();
    for (let i = 0; i < 10; i++) await call(at);
    // The next call may begin before the connection of the one before is free.
    assert.ok(new Set(server.seen.map(({ port }) => port)).size <= 2);
  });

  it("keeps the path and the query of the URL", async () => {
    server.answer = () => ({ body: "{}" });
    await call(await open());
    assert.equal(server.seen[0]?.path, "/v1/infer?api-version=7");
  });

  describe("the key (E1)", () => {
    it("comes from the environment and goes into one header", async () => {
      server.answer = () => ({ body: "{}" });
      await call(await open({ apiKeyEnv: "SERVER_KEY" }));
      assert.equal(server.seen[0]?.headers.authorization, `Bearer ${KEY}`);
    });

    it("goes into a header that the user names, as it is", async () => {
      server.answer = () => ({ body: "{}" });
      await call(await open({ apiKeyEnv: "SERVER_KEY", apiKeyHeader: "api-key" }));
      assert.equal(server.seen[0]?.headers["api-key"], KEY);
      assert.equal(server.seen[0]?.headers.authorization, undefined);
    });

    it("stands in no error, also where the server repeats it; the message names its variable", async () => {
      const reply = json({ error: { message: `Incorrect API key provided: ${KEY}` } }, { status: 401 });
      const error = await refusal(reply, { apiKeyEnv: "SERVER_KEY" });
      assert.match(error.message, /Incorrect API key provided: \*\*\*\. Check the key in SERVER_KEY/);
      assert.ok(!`${JSON.stringify(error)} ${JSON.stringify(error.facts)} ${error.stack}`.includes(KEY));
    });

    it("stands in no error about an answer that cannot be used either", async () => {
      server.answer = () => ({ body: `echo ${KEY}` });
      const at = await open({ apiKeyEnv: "SERVER_KEY" });
      const answer = await at.send({ path: "infer" }, callContext());
      const error = await errorOf(at.json(answer, "infer"));
      assert.match(error.message, /echo \*\*\*/);
      assert.ok(!error.message.includes(KEY));
    });

    it("that is not set is MILL_CONFIG naming the variable, before any call", async () => {
      const error = await errorOf(open({ apiKeyEnv: "OTHER_KEY" }));
      assert.equal(error.code, "MILL_CONFIG");
      assert.match(error.message, /service "scorer": the environment variable OTHER_KEY/);
      assert.equal(server.seen.length, 0);
    });
  });

  for (const [what, settings] of [
    ["a URL that is none", { url: "localhost:8000" }],
    ["another scheme", { url: "ftp://host/models" }],
    ["a URL with a password", { url: "https://me:secret@host/v1" }],
    ["a header that is a secret", { url: "https://host/v1", headers: { Authorization: "Bearer secret" } }],
  ] as const) {
    it(`${what} is MILL_CONFIG while the topology is loaded`, () => {
      assert.throws(
        () => checkEndpoint("openai", settings),
        (error: unknown) =>
          MillraceError.is(error) && error.code === "MILL_CONFIG" && !error.message.includes("secret@"),
      );
    });
  }
});
