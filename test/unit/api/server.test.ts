import assert from "node:assert/strict";
import { openOnLoopback } from "../../../src/api/access.js";
import { newToken, TokenAccess } from "../../../src/api/tokens.js";
import { jobReportFrame } from "../../../src/wire/control.js";
import { job } from "../coordinator/coordinator-cluster.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { ApiCluster } from "./api-cluster.js";

const LISTS = [
  "/v1/jobs",
  `/v1/jobs/${job}/operators`,
  `/v1/jobs/${job}/edges`,
  `/v1/jobs/${job}/regions`,
  `/v1/jobs/${job}/actors`,
  `/v1/jobs/${job}/services`,
  `/v1/jobs/${job}/checkpoints`,
  `/v1/jobs/${job}/savepoints`,
  "/v1/workers",
  "/v1/events",
];

describe("api/server: what every request goes through", () => {
  let api: ApiCluster;
  before(async () => {
    api = await ApiCluster.running();
  });
  after(() => api.close());

  it("every list has items, at most as many as asked for, and leads to the next page", async () => {
    for (const url of LISTS) {
      const answer = await api.get(`${url}?limit=1`);
      assert.equal(answer.statusCode, 200, `${url}: ${answer.body}`);
      const { items } = answer.json();
      assert.ok(Array.isArray(items) && items.length <= 1, url);
    }
    const events = (await api.get("/v1/events")).json().items as { kind: string }[];
    for (const kind of ["leader.began", "worker.joined", "job.submitted", "job.state"])
      assert.ok(
        events.some((event) => event.kind === kind),
        kind,
      );
    const all = (await api.get("/v1/workers")).json().items as { worker: string }[];
    assert.ok(all.length >= 2, "the test's cluster has several workers");
    const found: string[] = [];
    for (let after = ""; ; ) {
      const page = (await api.get(`/v1/workers?limit=1${after}`)).json();
      found.push(...page.items.map(({ worker }: { worker: string }) => worker));
      if (page.next === undefined) break;
      after = `&after=${page.next}`;
    }
    assert.deepEqual(
      found,
      all.map(({ worker }) => worker),
    );
  });

  it("an error is a problem detail with the code of the table (A3)", async () => {
    const answer = await api.get("/v1/jobs/nowhere");
    assert.equal(answer.statusCode, 404);
    assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
    const { code, status, type, detail } = answer.json();
    assert.deepEqual(
      { code, status, type },
      { code: "MILL_JOB_UNKNOWN", status: 404, type: "urn:millrace:error:MILL_JOB_UNKNOWN" },
    );
    assert.match(detail, /there is no job "nowhere"/);
    assert.equal((await api.get("/v1/nothing")).json().code, "MILL_REQUEST_NOT_FOUND");
    assert.equal((await api.get("/v1/jobs?limit=0")).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.get("/v1/jobs?colour=red")).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.get("/v1/jobs?after=!!")).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.get("/v1/jobs/..%2f..%2fbundles")).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.post(`/v1/jobs/${job}/savepoints`, { name: "a b" })).json().code, "MILL_REQUEST_INVALID");
    const broken = await api.server.app.inject({
      method: "POST",
      url: `/v1/jobs/${job}/savepoints`,
      headers: { "content-type": "application/json" },
      payload: "{",
    });
    assert.equal(broken.json().code, "MILL_REQUEST_INVALID");
  });

  it("an unforeseen error says nothing of itself (A3)", async () => {
    const server = await api.follower({
      leader: () =>
        ({
          jobs: () => {
            throw new Error("password=hunter2");
          },
        }) as never,
    });
    const answer = await server.app.inject("/v1/jobs");
    assert.equal(answer.statusCode, 500);
    assert.equal(answer.json().code, "MILL_INTERNAL");
    assert.doesNotMatch(answer.body, /hunter2/);
  });

  it("the document describes every route, and is what validates", async () => {
    const { openapi, paths } = (await api.get("/openapi.json")).json();
    assert.equal(openapi, "3.1.0");
    assert.deepEqual(Object.keys(paths["/v1/jobs/{job}"].get.responses).sort(), ["200", "4XX", "5XX"]);
    for (const [path, methods] of Object.entries<
      Record<string, { operationId?: string; summary?: string; tags?: string[] }>
    >(paths)) {
      for (const [method, { operationId, summary, tags }] of Object.entries(methods))
        assert.ok(operationId && summary && tags?.length === 1, `${method} ${path} says what it is`);
    }
    assert.equal((await api.get("/docs/")).statusCode, 200);
  });
});

describe("api/server: the coordinator that leads answers (A2)", () => {
  let api: ApiCluster;
  beforeEach(async () => {
    api = await ApiCluster.running();
  });
  afterEach(() => api.close());

  it("a request to one that follows is answered as by the one that leads, also an error", async () => {
    const follower = await api.follower();
    for (const url of [...LISTS, `/v1/jobs/${job}`, "/v1/jobs/nowhere", "/v1/cluster"]) {
      const [there, here] = [await api.get(url), await follower.app.inject(url)];
      assert.equal(here.statusCode, there.statusCode, url);
      assert.equal(here.body, there.body, url);
      assert.equal(here.headers["content-type"], there.headers["content-type"], url);
    }
  });

  it("a change through one that follows is made, with its body", async () => {
    const follower = await api.follower();
    const answer = await follower.app.inject({ method: "POST", url: `/v1/jobs/${job}/cancel` });
    assert.equal(answer.statusCode, 202);
    assert.match(answer.json().state, /FAILING|CANCELLED/);
    const wrong = await follower.app.inject({
      method: "POST",
      url: `/v1/jobs/${job}/savepoints`,
      payload: { nmae: "x" },
    });
    assert.equal(wrong.json().code, "MILL_REQUEST_INVALID");
    assert.match(jobReportFrame.decode(await api.cluster.coordinator.report(job)).header.state, /FAILING|CANCELLED/);
  });

  it("with nobody who leads it says so, and when to ask again", async () => {
    const follower = await api.follower();
    await api.server.lead(false);
    const answer = await follower.app.inject("/v1/jobs");
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.json().code, "MILL_NO_LEADER");
    assert.equal(answer.headers["retry-after"], "1");
    assert.equal((await follower.app.inject("/readyz")).statusCode, 503);
    assert.equal((await follower.app.inject("/healthz")).statusCode, 200);
  });

  it("nobody outside can claim to be another coordinator", async () => {
    for (const header of ["00 admin admin", `${"00".repeat(24)} root admin`, ""]) {
      const answer = await api.get("/v1/jobs", { "x-millrace-hop": header });
      assert.equal(answer.statusCode, 403, header);
    }
  });
});

describe("api/server: who may do what (A1)", () => {
  it("each route takes the role that it declares, and none takes a request without a token", async () => {
    const made = (["viewer", "operator", "submitter", "admin"] as const).map((role) => ({
      role,
      ...newToken(role, role),
    }));
    const { clock } = fakePorts();
    const api = await ApiCluster.running({
      access: new TokenAccess(
        made.map(({ entry }) => entry),
        clock,
      ),
    });
    try {
      const header = (role: string) => ({ authorization: `Bearer ${made.find((one) => one.role === role)!.token}` });
      assert.equal((await api.get("/v1/jobs")).statusCode, 401);
      assert.equal((await api.get("/v1/jobs")).headers["www-authenticate"], 'Bearer realm="millrace"');
      assert.equal((await api.get("/v1/events/stream")).statusCode, 401);
      for (const role of ["viewer", "operator", "submitter", "admin"])
        assert.equal((await api.get("/v1/jobs", header(role))).statusCode, 200, role);
      for (const [role, status] of [
        ["viewer", 403],
        ["submitter", 403],
        ["operator", 202],
        ["admin", 202],
      ] as const) {
        const answer = await api.post(`/v1/jobs/${job}/cancel`, undefined, header(role));
        assert.equal(answer.statusCode, status, `${role}: ${answer.body}`);
      }
      assert.deepEqual((await api.get("/v1/me", header("operator"))).json(), { name: "operator", role: "operator" });
      const follower = await api.follower({ access: new TokenAccess([], clock) });
      assert.equal(
        (await follower.app.inject({ url: "/v1/jobs", headers: header("admin") })).statusCode,
        401,
        "the leader does not check again, so the follower must",
      );
    } finally {
      await api.close();
    }
  });

  it("without tokens only this machine may", () => {
    assert.equal(openOnLoopback.identify({ authorization: undefined, address: "127.0.0.1" }).role, "admin");
    assert.equal(openOnLoopback.identify({ authorization: undefined, address: "::1" }).role, "admin");
    for (const address of ["10.0.0.7", "192.168.1.1", "::ffff:10.0.0.1", "2001:db8::1", "1127.0.0.1"])
      assert.throws(() => openOnLoopback.identify({ authorization: undefined, address }), {
        code: "MILL_REQUEST_FORBIDDEN",
      });
  });
});
