import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mayAct, ROLES, type Role } from "../../../src/api/access.js";
import { limits } from "../../../src/base/limits.js";
import { packageRoot } from "../../servers/find.js";
import { ApiCluster } from "./api-cluster.js";

const page = readFileSync(join(packageRoot(), "docs", "security.md"), "utf8");

/** Routes that nobody needs a token for: they hold nothing of the cluster. */
const OPEN = /^\/(healthz|readyz|openapi\.json|docs(\/.*)?|v2\/health\/live)$/;

describe("docs/security.md: roles and bounds", () => {
  it("each role does what its row says", () => {
    const does = (role: Role) =>
      (["viewer", "operator", "submitter"] as const).map((needed) =>
        mayAct({ name: "x", role }, needed) ? "yes" : "no",
      );
    for (const role of ROLES) assert.ok(page.includes(`| \`${role}\` | ${does(role).join(" | ")} |`), role);
  });

  it("every route takes a role that fits what it does, but for those that hold nothing of the cluster", async () => {
    const api = await ApiCluster.running();
    try {
      for (const { method, url, role } of api.server.routes) {
        const route = `${method} ${url}`;
        if (OPEN.test(url)) assert.equal(role, undefined, route);
        else assert.ok(role !== undefined, `${route} takes a role`);
        if (method !== "GET" && method !== "HEAD" && role !== undefined) assert.notEqual(role, "viewer", route);
      }
    } finally {
      await api.close();
    }
  });

  it("every bound is a limit that there is", () => {
    const names = [...page.matchAll(/\| `(api\w+)` \|/g)].map(([, name]) => name!);
    assert.ok(names.length >= 11, "the table was found");
    for (const name of names) assert.ok(Object.hasOwn(limits, name), name);
  });
});
