import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { type ErrorCode, MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { HttpContent, type HttpContentPolicy } from "../../../src/storage/http-content.js";
import { answer, type BadServer, rangeOf, startBadServer } from "./http-server.js";

const WHOLE = "abcdefghijklmnopqrstuvwxyz";
const ETAG = { ETag: '"v1"' };

describe("storage/http-content: servers that behave badly", () => {
  let server: BadServer;
  const opened: HttpContent[] = [];
  before(async () => {
    server = await startBadServer();
  });
  after(async () => {
    for (const each of opened) await each.close();
    await server.stop();
  });

  function content(policy: HttpContentPolicy = {}): HttpContent {
    const made = new HttpContent({ ports: realPorts(), allowPrivateAddresses: true, ...policy });
    opened.push(made);
    return made;
  }
  const uri = (path = "/x") => `${server.origin}${path}`;
  const text = async (promise: Promise<Uint8Array>) => Buffer.from(await promise).toString();
  async function streamed(http: HttpContent, options = {}): Promise<string> {
    const pieces: Uint8Array[] = [];
    for await (const piece of http.stream(uri(), options)) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  }
  const fails = (promise: Promise<unknown>, code: ErrorCode, message = /./) =>
    assert.rejects(promise, (error) => {
      assert.ok(MillraceError.is(error), String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });

  /** Serves `WHOLE`, with ranges. @param cutAt closes the connection before that byte, the first time */
  function serve(headers: Readonly<Record<string, string>> = ETAG, cutAt = Number.POSITIVE_INFINITY): void {
    server.behave((request, socket, number) => {
      const [first, last = WHOLE.length - 1] = rangeOf(request) ?? [0];
      const body = WHOLE.slice(first, last + 1);
      const range = { "Content-Range": `bytes ${first}-${Math.min(last, WHOLE.length - 1)}/${WHOLE.length}` };
      const ranged = rangeOf(request) !== undefined;
      const all = answer(ranged ? 206 : 200, { ...headers, ...(ranged && range) }, body);
      if (number > 1 || cutAt === Number.POSITIVE_INFINITY) return void socket.write(all);
      socket.end(all.slice(0, all.length - body.length + cutAt));
    });
  }

  it("gives all of it, a range of it, and what the server says of it; the connection is used again (H6)", async () => {
    serve({ ...ETAG, "Content-Type": "Text/Plain; charset=utf-8" });
    const before = server.connections();
    const http = content({ concurrencyPerHost: 1 });
    const { bytes, ...info } = await http.fetch(uri());
    assert.equal(Buffer.from(bytes).toString(), WHOLE);
    assert.deepEqual(info, { sizeBytes: 26n, mediaType: "text/plain", version: '"v1"' });
    assert.equal(await text(http.get(uri(), { range: { offset: 2, length: 3 } })), "cde");
    assert.equal(await text(http.get(uri(), { range: { offset: 24, length: 10 } })), "yz");
    assert.equal(await streamed(http, { range: { offset: 20, length: Number.MAX_SAFE_INTEGER } }), "uvwxyz");
    assert.equal(server.connections() - before, 1);
    assert.equal(server.requests[0]!.headers["accept-encoding"], "identity");
  });

  it("head reads nothing", async () => {
    server.behave(
      (_, socket) => void socket.write(answer(200, { "Content-Length": "12", "Content-Type": "image/png" })),
    );
    assert.deepEqual(await content().head(uri()), { sizeBytes: 12n, mediaType: "image/png", version: "" });
    assert.equal(server.requests[0]!.line, "HEAD /x");
  });

  it("a server that knows no ranges is noticed, and the part is cut out (H4)", async () => {
    server.behave((_, socket) => void socket.write(answer(200, {}, WHOLE)));
    assert.equal(await text(content().get(uri(), { range: { offset: 3, length: 4 } })), "defg");
    assert.equal(await text(content().get(uri(), { range: { offset: 30, length: 4 } })), "");
  });

  it("a range behind the end holds nothing", async () => {
    server.behave((_, socket) => void socket.write(answer(416, { "Content-Range": "bytes */26" })));
    assert.equal(await text(content().get(uri(), { range: { offset: 26, length: 4 } })), "");
  });

  for (const said of ["bytes 3-6/26", "bytes 2-9/26", "bytes 2-4/3", "pages 2-5/26", "bytes 2-4/26"]) {
    it(`an answer with "${said}" to bytes 2 to 5 is refused, or asked on (H4)`, async () => {
      server.behave((_, socket) => void socket.write(answer(206, { "Content-Range": said }, "cdef")));
      await fails(content().get(uri(), { range: { offset: 2, length: 4 } }), "MILL_STORE_FAILED", /at fault/);
    });
  }

  it("a server that gives less than it was asked for is asked for the rest (H4)", async () => {
    server.behave((request, socket) => {
      const [first] = rangeOf(request)!;
      socket.write(
        answer(206, { ...ETAG, "Content-Range": `bytes ${first}-${first + 1}/26` }, WHOLE.slice(first, first + 2)),
      );
    });
    assert.equal(await text(content().get(uri(), { range: { offset: 1, length: 6 } })), "bcdefg");
    assert.equal(server.requests.length, 3);
  });

  describe("too much", () => {
    it("a length over the limit is refused before anything is read (H3)", async () => {
      server.behave((_, socket) => void socket.write(answer(200, { "Content-Length": "1000000" })));
      await fails(content({ sizeBytesMax: 999_999 }).get(uri()), "MILL_CONTENT_TOO_LARGE", /more than 999999 bytes/);
      await fails(streamed(content({ sizeBytesMax: 999_999 })), "MILL_CONTENT_TOO_LARGE");
    });

    it("an endless answer is read to the limit, and its connection closed (H3)", async () => {
      let written = 0;
      server.behave((_, socket) => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        const more = () => {
          while (!socket.destroyed && socket.write(`10000\r\n${"x".repeat(65_536)}\r\n`)) written += 65_536;
        };
        socket.on("drain", more);
        more();
      });
      await fails(content({ sizeBytesMax: 1_000_000 }).get(uri()), "MILL_CONTENT_TOO_LARGE");
      assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
    });

    it("a server that would have to send much before the range begins is refused (H3)", async () => {
      server.behave((_, socket) => void socket.write(answer(200, { "Content-Length": "1000000" })));
      const range = { offset: 900_000, length: 10 };
      await fails(content({ sizeBytesMax: 1_000 }).get(uri(), { range }), "MILL_CONTENT_TOO_LARGE");
    });

    it("a packed answer is refused, and not unpacked (H3)", async () => {
      const bomb = gzipSync(Buffer.alloc(10_000_000)).toString("latin1");
      server.behave((_, socket) => {
        socket.write(
          answer(200, { "Content-Encoding": "gzip", "Content-Length": String(bomb.length) }) + bomb,
          "latin1",
        );
      });
      await fails(content().get(uri()), "MILL_CONTENT_REFUSED", /packed \(gzip\)/);
    });
  });

  describe("too slow (H2)", () => {
    const once = { attemptsMax: 1 };
    it("no answer", async () => {
      server.behave(() => {});
      await fails(content({ ...once, answerTimeoutMs: 50 }).get(uri()), "MILL_CONTENT_SLOW", /no answer came in time/);
    });

    it("silence within an answer", async () => {
      server.behave((_, socket) => void socket.write(`${answer(200, { "Content-Length": "26" })}abc`));
      await fails(content({ ...once, idleTimeoutMs: 50 }).get(uri()), "MILL_CONTENT_SLOW", /nothing more came in time/);
    });

    it("a byte now and then, for as long as anybody waits", async () => {
      server.behave((_, socket) => {
        socket.write(answer(200, { "Content-Length": "1000000" }));
        const timer = setInterval(() => socket.write("x"), 5);
        socket.on("close", () => clearInterval(timer));
      });
      await fails(content({ timeoutMs: 200 }).get(uri()), "MILL_CONTENT_SLOW", /did not come within 200 ms/);
      await fails(streamed(content({ timeoutMs: 200 })), "MILL_CONTENT_SLOW", /did not come within 200 ms/);
    });

    it("an aborted read ends with the signal's reason", async () => {
      server.behave(() => {});
      const stop = new AbortController();
      const reading = content().get(uri(), { signal: stop.signal });
      stop.abort(new MillraceError("MILL_JOB_FAILED", "stopped"));
      await fails(reading, "MILL_JOB_FAILED");
    });
  });

  describe("broken off", () => {
    it("is continued where it broke off, of the same version (H4)", async () => {
      serve(ETAG, 10);
      assert.equal(await streamed(content()), WHOLE);
      assert.deepEqual(
        server.requests.map(({ headers }) => [headers.range, headers["if-range"]]),
        [
          [undefined, undefined],
          ["bytes=10-", '"v1"'],
        ],
      );
    });

    it("without a version it is begun anew where nobody has seen the first part, and fails where somebody has (H4)", async () => {
      serve({}, 10);
      assert.equal(await text(content().get(uri())), WHOLE);
      assert.equal(server.requests[1]!.headers.range, undefined);
      serve({}, 10);
      await fails(streamed(content()), "MILL_STORE_UNREACHABLE", /closed the connection before its answer was whole/);
    });

    it("a server that has another version by then is noticed (H4)", async () => {
      const behave = () =>
        server.behave((_, socket, number) => {
          if (number > 1) return void socket.write(answer(200, { ETag: '"v2"' }, WHOLE.toUpperCase()));
          socket.end(`${answer(200, { ...ETAG, "Content-Length": "26" })}abc`);
        });
      behave();
      await fails(streamed(content()), "MILL_SOURCE_CHANGED");
      behave();
      assert.equal(await text(content().get(uri())), WHOLE.toUpperCase());
    });

    it("a length that is never reached is tried a few times (H2)", async () => {
      server.behave((_, socket) => void socket.end(`${answer(200, { "Content-Length": "26" })}abc`));
      await fails(content({ attemptsMax: 3 }).get(uri()), "MILL_STORE_UNREACHABLE");
      assert.equal(server.requests.length, 3);
    });
  });

  describe("later again", () => {
    it("status 503 and 429 are tried again, after the pause that the server asks for", async () => {
      server.behave((_, socket, number) => {
        const busy = number === 1 ? answer(503) : answer(429, { "Retry-After": "0" });
        socket.write(number <= 2 ? busy : answer(200, {}, WHOLE));
      });
      assert.equal(await text(content().get(uri())), WHOLE);
      assert.equal(server.requests.length, 3);
    });

    it("a pause that is too long, or that there is no time for, is not waited for", async () => {
      server.behave((_, socket) => void socket.write(answer(503, { "Retry-After": "3600" })));
      await fails(content().get(uri()), "MILL_STORE_FAILED", /status 503, and asks to be left alone for 3600 s/);
      server.behave((_, socket) => void socket.write(answer(503, { "Retry-After": "10" })));
      await fails(content({ timeoutMs: 5_000 }).get(uri()), "MILL_STORE_FAILED");
      assert.equal(server.requests.length, 1);
    });

    const statuses: [number, string, ErrorCode][] = [
      [404, "", "MILL_STORE_NOT_FOUND"],
      [410, "", "MILL_STORE_NOT_FOUND"],
      [403, "", "MILL_STORE_REFUSED"],
      [401, "", "MILL_STORE_REFUSED"],
      [403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "MILL_STORE_EXPIRED"],
      [400, "<Code>ExpiredToken</Code>", "MILL_STORE_EXPIRED"],
      [204, "", "MILL_STORE_FAILED"],
    ];
    for (const [status, body, code] of statuses) {
      it(`status ${status} ${body.slice(0, 30)} is ${code}, at once`, async () => {
        server.behave(
          (_, socket) => void socket.write(status === 204 ? "HTTP/1.1 204 No\r\n\r\n" : answer(status, {}, body)),
        );
        await fails(content().get(uri()), code);
        assert.equal(server.requests.length, 1);
      });
    }

    it("what speaks no HTTP is said to", async () => {
      server.behave((_, socket) => void socket.write("220 mail.example.com ESMTP\r\n"));
      await fails(content().get(uri()), "MILL_STORE_FAILED", /does not speak HTTP/);
    });
  });

  it("of one host no more answers are under way than allowed (H6)", async () => {
    const waiting: (() => void)[] = [];
    let most = 0;
    server.behave((_, socket) => {
      waiting.push(() => socket.write(answer(200, {}, "x")));
      most = Math.max(most, waiting.length);
      setImmediate(() => setImmediate(() => waiting.shift()!()));
    });
    const http = content({ concurrencyPerHost: 2 });
    await Promise.all(Array.from({ length: 9 }, (_, i) => http.get(uri(`/${i}`))));
    assert.equal(most, 2);
    assert.equal(server.requests.length, 9);
  });

  it("a stream that is left early gives its place at the host back (H6)", async () => {
    server.behave((_, socket) => void socket.write(`${answer(200, { "Content-Length": "1000" })}abc`));
    const http = content({ concurrencyPerHost: 1 });
    for (let i = 0; i < 3; i++) for await (const _ of http.stream(uri())) break;
    assert.equal(server.requests.length, 3);
  });
});
