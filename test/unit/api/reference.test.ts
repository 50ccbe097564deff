import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EVENT_KINDS } from "../../../src/coordinator/events.js";
import { packageRoot } from "../../servers/find.js";
import { ApiCluster } from "./api-cluster.js";

const page = join(packageRoot(), "docs", "http-api.md");
const BETWEEN = /(<!-- routes: .* -->\n)[\s\S]*(<!-- end of routes -->)/;

interface Operation {
  readonly summary: string;
  readonly tags: readonly string[];
}

describe("docs/http-api.md: the reference", () => {
  it("names every route with its role and what it does", async () => {
    const roles = new Map<string, string>();
    const api = await ApiCluster.running();
    try {
      for (const { method, url, role } of api.server.routes)
        roles.set(`${method} ${url.replace(/:(\w+)/g, "{$1}")}`, role ?? "none");
      const { paths } = (await api.get("/openapi.json")).json() as { paths: Record<string, Record<string, Operation>> };
      const rows = Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { summary, tags }]) => {
          const route = `${method.toUpperCase()} ${path}`;
          const role = roles.get(route);
          assert.ok(role !== undefined, `${route} has a role, or says that it takes none`);
          return { tag: tags[0]!, line: `| \`${route}\` | ${role} | ${summary} |` };
        }),
      );
      const tags = [...new Set(rows.map(({ tag }) => tag))];
      const tables = tags.map((tag) => {
        const own = rows.filter((row) => row.tag === tag).map(({ line }) => line);
        return `### ${tag[0]!.toUpperCase()}${tag.slice(1)}\n\n| route | role | what |\n|---|---|---|\n${own.join("\n")}\n`;
      });
      const text = readFileSync(page, "utf8");
      const wanted = text.replace(BETWEEN, (_, begin: string, end: string) => `${begin}\n${tables.join("\n")}\n${end}`);
      if (process.env.MILLRACE_GOLDEN === "write") writeFileSync(page, wanted);
      assert.equal(
        readFileSync(page, "utf8"),
        wanted,
        "run this test with MILLRACE_GOLDEN=write, and look at what it changed",
      );
    } finally {
      await api.close();
    }
  });

  it("names every kind of event", () => {
    const text = readFileSync(page, "utf8");
    for (const kind of EVENT_KINDS) assert.ok(text.includes(`\`${kind}\``), kind);
  });
});
