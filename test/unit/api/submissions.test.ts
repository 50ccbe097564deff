import assert from "node:assert/strict";
import type { AskedOnce } from "../../../src/api/idempotency.js";
import type { JobRequest } from "../../../src/api/submissions.js";
import { ApiCluster } from "./api-cluster.js";

describe("api/submissions: jobs and plans of what is sent", () => {
  let api: ApiCluster;
  let asked: { readonly request: JobRequest; readonly once: AskedOnce | undefined }[];

  const submissions = {
    async submit(request: JobRequest, once: AskedOnce | undefined) {
      asked.push({ request, once });
      return `made-${once?.hash.slice(0, 8) ?? asked.length}` as never;
    },
    async plan(request: JobRequest) {
      asked.push({ request, once: undefined });
      return { plan: { actors: [{ id: "a-0" }] }, text: "a plan" };
    },
  };

  beforeEach(async () => {
    asked = [];
    api = await ApiCluster.running({ submissions });
  });
  afterEach(() => api.close());

  const submit = (body: object, key?: string) =>
    api.post("/v1/jobs", body, key === undefined ? {} : { "idempotency-key": key });

  it("answers 201 with the job and where it is; a plan comes back whole", async () => {
    const answer = await submit({ topology: "export default 1", params: { a: "b" } });
    assert.equal(answer.statusCode, 201, answer.body);
    assert.deepEqual(answer.json(), { job: "made-1" });
    assert.equal(answer.headers.location, "/v1/jobs/made-1");
    const { topology, params, parallelism, overwrite } = asked[0]!.request;
    assert.deepEqual(
      { topology, params, parallelism, overwrite },
      {
        ...{ topology: "export default 1", params: { a: "b" }, parallelism: 0, overwrite: false },
      },
    );
    const plan = await api.post("/v1/plans", { bundle: "ab".repeat(32) });
    assert.deepEqual(plan.json(), { plan: { actors: [{ id: "a-0" }] }, text: "a plan" });
  });

  it("the same key asks for the same, whatever the order of the body's parts; another body is refused", async () => {
    const first = (await submit({ topology: "t", params: { a: "1", b: "2" } }, "key-1")).json();
    const second = (await submit({ params: { b: "2", a: "1" }, topology: "t" }, "key-1")).json();
    assert.deepEqual(second, first);
    assert.deepEqual(asked[0]!.once, asked[1]!.once);
    const other = await submit({ topology: "t", params: { a: "1" } }, "key-1");
    assert.equal(other.statusCode, 409);
    assert.equal(other.json().code, "MILL_REQUEST_CONFLICT");
    const follower = await api.follower({ submissions });
    const there = await follower.app.inject({
      ...{ method: "POST", url: "/v1/jobs", headers: { "idempotency-key": "key-1" } },
      payload: { topology: "t", params: { a: "1", b: "2" } },
    });
    assert.deepEqual(there.json(), first, "another coordinator knows the key, too");
    assert.notDeepEqual((await submit({ topology: "t" }, "key-2")).json(), first);
  });

  it("a request that says too little, too much or nonsense is refused before anything is done", async () => {
    const sha256 = "ab".repeat(32);
    const asset = { service: "s", name: "n", source: "x", sha256, sizeBytes: 1 };
    for (const body of [
      ...[
        {},
        { bundle: sha256, topology: "t" },
        { bundle: "AB".repeat(32) },
        { topology: "" },
        { topology: "t", a: 1 },
      ],
      ...[
        { topology: "t", parallelism: -1 },
        { topology: "t", savepoint: "../x" },
        { topology: "t", params: { a: {} } },
      ],
      ...[
        { bundle: sha256, assets: [{ ...asset, sizeBytes: -1 }] },
        { bundle: sha256, assets: [{ ...asset, path: "/" }] },
      ],
    ])
      assert.equal((await submit(body)).json().code, "MILL_REQUEST_INVALID", JSON.stringify(body));
    assert.equal((await submit({ topology: "t" }, "a b")).json().code, "MILL_REQUEST_INVALID");
    assert.deepEqual(asked, []);
  });

  it("a coordinator that runs inside a job takes no other one", async () => {
    const embedded = await api.follower();
    const answer = await embedded.app.inject({ method: "POST", url: "/v1/jobs", payload: { topology: "t" } });
    assert.equal(answer.json().code, "MILL_REQUEST_CONFLICT");
  });
});
