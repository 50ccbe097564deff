import assert from "node:assert/strict";
import { type ErrorCode, MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { HttpContent, type HttpContentOptions } from "../../../src/storage/http-content.js";
import { hostMatches, isPublicAddress } from "../../../src/storage/http-content-addresses.js";
import { answer, type BadServer, startBadServer } from "./http-server.js";

const refused = [
  ...["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1"],
  ...["172.31.255.255", "192.0.0.192", "192.168.1.1", "198.19.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16"],
  ...[
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "fe80::1",
    "fe80::1%eth0",
  ],
  ...[
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "::127.0.0.1",
    "",
    "localhost",
  ],
];
const allowed = [
  "8.8.8.8",
  "1.1.1.1",
  "100.128.0.1",
  "172.32.0.1",
  "192.169.0.1",
  "2606:4700:4700::1111",
  "2001:4860:4860::8888",
];

/** Ways to write 127.0.0.1, ::1 and 169.254.169.254 that browsers and libraries have been fooled by. */
const SPELLINGS = [
  ...["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1."],
  ...[
    "0",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
  ],
  ...[
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "[fd00:ec2::254]",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
  ],
];

describe("storage/http-content: whom it may ask", () => {
  let server: BadServer;
  const opened: HttpContent[] = [];
  before(async () => {
    server = await startBadServer();
    server.behave((_, socket) => void socket.write(answer(200, {}, "secret")));
  });
  beforeEach(() => server.requests.splice(0));
  after(async () => {
    for (const each of opened) await each.close();
    await server.stop();
  });

  function content(options: Partial<HttpContentOptions> = {}): HttpContent {
    const made = new HttpContent({ ports: realPorts(), attemptsMax: 1, ...options });
    opened.push(made);
    return made;
  }
  const fails = (promise: Promise<unknown>, code: ErrorCode, message = /./) =>
    assert.rejects(promise, (error) => {
      assert.ok(MillraceError.is(error), String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
  /** Every name leads to the server, as its own machine has it. */
  const toServer = async () => [{ address: "127.0.0.1", family: 4 }];
  const redirect = (location: string) => (_: unknown, socket: { write(text: string): unknown }, number: number) =>
    void socket.write(number === 1 ? answer(302, { Location: location }) : answer(200, {}, "reached"));

  for (const address of refused)
    it(`${address || "nothing"} is not public`, () => assert.equal(isPublicAddress(address), false));
  for (const address of allowed) it(`${address} is public`, () => assert.equal(isPublicAddress(address), true));

  for (const host of SPELLINGS) {
    it(`http://${host} is refused before a connection is made (H1, A1)`, async () => {
      const connections = server.connections();
      await fails(content().get(`http://${host}:${server.port}/`), "MILL_CONTENT_REFUSED", /public internet/);
      assert.equal(server.connections(), connections);
    });
  }

  it("a zone makes no address, and other schemes none of ours", async () => {
    for (const uri of [
      "http://[fe80::1%25eth0]/",
      "http://",
      "ftp://example.com/",
      "file:///etc/passwd",
      "gopher://127.0.0.1/",
    ]) {
      await fails(content().get(uri), "MILL_CONTENT_ADDRESS");
    }
  });

  it("a name that means this machine is refused, also where only one of its addresses does (A2)", async () => {
    await fails(
      content().get(`http://localhost:${server.port}/`),
      "MILL_CONTENT_REFUSED",
      /localhost is .*, which is not/,
    );
    const resolve = async () => [
      { address: "8.8.8.8", family: 4 },
      { address: "127.0.0.1", family: 4 },
    ];
    await fails(
      content({ resolve }).get("http://both.example.com/"),
      "MILL_CONTENT_REFUSED",
      /both.example.com is 127.0.0.1/,
    );
  });

  it("a name that means something else by the time of the connection is refused then (A1)", async () => {
    let asked = 0;
    const resolve = async () => [{ address: ++asked === 1 ? "192.0.2.1" : "127.0.0.1", family: 4 }];
    const http = content({ resolve });
    // The first look at the name is the one for the connection: there is none before it that could be deceived.
    await fails(http.get(`http://rebinding.example.com:${server.port}/`), "MILL_CONTENT_REFUSED", /is 192.0.2.1/);
    await fails(http.get(`http://rebinding.example.com:${server.port}/`), "MILL_CONTENT_REFUSED", /is 127.0.0.1/);
    assert.equal(server.requests.length, 0);
  });

  it("private addresses can be allowed, and hosts still be limited", async () => {
    const http = content({ allowPrivateAddresses: true, resolve: toServer, allowedHosts: ["*.example.com"] });
    assert.equal(Buffer.from(await http.get(`http://a.example.com:${server.port}/`)).toString(), "secret");
    await fails(
      http.get(`http://example.org:${server.port}/`),
      "MILL_CONTENT_REFUSED",
      /none of those allowed \(\*\.example\.com\)/,
    );
  });

  it("ranges of private addresses can be allowed, and others stay refused", async () => {
    server.behave((_, socket) => void socket.write(answer(200, {}, "mine")));
    const http = content({ allowPrivateAddresses: ["127.0.0.1", "fd00::/8"] });
    assert.equal(Buffer.from(await http.get(`${server.origin}/`)).toString(), "mine");
    await fails(http.get(`http://127.0.0.2:${server.port}/`), "MILL_CONTENT_REFUSED");
    for (const bad of ["10.0.0.0/33", "10/8", "mine", "fe80::1%eth0", "::/129", ""]) {
      assert.throws(() => content({ allowPrivateAddresses: [bad] }), { code: "MILL_CONFIG" }, bad);
    }
  });

  describe("redirects", () => {
    const allowedHere = { allowPrivateAddresses: true, resolve: toServer };

    it("are followed, also relative ones", async () => {
      server.behave(redirect("/there?x=1"));
      assert.equal(Buffer.from(await content(allowedHere).get(`${server.origin}/`)).toString(), "reached");
      assert.equal(server.requests[1]!.line, "GET /there?x=1");
    });

    it("to a host that is not allowed are refused (H1)", async () => {
      server.behave(redirect(`http://other.example.org:${server.port}/`));
      const http = content({ ...allowedHere, allowedHosts: ["a.example.com"] });
      await fails(
        http.get(`http://a.example.com:${server.port}/`),
        "MILL_CONTENT_REFUSED",
        /redirected to other\.example\.org/,
      );
      assert.equal(server.requests.length, 1);
    });

    for (const to of [
      "http://169.254.169.254/latest/meta-data/",
      "http://localhost/",
      "http://[::1]/",
      "http://2130706434/",
    ]) {
      it(`to ${to} are refused (H1)`, async () => {
        const resolve = async () => [{ address: "127.0.0.3", family: 4 }];
        const http = content({ allowPrivateAddresses: ["127.0.0.1/32"], resolve });
        server.behave(redirect(to));
        await fails(http.get(`${server.origin}/`), "MILL_CONTENT_REFUSED", /public internet/);
        assert.equal(server.requests.length, 1);
      });
    }

    it("to something other than http are refused (H1)", async () => {
      for (const to of ["file:///etc/passwd", "data:text/plain,x", "ftp://example.com/"]) {
        server.behave(redirect(to));
        await fails(content(allowedHere).get(`${server.origin}/`), "MILL_CONTENT_REFUSED", /which is not followed/);
      }
    });

    it("in circles end", async () => {
      server.behave((_, socket) => void socket.write(answer(301, { Location: "/again" })));
      await fails(content(allowedHere).get(`${server.origin}/`), "MILL_CONTENT_REFUSED", /redirects more than 5 times/);
      assert.equal(server.requests.length, 6);
    });

    it("without an address fail", async () => {
      server.behave((_, socket) => void socket.write(answer(302)));
      await fails(content(allowedHere).get(`${server.origin}/`), "MILL_STORE_FAILED", /to nowhere/);
    });

    it("take no password along to another origin, and use none that they bring (H5)", async () => {
      server.behave(redirect(`http://x:y@other.example.com:${server.port}/`));
      await content(allowedHere).get(`http://me:p%40ss@a.example.com:${server.port}/`);
      const login = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
      assert.deepEqual(
        server.requests.map(({ headers }) => [headers.host, headers.authorization]),
        [
          [`a.example.com:${server.port}`, login],
          [`other.example.com:${server.port}`, undefined],
        ],
      );
    });
  });

  it("no message holds user, password or query (H5)", async () => {
    server.behave((_, socket) => void socket.write(answer(404)));
    const http = content({ allowPrivateAddresses: true });
    const error = await http.get(`http://me:pass@127.0.0.1:${server.port}/a?token=hidden#x`).catch((e) => e);
    assert.ok(error.message.startsWith(`http://127.0.0.1:${server.port}/a: `), error.message);
    assert.doesNotMatch(JSON.stringify([error.message, error.facts]), /me:|pass|hidden/);
  });

  it("no proxy of the environment is used (H5)", async () => {
    const before = { ...process.env };
    Object.assign(process.env, { http_proxy: "http://127.0.0.1:1", HTTP_PROXY: "http://127.0.0.1:1", no_proxy: "" });
    try {
      server.behave((_, socket) => void socket.write(answer(200, {}, "direct")));
      const http = content({ allowPrivateAddresses: true });
      assert.equal(Buffer.from(await http.get(`${server.origin}/`)).toString(), "direct");
    } finally {
      for (const name of ["http_proxy", "HTTP_PROXY", "no_proxy"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });

  it("patterns of hosts mean names, subdomains and ports, and nothing that only ends alike", () => {
    const matches = (url: string, pattern: string) => hostMatches(new URL(url), pattern);
    assert.ok(matches("http://example.com/", "example.com"));
    assert.ok(matches("http://EXAMPLE.com./", "Example.com"));
    assert.ok(matches("https://a.b.example.com/", "*.example.com"));
    assert.ok(matches("https://example.com/", "example.com:443"));
    assert.ok(matches("http://example.com:8443/", "example.com:8443"));
    assert.ok(!matches("http://example.com/", "example.com:443"));
    assert.ok(!matches("http://example.com/", "*.example.com"));
    assert.ok(!matches("http://badexample.com/", "*.example.com"));
    assert.ok(!matches("http://badexample.com/", "example.com"));
    assert.ok(!matches("http://example.com.evil.org/", "example.com"));
    for (const bad of ["", "*", "http://example.com", "a.*.com", "*example.com"]) {
      assert.throws(() => content({ allowedHosts: [bad] }), { code: "MILL_CONFIG" }, bad);
    }
  });
});
