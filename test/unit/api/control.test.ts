import assert from "node:assert/strict";
import { beatMs, job } from "../coordinator/coordinator-cluster.js";
import { ApiCluster } from "./api-cluster.js";

describe("api/control: changing what runs", () => {
  let api: ApiCluster;
  beforeEach(async () => {
    api = await ApiCluster.running();
  });
  afterEach(() => api.close());

  it("pauses and resumes a job; the second of two who read the same is refused", async () => {
    const { headers } = await api.get(`/v1/jobs/${job}/wishes`);
    const first = await api.post(`/v1/jobs/${job}/pause`, undefined, { "if-match": headers.etag as string });
    assert.equal(first.statusCode, 202);
    assert.equal(first.json().paused, true);
    const second = await api.post(`/v1/jobs/${job}/resume`, undefined, { "if-match": headers.etag as string });
    assert.equal(second.statusCode, 412);
    assert.equal(second.json().code, "MILL_REQUEST_STALE");
    const again = await api.post(`/v1/jobs/${job}/resume`, undefined, { "if-match": first.headers.etag as string });
    assert.equal(again.json().paused, false);
    assert.equal(
      (await api.post(`/v1/jobs/${job}/pause`, undefined, { "if-match": "3" })).json().code,
      "MILL_REQUEST_INVALID",
    );
  });

  it("scales a service, drains and quarantines its instances", async () => {
    const url = `/v1/jobs/${job}/services/model`;
    const patch = (payload: object) => api.server.app.inject({ method: "PATCH", url, payload });
    assert.equal((await patch({ instances: 3 })).statusCode, 202);
    await api.cluster.pass(3 * beatMs);
    const { items } = (await api.get(`${url}/instances`)).json();
    assert.equal(items.length, 3);
    assert.equal((await api.get(url)).json().instancesWanted, 3, "what it is to have now, not what its topology said");
    const one = items[0].instance;
    assert.deepEqual((await api.post(`${url}/instances/${one}/quarantine`)).json().quarantined, [one]);
    assert.deepEqual((await api.post(`${url}/instances/${one}/release`)).json().quarantined, []);
    assert.deepEqual((await api.post(`${url}/instances/${one}/drain`)).json().retired, [one]);
    assert.equal((await api.post(`${url}/instances/nobody/drain`)).statusCode, 404);
    for (const wrong of [
      { instances: -1 },
      { instances: 1.5 },
      { instances: 1_001 },
      { instances: "1" },
      { instances: null },
      {},
      { instances: 1, more: 2 },
    ])
      assert.equal((await patch(wrong)).json().code, "MILL_REQUEST_INVALID", JSON.stringify(wrong));
  });

  it("asks every region for a checkpoint, due or not, unless a savepoint holds them", async () => {
    const regions = async () => (await api.get(`/v1/jobs/${job}/regions`)).json().items as { region: string }[];
    const url = `/v1/jobs/${job}/checkpoints`;
    const before = (await api.get(url)).json().items.length;
    const answer = await api.post(url);
    assert.equal(answer.statusCode, 202);
    const asked = answer.json().regions as { region: string; after: number }[];
    assert.deepEqual(asked.map(({ region }) => region).sort(), (await regions()).map(({ region }) => region).sort());
    await api.cluster.pass(3 * beatMs);
    const taken = (await api.get(url)).json().items as { region: string; number: number; asked: boolean }[];
    assert.ok(taken.length > before);
    for (const { region, after } of asked)
      assert.ok(
        taken.some((one) => one.region === region && one.number > after && one.asked),
        region,
      );
    // As one that is being taken does.
    for (const region of api.cluster.coordinator.book(job).regions.values()) region.held = true;
    const held = await api.post(url);
    assert.equal(held.json().code, "MILL_REQUEST_CONFLICT", held.body);
  });

  it("asks no region of a paused job for a checkpoint", async () => {
    const url = `/v1/jobs/${job}/checkpoints`;
    await api.post(`/v1/jobs/${job}/pause`);
    assert.equal((await api.post(url)).json().code, "MILL_REQUEST_CONFLICT");
  });

  it("drains a worker", async () => {
    const answer = await api.post("/v1/workers/w1/drain");
    assert.equal(answer.statusCode, 202);
    assert.equal(answer.json().draining, true);
    await api.cluster.clock.settle();
    assert.ok(api.cluster.workers[0]!.commands.includes("drain-worker"));
    assert.equal((await api.post("/v1/workers/w9/drain")).json().code, "MILL_REQUEST_NOT_FOUND");
  });
});
