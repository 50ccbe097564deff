/** Changing what runs: pause, resume and stop jobs, scale services, drain and quarantine instances. */
import type { FastifyReply } from "fastify";
import Type from "typebox";
import { INSTANCES_MAX } from "../../coordinator/job-control.js";
import type { JobWishes as Wishes } from "../../wire/control.js";
import { etagOf, IfMatch, revisionIn } from "../etag.js";
import type { Routes } from "../routing.js";
import { answers, Id, JobPath, ServicePath } from "../schemas/basics.js";
import { JobWishes } from "../schemas/jobs.js";

const config = { role: "operator", leader: true } as const;
const InstancePath = Type.Object({ ...ServicePath.properties, instance: Id("Id of an instance.") });
const Scale = Type.Object(
  {
    instances: Type.Integer({
      minimum: 0,
      maximum: INSTANCES_MAX,
      description: "Instances that the service is to have.",
    }),
  },
  { additionalProperties: false },
);

/** Acknowledged: it is noted, and on its way. */
const accepted = (reply: FastifyReply, wishes: Wishes) =>
  reply.code(202).header("etag", etagOf(wishes.revision)).send(wishes);

export const controlRoutes: Routes = (app, { leader }) => {
  app.get(
    "/v1/jobs/:job/wishes",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "showWishes",
        tags: ["jobs"],
        summary: "What people want of a job beside its topology; its ETag guards changes",
        params: JobPath,
        response: answers({ 200: JobWishes }),
      },
    },
    async ({ params }, reply) => {
      const wishes = leader()!.control.wishes(params.job);
      return reply.header("etag", etagOf(wishes.revision)).send(wishes);
    },
  );

  const ofJob = [
    ["pause", "pauseJob", "Let all regions rest behind a checkpoint; what was read and not committed is read again"],
    ["resume", "resumeJob", "Let a paused job go on"],
    ["stop", "stopJob", "Commit what is done, then cancel the job. With a savepoint: POST .../savepoints with stop"],
  ] as const;
  for (const [verb, operationId, summary] of ofJob) {
    app.post(
      `/v1/jobs/:job/${verb}`,
      {
        config,
        schema: {
          operationId,
          tags: ["jobs"],
          summary,
          params: JobPath,
          headers: IfMatch,
          response: answers({ 202: JobWishes }),
        },
      },
      async ({ params, headers }, reply) =>
        accepted(reply, await leader()!.control[verb](params.job, revisionIn(headers["if-match"]))),
    );
  }

  app.patch(
    "/v1/jobs/:job/services/:service",
    {
      config: { ...config, audited: ["instances"] },
      schema: {
        operationId: "scaleService",
        tags: ["services"],
        summary: "Change how many instances a service has; those that are too many drain first",
        params: ServicePath,
        headers: IfMatch,
        body: Scale,
        response: answers({ 202: JobWishes }),
      },
    },
    async ({ params: { job, service }, body, headers }, reply) => {
      const revision = revisionIn(headers["if-match"]);
      return accepted(reply, await leader()!.control.scale(job, service, body.instances, revision));
    },
  );

  app.post(
    "/v1/jobs/:job/services/:service/instances/:instance/drain",
    {
      config,
      schema: {
        operationId: "drainInstance",
        tags: ["services"],
        summary: "Let an instance finish what it has and end; another takes its place",
        params: InstancePath,
        response: answers({ 202: JobWishes }),
      },
    },
    async ({ params: { job, service, instance } }, reply) =>
      accepted(reply, await leader()!.control.drain(job, service, instance)),
  );

  const ofInstance = [
    ["quarantine", true, "quarantineInstance", "Give an instance no requests, and keep it to be looked at"],
    ["release", false, "releaseInstance", "Give an instance requests again"],
  ] as const;
  for (const [verb, on, operationId, summary] of ofInstance) {
    app.post(
      `/v1/jobs/:job/services/:service/instances/:instance/${verb}`,
      {
        config,
        schema: {
          operationId,
          tags: ["services"],
          summary,
          params: InstancePath,
          response: answers({ 202: JobWishes }),
        },
      },
      async ({ params: { job, service, instance } }, reply) =>
        accepted(reply, await leader()!.control.quarantine(job, service, instance, on)),
    );
  }
};
