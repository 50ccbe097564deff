import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { ContentReader, type ContentRef } from "../../../src/storage/content.js";
import { S3Store } from "../../../src/storage/s3-store.js";
import { bytes, text } from "../../conformance/bus-support.js";
import { type MinioServer, startMinio } from "../../servers/index.js";

const WHOLE = "abcdefghijklmnopqrstuvwxyz";

const sha256 = (content: string) => createHash("sha256").update(content).digest("hex");

for (const kind of ["file", "s3"] as const) {
  describe(`storage/content: ${kind}:// addresses`, () => {
    let server: MinioServer | undefined;
    let folder: string;
    let content: ContentReader;

    before(async () => {
      if (kind === "s3") server = await startMinio();
      folder = await mkdtemp(join(tmpdir(), "millrace content #1 "));
      content = new ContentReader({ s3: server ?? {} }, realPorts());
      for (const name of ["letters", "p/1.png", "p/2.png", "p/deep/3.png", "p/2.txt", "p[x]/9.png", ".hidden/4.png"]) {
        await write(name, name === "letters" ? WHOLE : name);
      }
    });
    after(async () => {
      await content?.close();
      await rm(folder, { recursive: true });
      await server?.stop();
    });

    async function write(name: string, value: string): Promise<void> {
      if (server === undefined) {
        await mkdir(join(folder, name, ".."), { recursive: true });
        await writeFile(join(folder, name), value);
        return;
      }
      const store = new S3Store(server.bucket, "", server, realPorts());
      await store.put(name, bytes(value));
      await store.close();
    }

    const uri = (name: string) =>
      server === undefined ? pathToFileURL(join(folder, name)).href : `s3://${server.bucket}/${name}`;
    const ref = (name: string, rest: Partial<ContentRef> = {}): ContentRef => ({
      uri: uri(name),
      offset: 0n,
      sizeBytes: -1n,
      sha256: "",
      ...rest,
    });
    const read = async (rest: Partial<ContentRef> = {}) => text(await content.bytes(ref("letters", rest)));

    it("gives all of it, with or without a known size", async () => {
      assert.equal(await read(), WHOLE);
      assert.equal(await read({ sizeBytes: 26n }), WHOLE);
    });

    it("gives a range from its first byte, and to the end where the size is -1", async () => {
      assert.equal(await read({ offset: 3n, sizeBytes: 4n }), "defg");
      assert.equal(await read({ offset: 25n, sizeBytes: 1n }), "z");
      assert.equal(await read({ offset: 20n }), "uvwxyz");
      assert.equal(await read({ offset: 20n, sha256: sha256("uvwxyz") }), "uvwxyz");
    });

    for (const [what, rest] of [
      ["grew", { sizeBytes: 25n }],
      ["shrank", { sizeBytes: 27n }],
      ["shrank below the end of the range", { offset: 20n, sizeBytes: 7n }],
      ["shrank below the beginning of the range", { offset: 30n, sizeBytes: 2n }],
    ] as const) {
      it(`says that it has changed when it ${what}: MILL_SOURCE_CHANGED, with both sizes`, async () => {
        await assert.rejects(read(rest), (error: MillraceError) => {
          assert.equal(error.code, "MILL_SOURCE_CHANGED");
          assert.ok(
            error.message.startsWith(
              `${uri("letters")} has changed since it was listed: expected ${rest.sizeBytes} bytes`,
            ),
          );
          assert.match(error.message, /found \d+ bytes\. Run the job again when its input is at rest\.$/);
          return true;
        });
      });
    }

    it("says that it has changed when the SHA-256 is another: MILL_CONTENT_HASH", async () => {
      assert.equal(await read({ sha256: sha256(WHOLE), sizeBytes: 26n }), WHOLE);
      assert.equal(await read({ offset: 3n, sizeBytes: 4n, sha256: sha256("defg") }), "defg");
      for (const rest of [{}, { offset: 3n, sizeBytes: 4n }]) {
        await assert.rejects(read({ ...rest, sha256: sha256("other") }), {
          code: "MILL_CONTENT_HASH",
          message: /expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}/,
        });
      }
    });

    it("says that there is nothing: MILL_STORE_NOT_FOUND, with the name", async () => {
      for (const rest of [{}, { offset: 3n, sizeBytes: 4n }, { offset: 3n }]) {
        await assert.rejects(content.bytes(ref("missing.png", rest)), {
          code: "MILL_STORE_NOT_FOUND",
          message: /missing\.png/,
        });
      }
    });

    it("ends when it is cancelled", async () => {
      const reason = new Error("the job was cancelled");
      await assert.rejects(content.bytes(ref("letters"), AbortSignal.abort(reason)), reason);
    });

    it("lists what matches, sorted, as it can be read", async () => {
      const list = async (pattern: string) =>
        (
          await content.list(server === undefined ? join(escaped(folder), pattern) : `s3://${server.bucket}/${pattern}`)
        ).map((each) => each.uri);
      assert.deepEqual(await list("p/*.png"), [uri("p/1.png"), uri("p/2.png")]);
      assert.deepEqual(await list("p/**/*.png"), [uri("p/1.png"), uri("p/2.png"), uri("p/deep/3.png")]);
      assert.deepEqual(await list("p/{1,2}.{png,txt}"), [uri("p/1.png"), uri("p/2.png"), uri("p/2.txt")]);
      assert.deepEqual(await list("p\\[x\\]/*.png"), [uri("p[x]/9.png")]);
      assert.deepEqual(await list("letters"), [uri("letters")]);
      assert.deepEqual(await list("*/4.png"), [], "a hidden folder is entered only by its name");
      assert.deepEqual(await list(".hidden/*.png"), [uri(".hidden/4.png")]);
      assert.deepEqual(await list("q/*.png"), []);
      const [first] = await content.list(server === undefined ? uri("letters") : uri("p/1.png"));
      assert.equal(first?.sizeBytes, server === undefined ? 26 : 7);
    });
  });
}

function escaped(path: string): string {
  return path.replace(/[#()[\]{}!*?]/g, "\\$&");
}

describe("storage/content: addresses", () => {
  const content = new ContentReader({ s3: {} }, realPorts());

  for (const uri of [
    "http://host/a.png",
    "a.png",
    "s3://bucket",
    "s3://bucket/",
    "file://host/a.png",
    "file:///a%2Fb",
    "",
  ]) {
    it(`refuses "${uri}": MILL_CONTENT_ADDRESS, with what to write instead`, async () => {
      await assert.rejects(content.bytes({ uri, offset: 0n, sizeBytes: -1n, sha256: "" }), (error: MillraceError) => {
        assert.ok(MillraceError.is(error), String(error));
        assert.equal(error.code, "MILL_CONTENT_ADDRESS");
        assert.match(
          error.message,
          /cannot be read\. Use a file:\/\/, s3:\/\/, http:\/\/, https:\/\/ or data: address\.$/,
        );
        return true;
      });
    });
  }
});

describe("storage/content: files below the current folder", () => {
  const started = process.cwd();
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-cwd [1] (copy) "));
    await writeFile(join(folder, "a.png"), "a");
    await writeFile(join(folder, "b.png"), "b");
    await symlink("a.png", join(folder, "link.png"));
    await mkdir(join(folder, "below"));
  });
  after(async () => {
    process.chdir(started);
    await rm(folder, { recursive: true });
  });

  it("are found whatever the folder is called", async () => {
    const content = new ContentReader({ s3: {} }, realPorts());
    const names = async (pattern: string) =>
      (await content.list(pattern)).map(({ uri }) => uri.slice(uri.lastIndexOf("/") + 1));
    process.chdir(folder);
    assert.deepEqual(await names("*.png"), ["a.png", "b.png", "link.png"]);
    assert.deepEqual(await names("./a.png"), ["a.png"]);
    process.chdir(join(folder, "below"));
    assert.deepEqual(await names("../b.png"), ["b.png"]);
    process.chdir(started);
  });
});
