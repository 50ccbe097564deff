import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fetchContentFunction } from "../../../src/functions/fetch-content.js";
import { mediaTypeOf } from "../../../src/functions/media-types.js";
import { t } from "../../../src/types/columns.js";
import { inline, type ObjectRef } from "../../../src/types/content-types.js";
import { answer, type BadServer, startBadServer } from "../storage/http-server.js";
import { applyTo, contextOf } from "./functions-support.js";

const PNG = "\x89PNG\r\n\x1a\nrest";
const sha256 = (text: string) => createHash("sha256").update(text, "latin1").digest("hex");

describe("functions/fetch-content: addresses in a column", () => {
  let server: BadServer;
  before(async () => {
    server = await startBadServer();
  });
  after(() => server.stop());

  const here = { allowPrivateAddresses: ["127.0.0.1"] };
  const fetch = (options: object = here) => fetchContentFunction({ from: "url", into: "content", ...options });
  async function fetchAll(urls: readonly string[], options: object = here, context = contextOf()) {
    return applyTo(
      fetch(options),
      { url: t.utf8 },
      urls.map((url) => ({ url })),
      context,
    );
  }

  it("gives bytes, SHA-256 and media type; a server that lies about the type is not believed", async () => {
    server.behave(({ line }, socket) => {
      const [type, body] = line.endsWith("png") ? ["text/html", PNG] : ["text/csv; charset=utf-8", "a,b"];
      socket.write(answer(200, { "Content-Type": type, "Content-Length": String(body.length) }) + body, "latin1");
    });
    const { rows, refused } = await fetchAll([`${server.origin}/png`, `${server.origin}/csv`]);
    assert.deepEqual([...refused], []);
    assert.deepEqual(
      rows.map(({ content: { uri, offset, sizeBytes, sha256, mediaType } }) => ({
        uri,
        offset,
        sizeBytes,
        sha256,
        mediaType,
      })),
      [
        { uri: "", offset: 0n, sizeBytes: 12n, sha256: sha256(PNG), mediaType: "image/png" },
        { uri: "", offset: 0n, sizeBytes: 3n, sha256: sha256("a,b"), mediaType: "text/csv" },
      ],
    );
  });

  it("only the rows that fail are refused, each with its reason, and the others go on", async () => {
    server.behave(({ line }, socket) => void socket.write(line.endsWith("no") ? answer(404) : answer(200, {}, "x")));
    const { rows, refused } = await fetchAll([
      `${server.origin}/no`,
      `${server.origin}/yes`,
      "http://169.254.169.254/latest",
      "mailto:me",
    ]);
    assert.deepEqual(rows.length, 1);
    assert.deepEqual(
      [...refused].sort(([a], [b]) => a - b).map(([row, { code }]) => [row, code]),
      [
        [0, "MILL_STORE_NOT_FOUND"],
        [2, "MILL_CONTENT_REFUSED"],
        [3, "MILL_CONTENT_REFUSED"],
      ],
    );
  });

  it("by default an address leads to no file, no bucket and no private network (F5)", async () => {
    const urls = [
      "file:///etc/passwd",
      "s3://bucket/key",
      "/etc/passwd",
      `${server.origin}/`,
      " FILE:///etc/passwd",
      "http://localhost/",
    ];
    const { rows, refused } = await fetchAll(urls, {});
    assert.equal(rows.length, 0);
    assert.deepEqual(
      [...refused.values()].map(({ code }) => code),
      urls.map(() => "MILL_CONTENT_REFUSED"),
    );
  });

  it("other schemes go through the content of the job, and are bounded, too", async () => {
    const context = contextOf();
    const asked: string[] = [];
    const content = {
      ...context.content,
      async *stream({ uri }: ObjectRef) {
        asked.push(uri);
        yield Buffer.from("12345");
      },
    };
    const options = { schemes: ["s3", "data"], sizeBytesMax: 5 };
    const { rows } = await fetchAll(["s3://b/k", "data:,12345"], options, { ...context, content });
    assert.deepEqual(
      [rows.map(({ content: { sizeBytes } }) => sizeBytes), asked.sort()],
      [
        [5n, 5n],
        ["data:,12345", "s3://b/k"],
      ],
    );
    const { refused } = await fetchAll(["s3://b/k"], { ...options, sizeBytesMax: 4 }, { ...context, content });
    assert.equal(refused.get(0)?.code, "MILL_CONTENT_TOO_LARGE");
  });

  it("references are checked against their size and hash, and parts of objects are parts", async () => {
    server.behave((_, socket) => void socket.write(answer(200, {}, "abcdef")));
    const ref = (rest: Partial<ObjectRef>) => ({
      ref: { uri: `${server.origin}/`, offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "", ...rest },
    });
    const fn = fetchContentFunction({ from: "ref", into: "content", ...here });
    const { rows, refused } = await applyTo(fn, { ref: t.objectRef }, [
      ref({ sizeBytes: 6n, sha256: sha256("abcdef") }),
      ref({ offset: 2n, sizeBytes: 3n, sha256: sha256("cde") }),
      ref({ sizeBytes: 5n }),
      ref({ sha256: sha256("other") }),
    ]);
    assert.deepEqual(
      rows.map(({ content: { bytes } }) => Buffer.from(bytes!).toString()),
      ["abcdef", "cde"],
    );
    assert.deepEqual([refused.get(2)?.code, refused.get(3)?.code], ["MILL_SOURCE_CHANGED", "MILL_CONTENT_HASH"]);
  });

  it("content that holds its bytes stays; what is kept as a reference is put at once", async () => {
    const context = contextOf();
    const put = async (bytes: Uint8Array, { mediaType = "" } = {}) => ({
      ...inline(bytes, mediaType),
      uri: "s3://kept",
      bytes: null,
    });
    const fn = fetchContentFunction({ from: "url", into: "content", keep: "reference", as: "image" });
    const columns = { url: t.image };
    const { rows } = await applyTo(fn, columns, [{ url: inline(Buffer.from(PNG, "latin1"), "") }], {
      ...context,
      content: { ...context.content, put },
    });
    assert.deepEqual([rows[0]!.content.uri, rows[0]!.content.mediaType], ["s3://kept", "image/png"]);
  });

  it("options that cannot be are refused when the topology is built", () => {
    for (const options of [
      { schemes: ["ftp"] },
      { keep: "both" },
      { as: "picture" },
      { concurrency: 0 },
      { sizeBytesMax: 0 },
      { timeoutMs: -1 },
      { allowedHosts: ["http://x"] },
      { allowPrivateAddresses: ["x"] },
    ]) {
      assert.throws(() => fetch(options), { code: "MILL_CONFIG" }, JSON.stringify(options));
    }
  });
});

describe("functions/media-types: what content is, by its first bytes", () => {
  const type = (head: string, said = "") => mediaTypeOf(Buffer.from(head, "latin1"), said);
  const heads: readonly (readonly [string, string])[] = [
    ["\xff\xd8\xff\xe0", "image/jpeg"],
    ["RIFF....WEBP", "image/webp"],
    ["RIFF....WAVE", "audio/wav"],
    ["....ftypavif", "image/avif"],
    ["....ftypisom", "video/mp4"],
    ["%PDF-1.7", "application/pdf"],
    ["\n <!DOCTYPE html>", "text/html"],
    ["\xff\xfb\x90", "audio/mpeg"],
  ];
  for (const [head, expected] of heads)
    it(`${JSON.stringify(head)} is ${expected}`, () => assert.equal(type(head, "x/y"), expected));

  it("what the bytes do not say is as it was said, unless they would show it", () => {
    assert.deepEqual([type("a,b", "text/csv"), type("a,b"), type("a,b", "image/png")], ["text/csv", "", ""]);
  });
});
