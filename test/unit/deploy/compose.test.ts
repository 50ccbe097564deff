/** compose.yaml and what it mounts: what can be checked without a container engine. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseTokens } from "../../../src/api/tokens.js";
import { packageRoot } from "../../servers/find.js";
import { compose, documentedSettings, settingsIn, textOf, yamlOf } from "./deploy-files.js";

const services = Object.entries(compose.services);
const own = services.filter(([, { image }]) => image.startsWith("millrace:"));

describe("compose.yaml: what it starts", () => {
  it("has a cluster of three NATS servers, MinIO with its bucket, two coordinators, workers, a job, and what watches them", () => {
    const standard = services.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name);
    assert.deepEqual(standard.sort(), [
      ...["bucket", "coordinator-1", "coordinator-2", "grafana", "jaeger", "minio", "nats-1", "nats-2", "nats-3"],
      ...["otel-collector", "prometheus", "submit", "worker"],
    ]);
  });

  it("has one NATS for development, which only who names it gets, as messages and the README do", () => {
    const { profiles, depends_on: needs = {} } = compose.services.nats!;
    assert.deepEqual(profiles, ["development"]);
    assert.deepEqual(Object.keys(needs), ["bucket"]);
  });

  it("pins every image, down to the patch", () => {
    for (const [name, { image, build }] of services) {
      if (build !== undefined) continue;
      assert.match(image, /:(v?\d+\.\d+\.\d+(-[a-z]+)?|RELEASE\.\d{4}-\d{2}-\d{2}T[\d-]+Z)$/, name);
    }
  });

  it("opens no port to other machines", () => {
    for (const [name, { ports = [] }] of services)
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
  });

  it("opens no port twice, but for the one NATS that takes the place of three", () => {
    const all = services.filter(([, { profiles }]) => profiles === undefined).flatMap(([, { ports = [] }]) => ports);
    const published = all.map((port) => port.split(":")[1]);
    assert.deepEqual([...new Set(published)], published);
  });

  it("waits for services that there are, and for health only where it is looked at", () => {
    for (const [name, { depends_on: needs = {} }] of services) {
      const conditions = Array.isArray(needs) ? needs.map((other) => [other, undefined]) : Object.entries(needs);
      for (const [other, need] of conditions as [string, { condition: string } | undefined][]) {
        const service = compose.services[other];
        assert.ok(service !== undefined, `${name} waits for ${other}`);
        const looked = service.healthcheck !== undefined || service.image.startsWith("millrace:"); // the Dockerfile's
        assert.ok(need?.condition !== "service_healthy" || looked, `${name} waits for the health of ${other}`);
        assert.ok(need?.condition !== "service_completed_successfully" || service.restart === "no", other);
      }
    }
  });

  it("mounts files that there are, read-only, and volumes that it declares", () => {
    for (const [name, { volumes = [] }] of services) {
      for (const volume of volumes) {
        const [from = "", , mode] = volume.split(":");
        if (!from.startsWith("./")) assert.ok(from in compose.volumes, `${name}: volume ${from}`);
        else {
          assert.ok(existsSync(join(packageRoot(), from)), `${name}: ${from}`);
          assert.equal(mode, "ro", `${name}: ${from}`);
        }
      }
    }
  });

  it("runs our own processes with a root file system that cannot be written, and no capabilities", () => {
    assert.equal(own.length, 4);
    for (const [name, { read_only: fixed, cap_drop: dropped }] of own) {
      assert.equal(fixed, true, name);
      assert.deepEqual(dropped, ["ALL"], name);
    }
  });
});

describe("compose.yaml: what it tells our processes", () => {
  it("sets no variable that the documentation does not know", () => {
    const known = documentedSettings();
    for (const name of settingsIn(textOf("compose.yaml"))) assert.ok(known.has(name), `${name} is documented nowhere`);
  });

  it("gives each role its own user, whose password NATS has, and a prefix for answers that its permissions name", () => {
    const roles = textOf("deploy/nats/roles.conf");
    for (const [name, { command = [], environment = {} }] of own) {
      const role = command[0] === "submit" ? "submitter" : command[0]!;
      assert.equal(environment.MILLRACE_NATS_USER, role, name);
      const password = `MILLRACE_${role.toUpperCase()}_PASSWORD`;
      assert.match(roles, new RegExp(`user: ${role}, password: \\$${password},`));
      for (const server of ["nats-1", "nats-2", "nats-3"])
        assert.equal(compose.services[server]!.environment![password], environment.MILLRACE_NATS_PASSWORD, name);
      assert.ok(roles.includes(`"${environment.MILLRACE_NATS_INBOX}.>"`), name);
      const api = role === "coordinator" ? "JS.jobs.API" : undefined;
      assert.equal(environment.MILLRACE_NATS_LOGS_API, api, name);
    }
  });

  it("names as many NATS servers as there are, and asks for as many replicas", () => {
    for (const [name, { environment = {} }] of own) {
      const servers = environment.MILLRACE_NATS!.split(",").map((url) => new URL(url).hostname);
      assert.deepEqual(servers, ["nats-1", "nats-2", "nats-3"], name);
      assert.equal(environment.MILLRACE_NATS_REPLICAS, "3", name);
    }
    const routes = textOf("deploy/nats/cluster.conf").match(/nats-route:\/\/[\w-]+/g);
    assert.deepEqual(routes, ["nats-route://nats-1", "nats-route://nats-2", "nats-route://nats-3"]);
  });

  it("has access tokens that the coordinator takes, and documents the one for people", () => {
    const entries = parseTokens(textOf("deploy/compose/tokens.json"), "tokens.json");
    const told = /mrt_[a-z0-9]{8}_[\w-]{43}/.exec(textOf("compose.yaml"))![0];
    const hashed = createHash("sha256").update(told).digest("hex");
    assert.equal(entries.find(({ sha256 }) => sha256 === hashed)?.role, "admin");
  });
});

describe("deploy/compose: Prometheus and the collector", () => {
  interface Scrape {
    readonly job_name: string;
    readonly authorization?: { readonly credentials: string };
    readonly static_configs: readonly { readonly targets: readonly string[] }[];
  }
  const prometheus = yamlOf<{ readonly scrape_configs: readonly Scrape[] }>("deploy/compose/prometheus.yaml");

  it("Prometheus asks services that there are, the coordinators with a viewer's token", () => {
    const entries = parseTokens(textOf("deploy/compose/tokens.json"), "tokens.json");
    const asked = prometheus.scrape_configs.flatMap(({ static_configs: groups }) =>
      groups.flatMap(({ targets }) => targets),
    );
    for (const target of asked) assert.ok(target.split(":")[0]! in compose.services, target);
    const coordinators = prometheus.scrape_configs.find((scrape) => scrape.job_name === "coordinators")!;
    assert.deepEqual(coordinators.static_configs[0]!.targets, ["coordinator-1:8080", "coordinator-2:8080"]);
    const hashed = createHash("sha256").update(coordinators.authorization!.credentials).digest("hex");
    assert.equal(entries.find(({ sha256 }) => sha256 === hashed)?.role, "viewer");
  });

  it("the collector's pipelines name what it has, listen where our processes send, and send where somebody listens", () => {
    interface Collector {
      readonly receivers: { readonly otlp: { readonly protocols: Record<string, { readonly endpoint: string }> } };
      readonly processors: object;
      readonly exporters: Record<string, { readonly endpoint: string }>;
      readonly service: {
        readonly pipelines: Record<string, Record<"receivers" | "processors" | "exporters", string[]>>;
      };
    }
    const collector = yamlOf<Collector>("deploy/compose/otel-collector.yaml");
    for (const pipeline of Object.values(collector.service.pipelines))
      for (const part of ["receivers", "processors", "exporters"] as const)
        for (const name of pipeline[part]) assert.ok(name in collector[part], `${part}: ${name}`);
    const sent = new URL(compose.services.worker!.environment!.OTEL_EXPORTER_OTLP_ENDPOINT!);
    assert.equal(sent.hostname, "otel-collector");
    assert.equal(collector.receivers.otlp.protocols.http!.endpoint, `0.0.0.0:${sent.port}`);
    assert.ok(collector.exporters["otlp/jaeger"]!.endpoint.split(":")[0]! in compose.services);
    const shown = collector.exporters.prometheus!.endpoint.split(":")[1];
    assert.match(textOf("deploy/compose/prometheus.yaml"), new RegExp(`otel-collector:${shown}`));
  });
});
