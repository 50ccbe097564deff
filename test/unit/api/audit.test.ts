import assert from "node:assert/strict";
import type { AuditRecord } from "../../../src/api/audit.js";
import { newToken, TokenAccess } from "../../../src/api/tokens.js";
import { job } from "../coordinator/coordinator-cluster.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { ApiCluster } from "./api-cluster.js";

describe("api/audit: who has changed what (A4)", () => {
  const made = [newToken("ops@example.org", "operator"), newToken("eyes", "viewer")] as const;
  let api: ApiCluster;
  let records: AuditRecord[];
  beforeEach(async () => {
    records = [];
    api = await ApiCluster.running({
      access: new TokenAccess(
        made.map(({ entry }) => entry),
        fakePorts().clock,
      ),
      audit: (record) => records.push(record),
    });
  });
  afterEach(() => api.close());

  const as = (which: 0 | 1) => ({ authorization: `Bearer ${made[which].token}` });
  const url = `/v1/jobs/${job}/services/model`;

  it("a change is written with who, what, from where, and how it ended", async () => {
    await api.server.app.inject({ method: "PATCH", url: `${url}?x=1`, payload: { instances: 3 }, headers: as(0) });
    const [{ atMs, ...record }] = records as [AuditRecord];
    assert.ok(atMs > 0);
    assert.deepEqual(record, {
      who: "ops@example.org",
      role: "operator",
      address: "127.0.0.1",
      method: "PATCH",
      path: url,
      operation: "scaleService",
      asked: { instances: 3 },
      status: 202,
      code: "",
      answered: true,
    });
  });

  it("so is one that is refused: for its role, its token, its body, or because there is no such route", async () => {
    await api.post(`/v1/jobs/${job}/cancel`, undefined, as(1));
    await api.post(`/v1/jobs/${job}/cancel`);
    await api.server.app.inject({ method: "PATCH", url, payload: { instances: -1 }, headers: as(0) });
    await api.post("/v1/nothing", {}, as(0));
    assert.deepEqual(
      records.map(({ who, operation, status, code }) => ({ who, operation, status, code })),
      [
        { who: "eyes", operation: "cancelJob", status: 403, code: "MILL_REQUEST_FORBIDDEN" },
        { who: "unknown", operation: "cancelJob", status: 401, code: "MILL_REQUEST_UNAUTHENTICATED" },
        { who: "ops@example.org", operation: "scaleService", status: 400, code: "MILL_REQUEST_INVALID" },
        { who: "unknown", operation: "", status: 404, code: "MILL_REQUEST_NOT_FOUND" },
      ],
    );
  });

  it("reading is not written, and a change that went to the leader is written once, where it came in", async () => {
    await api.get("/v1/jobs", as(1));
    assert.deepEqual(records, []);
    const there: AuditRecord[] = [];
    const follower = await api.follower({ audit: (record) => there.push(record) });
    assert.equal((await follower.app.inject({ method: "POST", url: `/v1/jobs/${job}/pause` })).statusCode, 202);
    assert.deepEqual(records, []);
    await follower.app.inject({ method: "POST", url: "/v1/jobs/nowhere/pause" });
    assert.deepEqual(
      there.map(({ operation, status, code }) => ({ operation, status, code })),
      [
        { operation: "pauseJob", status: 202, code: "" },
        { operation: "pauseJob", status: 404, code: "MILL_JOB_UNKNOWN" },
      ],
    );
  });

  it("a log that cannot be written does not undo what was done, and is complained of", async () => {
    const full = await ApiCluster.running({
      audit: () => {
        throw new Error("disk full");
      },
    });
    try {
      assert.equal((await full.post(`/v1/jobs/${job}/pause`)).statusCode, 202);
    } finally {
      await full.close();
    }
  });
});
