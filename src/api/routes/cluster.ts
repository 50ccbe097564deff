/** The coordinator itself and the cluster as a whole: health, readiness, metrics, a summary. */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { clusterSubjects } from "../../bus/subjects.js";
import { askLeader } from "../leader-hop.js";
import type { Routes } from "../routing.js";
import { answers, Count, Role } from "../schemas/basics.js";

const ClusterView = Type.Object(
  {
    namespace: Type.String(),
    version: Type.String({ description: "Of the coordinator that leads." }),
    term: Count("Grows with every coordinator that begins to lead."),
    jobs: Type.Record(Type.String(), Count("Jobs."), { description: "Jobs by state." }),
    workers: Count("Workers that were heard of lately."),
    actors: Count("Actors of jobs that have not ended."),
    instances: Count("Instances of services of such jobs."),
  },
  { title: "Cluster" },
);

const Ready = Type.Object({ status: Type.Literal("ready"), leads: Type.Boolean() });
const Healthy = Type.Object({ status: Type.Literal("ok"), version: Type.String() });
const Me = Type.Object({
  name: Type.String({ description: "Of the access token; `anonymous`: there are none." }),
  role: Role,
});

export const clusterRoutes: Routes = (app, { namespace, version, leader, bus, store, metrics }) => {
  app.get(
    "/healthz",
    {
      schema: {
        operationId: "health",
        tags: ["cluster"],
        summary: "Whether this process lives",
        security: [],
        response: { 200: Healthy },
      },
    },
    async () => ({ status: "ok" as const, version }),
  );

  app.get(
    "/readyz",
    {
      schema: {
        operationId: "ready",
        tags: ["cluster"],
        summary: "Whether this coordinator can answer: NATS and the store are there, and somebody leads",
        security: [],
        response: answers({ 200: Ready }),
      },
    },
    async () => {
      await store.check();
      if (leader() !== undefined) {
        await bus.flush();
        return { status: "ready" as const, leads: true };
      }
      const header = { method: "GET", url: "/healthz", headers: {}, principal: "ready", role: "viewer" };
      await askLeader(bus, clusterSubjects(namespace).coordinatorApi, { header, body: new Uint8Array() });
      return { status: "ready" as const, leads: false };
    },
  );

  app.get(
    "/metrics",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "metrics",
        tags: ["cluster"],
        summary: "Metrics of this coordinator, in Prometheus' text format",
        response: answers({ 200: { description: "Metrics.", content: { "text/plain": { schema: Type.String() } } } }),
      },
    },
    async (_request, reply) => {
      if (metrics === undefined)
        throw new MillraceError("MILL_REQUEST_NOT_FOUND", "this coordinator keeps no metrics.");
      return reply.type("text/plain; version=0.0.4; charset=utf-8").send(await metrics());
    },
  );

  app.get(
    "/v1/cluster",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "showCluster",
        tags: ["cluster"],
        summary: "The cluster in numbers",
        response: answers({ 200: ClusterView }),
      },
    },
    async () => {
      const coordinator = leader()!;
      const jobs = coordinator.jobs();
      const states: Record<string, number> = {};
      for (const { state } of jobs) states[state] = (states[state] ?? 0) + 1;
      const sum = (count: (job: (typeof jobs)[number]) => number) => jobs.reduce((total, job) => total + count(job), 0);
      return {
        namespace,
        version,
        term: Number(coordinator.term),
        jobs: states,
        workers: coordinator.workers().length,
        actors: sum(({ counts }) => counts.actors),
        instances: sum(({ counts }) => counts.instancesWanted),
      };
    },
  );

  app.get(
    "/v1/me",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "showMe",
        tags: ["cluster"],
        summary: "Who asks, and what they may",
        response: answers({ 200: Me }),
      },
    },
    async ({ principal }) => principal!,
  );
};
