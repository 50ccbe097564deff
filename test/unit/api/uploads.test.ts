import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { request } from "node:http";
import { newToken, TokenAccess } from "../../../src/api/tokens.js";
import { limits } from "../../../src/base/limits.js";
import { assetKey, bundleKey } from "../../../src/storage/keys.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { ApiCluster } from "./api-cluster.js";

const CODE = "application/javascript";
const BYTES = "application/octet-stream";
const hashOf = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");

describe("api/uploads: what jobs are made of", () => {
  let api: ApiCluster;
  before(async () => {
    api = await ApiCluster.running();
  });
  after(() => api.close());

  const put = (url: string, payload: string | Buffer, type: string, more: Record<string, string> = {}) =>
    api.server.app.inject({ method: "PUT", url, payload, headers: { "content-type": type, ...more } });

  it("keeps bytes by their hash, once", async () => {
    const text = "export default 1;";
    const url = `/v1/bundles/${hashOf(text)}`;
    assert.equal((await api.get(url)).statusCode, 404);
    const first = await put(url, text, CODE);
    assert.equal(first.statusCode, 201, first.body);
    assert.deepEqual(first.json(), { sha256: hashOf(text), sizeBytes: text.length });
    assert.equal(first.headers.location, url);
    assert.equal((await put(url, text, CODE)).statusCode, 200);
    assert.equal(Buffer.from(await api.cluster.store.get(bundleKey(hashOf(text)))).toString(), text);
    assert.deepEqual((await api.get(url)).json(), { sha256: hashOf(text), sizeBytes: text.length });
    const model = Buffer.alloc(300_000, 7);
    assert.equal((await put(`/v1/assets/${hashOf(model)}`, model, BYTES)).statusCode, 201);
    assert.equal((await api.cluster.store.head(assetKey(hashOf(model))))?.sizeBytes, model.length);
  });

  it("keeps nothing of bytes that have another hash, and reads nothing again that is there", async () => {
    const sha256 = hashOf("what was meant");
    const wrong = await put(`/v1/assets/${sha256}`, "what was sent", BYTES);
    assert.equal(wrong.statusCode, 400);
    assert.equal(wrong.json().code, "MILL_REQUEST_INVALID");
    assert.match(wrong.json().detail, new RegExp(hashOf("what was sent")));
    assert.equal(await api.cluster.store.head(assetKey(sha256)), undefined);
    await put(`/v1/assets/${sha256}`, "what was meant", BYTES);
    assert.equal((await put(`/v1/assets/${sha256}`, "something else", BYTES)).statusCode, 200);
    assert.equal(Buffer.from(await api.cluster.store.get(assetKey(sha256))).toString(), "what was meant");
  });

  it("takes no other kind of body, no other name, and none that is too large", async () => {
    const sha256 = hashOf("x");
    assert.equal((await put(`/v1/bundles/${sha256}`, "x", BYTES)).statusCode, 400);
    assert.equal((await put(`/v1/assets/${sha256}`, "{}", "application/json")).statusCode, 400);
    for (const name of [sha256.toUpperCase(), sha256.slice(1), "..%2f..%2fx", `${sha256}0`])
      assert.equal((await put(`/v1/assets/${name}`, "x", BYTES)).statusCode, 400, name);
    const large = await put(`/v1/bundles/${sha256}`, "x", CODE, {
      "content-length": String(limits.apiBundleBytesMax + 1),
    });
    assert.equal(large.statusCode, 413);
    assert.equal(large.json().code, "MILL_REQUEST_TOO_LARGE");
    assert.equal(await api.cluster.store.head(bundleKey(sha256)), undefined);
  });

  it("keeps nothing of a body that breaks off, and of one that grows too large on its way", async () => {
    await api.server.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = api.server.app.server.address() as { readonly port: number };
    const send = (path: string, type: string) =>
      request({ host: "127.0.0.1", port, path, method: "PUT", headers: { "content-type": type } });
    const sha256 = hashOf("never whole");
    const stored: string[] = [];
    const storePut = api.cluster.store.put.bind(api.cluster.store);
    const ended = new Promise<void>((resolve) => {
      api.cluster.store.put = async (key, ...rest) => {
        try {
          const info = await storePut(key, ...rest);
          if (key.startsWith("assets/") || key.startsWith("bundles/")) stored.push(key);
          return info;
        } finally {
          if (key === assetKey(sha256)) resolve();
        }
      };
    });
    const broken = send(`/v1/assets/${sha256}`, BYTES).on("error", () => {});
    broken.write("never", () => broken.destroy());
    await ended;
    const growing = send(`/v1/bundles/${sha256}`, CODE).on("error", () => {});
    const status = new Promise<number | undefined>((resolve) => {
      growing.on("response", (answer) => resolve(answer.resume().statusCode));
    });
    const piece = Buffer.alloc(1 << 20);
    for (let sent = 0; sent <= limits.apiBundleBytesMax; sent += piece.length)
      await new Promise<void>((resolve) => growing.write(piece, () => resolve()));
    assert.equal(await status, 413);
    growing.destroy();
    assert.deepEqual(stored, []);
  });

  it("only who may submit may upload, and anybody else's body is not read", async () => {
    const { clock } = fakePorts();
    const made = (["operator", "submitter"] as const).map((role) => ({ role, ...newToken(role, role) }));
    const server = await api.follower({
      access: new TokenAccess(
        made.map(({ entry }) => entry),
        clock,
      ),
    });
    for (const [role, status] of [
      ["operator", 403],
      ["submitter", 201],
    ] as const) {
      const authorization = `Bearer ${made.find((one) => one.role === role)!.token}`;
      const headers = { "content-type": BYTES, authorization };
      const url = `/v1/assets/${hashOf("mine")}`;
      const answer = await server.app.inject({ method: "PUT", url, payload: "mine", headers });
      assert.equal(answer.statusCode, status, `${role}, also where nobody leads: ${answer.body}`);
    }
  });
});
