import assert from "node:assert/strict";
import { buildServer } from "../../../src/api/server.js";
import { limits } from "../../../src/base/limits.js";
import { deferred } from "../../../src/bus/deferred.js";
import { deletedJobKey, endedJobs } from "../../../src/storage/keys.js";
import { job, keys } from "../coordinator/coordinator-cluster.js";
import { ApiCluster } from "./api-cluster.js";

const url = `/v1/jobs/${job}`;

describe("api/operations: work that goes on after its request", () => {
  let api: ApiCluster;
  beforeEach(async () => {
    api = await ApiCluster.running();
  });
  afterEach(() => api.close());

  const del = (path = url) => api.server.app.inject({ method: "DELETE", url: path });
  const showOperation = async (name: string) => (await api.get(`/v1/operations/${name}`)).json();

  async function ended(): Promise<void> {
    await api.post(`${url}/cancel`);
    for (let i = 0; i < 20 && (await api.cluster.store.head(keys.report)) === undefined; i++)
      await api.cluster.pass(limits.heartbeatIntervalMs);
    assert.ok(await api.cluster.store.head(keys.report), "the job has ended");
  }

  async function deleted(): Promise<void> {
    for (let i = 0; i < 100 && (await showOperation(`delete.${job}`)).state === "running"; i++)
      await api.cluster.clock.settle();
    assert.deepEqual(await showOperation(`delete.${job}`), {
      ...{ operation: `delete.${job}`, state: "done", code: "", message: "" },
    });
  }

  async function left(): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of api.cluster.store.list("")) found.push(key);
    return found;
  }

  it("a savepoint that is being taken is running; one that nobody takes has failed; looking begins nothing", async () => {
    assert.equal((await showOperation(`savepoint.${job}.mine`)).state, "failed");
    assert.equal((await showOperation(`stop.${job}.mine`)).code, "MILL_JOB_FAILED");
    const begun = await api.post(`${url}/savepoints`, { name: "mine" });
    assert.equal(begun.statusCode, 202, begun.body);
    assert.equal(begun.headers.location, `/v1/operations/savepoint.${job}.mine`);
    assert.equal((await showOperation(`savepoint.${job}.mine`)).state, "running");
    assert.equal((await showOperation(`savepoint.${job}.other`)).state, "failed");
    await api.cluster.store.put(keys.savepoint("there"), new Uint8Array([1]));
    assert.equal((await showOperation(`savepoint.${job}.there`)).state, "done");
    assert.equal((await showOperation(`stop.${job}.there`)).state, "failed", "the job goes on");
    await ended();
    assert.equal((await showOperation(`stop.${job}.there`)).state, "done");
    assert.equal((await showOperation(`savepoint.${job}.mine`)).state, "failed", "the job ended before it was taken");
  });

  it("an id that is none is refused", async () => {
    for (const name of ["x", "delete.", "delete.a.b", `savepoint.${job}`, "stop.a.b.c", "delete.a%2fb"])
      assert.equal((await api.get(`/v1/operations/${name}`)).json().code, "MILL_REQUEST_INVALID", name);
    assert.equal((await api.get("/v1/operations/savepoint.nowhere.a")).json().code, "MILL_JOB_UNKNOWN");
    assert.equal((await api.get(`/v1/operations/delete.${job}`)).json().code, "MILL_REQUEST_NOT_FOUND");
  });

  it("the same key asks for the same savepoint, whoever leads, and for nothing else", async () => {
    const ask = (body: object, key: string) => api.post(`${url}/savepoints`, body, { "idempotency-key": key });
    const begun = await ask({}, "k1");
    assert.equal(begun.statusCode, 202, begun.body);
    const first = begun.json();
    assert.equal((await ask({}, "k1")).json().operation, first.operation);
    assert.notEqual(first.operation, `savepoint.${job}.`);
    const other = await ask({ stop: true }, "k1");
    assert.equal(other.statusCode, 409);
    assert.equal(other.json().code, "MILL_REQUEST_CONFLICT");
    const { cluster } = api;
    await (await cluster.succeed()).close();
    const again = await buildServer({
      ...{ host: "127.0.0.1", port: 0, bus: cluster.bus, store: cluster.store, ports: cluster.ports },
      ...{ namespace: "test" as never, version: "1", leader: () => cluster.coordinator },
      access: { identify: () => ({ name: "anonymous", role: "admin" }) },
    });
    const payload = {};
    const headers = { "idempotency-key": "k1" };
    const answer = await again.app.inject({ method: "POST", url: `${url}/savepoints`, payload, headers });
    assert.equal(answer.json().operation, first.operation);
    await again.close();
  });

  it("a job that runs is not deleted, nor one that there is none of", async () => {
    const answer = await del();
    assert.equal(answer.statusCode, 409);
    assert.equal(answer.json().code, "MILL_REQUEST_CONFLICT");
    assert.equal((await del("/v1/jobs/nowhere")).json().code, "MILL_JOB_UNKNOWN");
    assert.ok(await api.cluster.store.head(keys.spec));
  });

  it("deletes all that the store holds of a job that has ended, and lists it no more", async () => {
    await ended();
    await api.cluster.store.put(keys.snapshot("r", 1n, 1, "a"), new Uint8Array([1]));
    await api.cluster.store.put("jobs/another/spec.avro", new Uint8Array([1]));
    const answer = await del();
    assert.equal(answer.statusCode, 202, answer.body);
    assert.equal(answer.headers.location, `/v1/operations/delete.${job}`);
    await deleted();
    const rest = (await left()).filter((key) => key.includes(job) && !key.includes("/log/")); // the test's store keeps logs
    assert.deepEqual(
      rest.filter((key) => !/(spec|report)\.avro$|^deleted-jobs/.test(key)),
      [],
    );
    assert.ok((await left()).includes("jobs/another/spec.avro"));
    assert.deepEqual((await api.get("/v1/jobs")).json().items, []);
  });

  it("waits until the end is recorded: what is written of it meanwhile goes, too (X1)", async () => {
    const { store } = api.cluster;
    const put = store.put.bind(store);
    const { promise: written, resolve: write } = deferred<void>();
    store.put = async (key, ...rest) => {
      if (key.startsWith(endedJobs)) await written;
      return put(key, ...rest);
    };
    await ended();
    assert.equal((await del()).statusCode, 202);
    await api.cluster.clock.settle();
    assert.equal((await showOperation(`delete.${job}`)).state, "running");
    write();
    await deleted();
    assert.deepEqual(
      (await left()).filter((key) => key.startsWith(endedJobs)),
      [],
    );
  });

  it("savepoints stay, with what they need, until they are asked for, too (X3)", async () => {
    await api.cluster.store.put(keys.savepoint("s1"), new Uint8Array([1]));
    const needed = [
      keys.savepointSnapshot("s1", "r", "a", "0"),
      keys.splitPage("in", 16, 16n),
      `${keys.inputs("in")}/a.txt`,
    ];
    for (const key of needed) await api.cluster.store.put(key, new Uint8Array([1]));
    const answer = keys.savedAnswer("model", "00ff");
    await api.cluster.store.put(answer, new Uint8Array([1]));
    await ended();
    await del();
    await deleted();
    const there = await left();
    for (const key of [...needed, keys.savepoint("s1"), keys.spec, keys.report]) assert.ok(there.includes(key), key);
    assert.ok(!there.includes(answer), "what no savepoint needs has gone");
    assert.deepEqual((await api.get("/v1/jobs")).json().items, []);
    await del(`${url}?savepoints=true`);
    await deleted();
    const rest = await left();
    for (const key of [...needed, keys.savepoint("s1")]) assert.ok(!rest.includes(key), key);
  });

  it("goes on after a crash when it is asked again (X2)", async () => {
    await ended();
    const { store } = api.cluster;
    await store.put(keys.savedAnswer("model", "00ff"), new Uint8Array([1]));
    await store.put(deletedJobKey(job as never), Buffer.from('{"savepoints":true,"done":false}'));
    await store.delete(keys.report);
    const before = await showOperation(`delete.${job}`);
    assert.equal(before.state, "failed");
    assert.match(before.message, /Delete it again/);
    assert.equal((await del()).statusCode, 202);
    await deleted();
    assert.equal(await store.head(keys.savedAnswer("model", "00ff")), undefined);
  });

  it("jobs that have ended are listed by the next leader, the newest first of all that there are", async () => {
    await ended();
    const marks = (await left()).filter((key) => key.startsWith(endedJobs));
    assert.equal(marks.length, 1);
    await (await api.cluster.succeed()).close();
    const [listed] = (await api.get("/v1/jobs")).json().items;
    assert.equal(listed?.job, job);
    assert.equal(listed.state, "CANCELLED");
    assert.deepEqual((await api.get("/v1/jobs?state=RUNNING")).json().items, []);
  });

  it("a mark that was not written when the leader died is written by the next", async () => {
    await ended();
    const [mark] = (await left()).filter((key) => key.startsWith(endedJobs));
    await api.cluster.store.delete(mark!);
    await api.cluster.store.put(keys.open, new Uint8Array());
    await (await api.cluster.succeed()).close();
    assert.ok(await api.cluster.store.head(mark!));
  });
});
