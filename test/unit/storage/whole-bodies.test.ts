import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { limits } from "../../../src/base/limits.js";
import { type HttpAnswer, type HttpRequest, WholeBodies } from "../../../src/storage/whole-bodies.js";
import { closed, within } from "../../conformance/bus-support.js";

/** For tests of silence: long for an answer that is on its way. */
const HASTY_MS = 1_000;

const plain = (body: string, more = "") => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;

// Method: a server that says byte by byte what it is told to, and in the place of the client's own handler one that says "others".
describe("storage/whole-bodies", () => {
  let server: Server;
  let sockets: Socket[];
  /** What the server sends for each request, as one write for each part; "end": it closes. */
  let answers: (readonly string[])[];
  let asked: string[];
  let onAsked: () => void;
  let handler: WholeBodies;

  const others = {
    async handle(): Promise<HttpAnswer> {
      return { response: { statusCode: 299, headers: {}, body: Readable.from([Buffer.from("others")]) } };
    },
  };

  const withSilenceOf = (silenceMs: number) => new WholeBodies(others, { connectTimeoutMs: 5_000, silenceMs });

  beforeEach(async () => {
    [sockets, answers, asked, onAsked] = [[], [], [], () => {}];
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.on("data", async (bytes) => {
        asked.push(bytes.toString("latin1"));
        onAsked();
        for (const part of answers.shift() ?? []) {
          if (part === "end") socket.end();
          else socket.write(part, "latin1");
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    handler = withSilenceOf(limits.storeRequestTimeoutMs);
  });
  afterEach(async () => {
    handler.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });

  function get(more: Partial<HttpRequest> & { readonly signal?: AbortSignal } = {}) {
    const { signal, ...rest } = more;
    const { port } = server.address() as AddressInfo;
    const request = {
      protocol: "http:",
      method: "GET",
      hostname: "127.0.0.1",
      port,
      path: "/b/k",
      headers: { host: "here" },
    };
    return handler.handle({ ...request, ...rest }, { abortSignal: signal });
  }

  async function piecesOf({ response }: HttpAnswer): Promise<string[]> {
    const pieces: string[] = [];
    for await (const piece of response.body!) pieces.push(Buffer.from(piece as Uint8Array).toString("latin1"));
    return pieces;
  }

  it("gives the body in one piece that has memory of its own, however it comes (B1)", async () => {
    const body = "0123456789".repeat(50_000);
    const whole = plain(body, "ETag: x\r\nVary: a\r\nvary: b\r\n");
    for (const cuts of [[], [1], [10, 20, 30], [70, 75, 80], [200, 100_000, 300_000]]) {
      answers = [[0, ...cuts].map((cut, i) => whole.slice(cut, cuts[i] ?? whole.length))];
      const answer = await get();
      assert.equal(answer.response.statusCode, 200);
      assert.deepEqual(answer.response.headers, { "content-length": String(body.length), etag: "x", vary: "a, b" });
      const pieces: Uint8Array[] = [];
      for await (const piece of answer.response.body!) pieces.push(piece as Uint8Array);
      assert.equal(pieces.length, 1);
      assert.equal(pieces[0]!.buffer.byteLength, body.length);
      assert.equal(Buffer.from(pieces[0]!).toString("latin1"), body);
    }
    assert.equal(sockets.length, 1, "one connection does for one after the other (B3)");
  });

  it("asks what it was told to ask", async () => {
    answers = [[plain("x")]];
    await get({ query: { "x-id": "GetObject", a: ["1 (2)", "é"] }, headers: { host: "here", range: "bytes=0-1" } });
    assert.deepEqual(asked, [
      "GET /b/k?a=1%20%282%29&a=%C3%A9&x-id=GetObject HTTP/1.1\r\nhost: here\r\nrange: bytes=0-1\r\n\r\n",
    ]);
  });

  it("gives refusals with their bodies, and bodies without a byte", async () => {
    answers = [["HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone"], [plain("")]];
    const refusal = await get();
    assert.equal(refusal.response.statusCode, 404);
    assert.deepEqual(await piecesOf(refusal), ["none"]);
    assert.deepEqual(await piecesOf(await get()), [""]);
    assert.equal(sockets.length, 1);
  });

  it("a body that breaks off comes as far as it got, and fails then (B1)", async () => {
    handler = withSilenceOf(HASTY_MS);
    const broken = plain("0123456789").slice(0, -6);
    for (const [parts, failure] of [
      [[broken, "end"], { code: "ECONNRESET" }],
      [[broken], { name: "TimeoutError" }],
    ] as const) {
      answers = [parts];
      const pieces: string[] = [];
      const answer = await get();
      await assert.rejects(async () => {
        for await (const piece of answer.response.body!) pieces.push(String(piece));
      }, failure);
      assert.deepEqual(pieces, ["0123"]);
    }
    answers = [[plain("next")]];
    assert.deepEqual(await piecesOf(await get()), ["next"]);
    assert.equal(sockets.length, 3, "neither is used again (B3)");
  });

  for (const [what, parts, pieces] of [
    [
      "in chunks",
      ["HTTP/1.1 503 Slow\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r", "\n2\r\nyz\r\n0\r\n\r\n"],
      ["x", "yz"],
    ],
    ["of no stated length", ["HTTP/1.1 200 OK\r\n\r\nx", "y", "end"], ["x", "y"]],
    ["after one that says to wait", ["HTTP/1.1 100 Continue\r\n\r\n", plain("x")], ["x"]],
    ["of an older HTTP", ["HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"], ["x"]],
    ["with another behind it", [plain("x") + plain("y")], ["x"]],
  ] as const) {
    it(`an answer ${what}`, async () => {
      answers = [parts, [plain("next")]];
      assert.deepEqual(await piecesOf(await get()), pieces);
      assert.deepEqual(await piecesOf(await get()), ["next"]);
    });
  }

  for (const [what, parts, error] of [
    ["of two lengths", ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"], { code: /^HPE_/ }],
    ["of a length that is none", ["HTTP/1.1 200 OK\r\ncontent-length: 1e3\r\n\r\nx"], { code: /^HPE_/ }],
    ["of more than there is memory", ["HTTP/1.1 200 OK\r\ncontent-length: 9007199254740991\r\n\r\n"], RangeError],
    ["with a head that does not end", [`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(50_000)}`], { code: /^HPE_/ }],
    ["that is no HTTP", ["what do you mean\r\n\r\n"], { code: /^HPE_/ }],
    ["that does not come", ["end"], { code: "ECONNRESET" }],
  ] as const) {
    it(`an answer ${what} is an error, and the connection is not used again (B3)`, async () => {
      answers = [parts, [plain("next")]];
      await assert.rejects(get(), error);
      assert.deepEqual(await piecesOf(await get()), ["next"]);
      assert.equal(sockets.length, 2);
    });
  }

  it("other methods and TLS are left to the client's own handler (B2)", async () => {
    for (const other of [{ method: "PUT" }, { method: "HEAD" }, { protocol: "https:" }]) {
      assert.deepEqual(await piecesOf(await get(other)), ["others"]);
    }
    assert.deepEqual(asked, []);
  });

  it("a server that is not there is the system's error", async () => {
    await assert.rejects(get({ port: 1 }), { code: "ECONNREFUSED" });
  });

  it("a connection that the server has closed costs no attempt (B3)", async () => {
    answers = [[plain("a")], ["end"], [plain("b")]];
    assert.deepEqual(await piecesOf(await get()), ["a"]);
    assert.deepEqual(await piecesOf(await get()), ["b"]);
    assert.equal(sockets.length, 2);
  });

  it("a connection that is to be closed, or says something of its own, is not used again (B3)", async () => {
    answers = [[plain("a", "connection: close\r\n")], [plain("b")], [plain("c")]];
    assert.deepEqual(await piecesOf(await get()), ["a"]);
    assert.deepEqual(await piecesOf(await get()), ["b"]);
    assert.equal(sockets.length, 2);
    sockets[1]!.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
    await closed(sockets[1]!);
    assert.deepEqual(await piecesOf(await get()), ["c"]);
    assert.equal(sockets.length, 3);
  });

  it("silence is a TimeoutError, and an aborted request an AbortError; both connections are closed", async () => {
    handler = withSilenceOf(HASTY_MS);
    await assert.rejects(get(), { name: "TimeoutError" });
    handler = withSilenceOf(limits.storeRequestTimeoutMs);
    const one = new AbortController();
    const isAsked = new Promise<void>((resolve) => {
      onAsked = resolve;
    });
    const waiting = get({ signal: one.signal });
    await within("the question", isAsked);
    one.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    await assert.rejects(get({ signal: AbortSignal.abort() }), { name: "AbortError" });
    answers = [[plain("next")]];
    assert.deepEqual(await piecesOf(await get()), ["next"]);
    assert.equal(asked.length, 3);
  });

  it("requests at the same time have a connection each; destroy() closes all", async () => {
    answers = [[plain("a")], [plain("b")]];
    const both = await Promise.all([get(), get()]);
    assert.deepEqual((await Promise.all(both.map(piecesOf))).flat().sort(), ["a", "b"]);
    assert.equal(sockets.length, 2);
    const ended = Promise.all(sockets.map(closed));
    handler.destroy();
    await ended;
  });
});
