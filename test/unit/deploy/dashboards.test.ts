/** Dashboards and alert rules: whether what they ask for is there. */
import assert from "node:assert/strict";
import { filesBelow, textOf, yamlOf } from "./deploy-files.js";

interface Panel {
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly targets: readonly { readonly expr: string }[];
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition: string }[] };
}

interface Alerts {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}

const dashboards = filesBelow("deploy/compose/grafana/dashboards", ".json").map(
  (path) => JSON.parse(textOf(path)) as Dashboard,
);
const rules = yamlOf<Alerts>("deploy/compose/alerts.yaml").groups.flatMap((group) => group.rules);

/** Where each query is, and the query. */
const queries = [
  ...dashboards.flatMap(({ title, panels, templating }) => [
    ...panels.flatMap((panel) => panel.targets.map(({ expr }) => [`${title}, ${panel.title}`, expr] as const)),
    ...templating.list.map(({ name, definition }) => [`${title}, $${name}`, definition] as const),
  ]),
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
];

describe("deploy/compose/grafana: dashboards", () => {
  it("are those of job, services, checkpoints and workers", () => {
    const uids = dashboards.map(({ uid }) => uid).sort();
    assert.deepEqual(uids, ["millrace-checkpoints", "millrace-job", "millrace-services", "millrace-workers"]);
  });

  it("ask a data source that is provisioned", () => {
    interface Sources {
      readonly datasources: readonly { readonly uid: string }[];
    }
    const { datasources } = yamlOf<Sources>("deploy/compose/grafana/provisioning/datasources/millrace.yaml");
    for (const { panels } of dashboards)
      for (const { datasource, title } of panels)
        assert.ok(
          datasources.some(({ uid }) => uid === datasource.uid),
          title,
        );
  });

  it("have panels that do not lie on one another", () => {
    for (const { title, panels } of dashboards) {
      const taken = new Set<string>();
      for (const { gridPos } of panels) {
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${title}: ${x} ${y}`);
            taken.add(`${x} ${y}`);
          }
        }
      }
    }
  });

  it("use the variables that they declare, and no others", () => {
    for (const { title, panels, templating } of dashboards) {
      const declared = templating.list.map(({ name }) => name);
      const all = [
        ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
        ...templating.list.map((v) => v.definition),
      ];
      const used = new Set(all.flatMap((expr) => [...expr.matchAll(/\$(?!__)(\w+)/g)].map(([, name]) => name!)));
      assert.deepEqual([...used].sort(), [...declared].sort(), title);
    }
  });
});

/** What the collector calls a metric: dots become underscores, then follow its unit, if the name does not have it, and `_total`. */
function namesOf(name: string, unit: string, kind: string): string[] {
  const parts = name.replaceAll(".", "_").split("_");
  const suffix = { s: "seconds", By: "bytes", "1": kind === "gauge" ? "ratio" : "" }[unit] ?? "";
  const whole = suffix === "" || parts.includes(suffix) ? parts.join("_") : [...parts, suffix].join("_");
  if (kind === "counter") return [`${whole}_total`];
  return kind === "histogram" ? ["bucket", "sum", "count"].map((part) => `${whole}_${part}`) : [whole];
}

const TELEMETRY = "docs/telemetry.md";

describe("deploy/compose: metrics that dashboards and alert rules query", () => {
  const text = textOf(TELEMETRY);
  /** Rows of tables that have a unit and a kind. */
  const known = new Set(
    text.split(/\n\s*\n/).flatMap((block) => {
      const rows = block.split("\n").filter((line) => line.startsWith("|"));
      const cells = rows.map((row) =>
        row
          .split("|")
          .slice(1, -1)
          .map((cell) => cell.trim().replaceAll("`", "")),
      );
      const [head = []] = cells;
      const [unit, kind] = [head.indexOf("unit"), head.indexOf("kind")];
      return unit < 0 || kind < 0 ? [] : cells.slice(2).flatMap((row) => namesOf(row[0]!, row[unit]!, row[kind]!));
    }),
  );
  const labels = new Set(
    [...text.matchAll(/`([a-z0-9_]+(?:\.[a-z0-9_]+)+)`/g)].map(([, name]) => name!.replaceAll(".", "_")),
  );

  it("are in the table of docs/telemetry.md, and so are the labels that they tell apart", () => {
    assert.ok(known.size > 20, `only ${known.size} names were found in ${TELEMETRY}`);
    for (const [where, expr] of queries) {
      for (const [, name] of expr.matchAll(/\b((?:millrace|nodejs|process|v8js|network)_\w+)/g))
        assert.ok(known.has(name!) || labels.has(name!), `${where}: ${name} is not in ${TELEMETRY}`);
    }
  });
});
