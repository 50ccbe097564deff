import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { newToken, TokenAccess } from "../../../src/api/tokens.js";
import { job, keys } from "../coordinator/coordinator-cluster.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { ApiCluster } from "./api-cluster.js";

const url = `/v1/jobs/${job}`;
const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const PICTURE = Buffer.from("89504e470d0a1a0a00", "hex");
const PAGE = Buffer.from("<html>\u0001<script>alert(1)</script>");

describe("api/refs: content that a job owns", () => {
  let api: ApiCluster;
  before(async () => {
    api = await ApiCluster.running();
    for (const bytes of [PICTURE, PAGE]) await api.cluster.store.put(keys.content(hashOf(bytes)), bytes);
    await api.cluster.store.put(keys.contentTrash(hashOf(PAGE)), PAGE);
  });
  after(() => api.close());

  it("is listed with what keeps it, page by page, and one of it is explained", async () => {
    const all = (await api.get(`${url}/refs`)).json().items;
    assert.equal(all.length, 3);
    const page = (await api.get(`${url}/refs?limit=1`)).json();
    assert.ok(page.items.length === 1 && page.next !== undefined);
    const trash = (await api.get(`${url}/refs?place=trash`)).json().items;
    assert.deepEqual(
      trash.map(({ sha256, rootedBy }: { sha256: string; rootedBy: string[] }) => [sha256, rootedBy]),
      [[hashOf(PAGE), []]],
    );
    const both = (await api.get(`${url}/refs/${hashOf(PAGE)}`)).json().items;
    assert.deepEqual(
      both.map(({ place }: { place: string }) => place),
      ["content", "trash"],
    );
    assert.equal((await api.get(`${url}/refs/${"0".repeat(64)}`)).json().code, "MILL_REQUEST_NOT_FOUND");
    assert.equal((await api.get("/v1/jobs/nowhere/refs")).json().code, "MILL_JOB_UNKNOWN");
  });

  it("a collection says what it would do, through the leader", async () => {
    const follower = await api.follower();
    const answer = await follower.app.inject({
      ...{ method: "POST", url: `${url}/refs/collect` },
      payload: { dryRun: true },
    });
    assert.equal(answer.statusCode, 200, answer.body);
    assert.equal(answer.json().contents, 2);
    assert.ok(await api.cluster.store.head(keys.content(hashOf(PAGE))));
  });

  it("bytes are handed out as what they are, and what a browser would run is not shown", async () => {
    const picture = await api.get(`${url}/content/${hashOf(PICTURE)}`);
    assert.equal(picture.statusCode, 200, picture.body);
    assert.deepEqual(picture.rawPayload, PICTURE);
    assert.equal(picture.headers["content-type"], "image/png");
    assert.match(String(picture.headers["content-disposition"]), /^inline/);
    const page = await api.get(`${url}/content/${hashOf(PAGE)}`);
    assert.equal(page.headers["content-type"], "application/octet-stream");
    assert.match(String(page.headers["content-disposition"]), /^attachment/);
    for (const { headers } of [picture, page]) {
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.match(String(headers["content-security-policy"]), /sandbox/);
    }
    assert.equal((await api.get(`${url}/content/${"0".repeat(64)}`)).statusCode, 404);
    assert.equal((await api.get(`${url}/content/..%2f..%2fspec.avro`)).json().code, "MILL_REQUEST_INVALID");
  });

  it("who only looks sees what there is, and not the records' content", async () => {
    const { token, entry } = newToken("eye", "viewer");
    const server = await api.follower({ access: new TokenAccess([entry], fakePorts().clock) });
    const get = (path: string) =>
      server.app.inject({ url: `${url}/${path}`, headers: { authorization: `Bearer ${token}` } });
    assert.equal((await get("refs")).statusCode, 200);
    assert.equal((await get(`content/${hashOf(PICTURE)}`)).statusCode, 403);
  });
});
