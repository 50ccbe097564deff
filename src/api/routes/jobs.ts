/** Jobs: those that there are, what they are made of, and ending them. */
import Type from "typebox";
import type { RegionDetail as Told } from "../../coordinator/describe.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import { answers, Id, JobPath, listQuery, OneOf, pageOfItems, Text } from "../schemas/basics.js";
import {
  ActorDetail,
  EdgeDetail,
  JOB_STATES,
  JobDetail,
  JobSample,
  JobSummary,
  OperatorDetail,
  RegionDetail,
} from "../schemas/jobs.js";

const read = { role: "viewer", leader: true } as const;
const change = { role: "operator", leader: true } as const;

/** Those of hundreds of regions are megabytes: a page that asks each second leaves them out. */
const NewestCheckpoints = Type.Optional(
  Type.Integer({
    minimum: 0,
    description: "So many of each region's checkpoints, newest first. Default: all that are known.",
  }),
);

function withNewest(regions: readonly Told[], most: number | undefined): Told[] {
  if (most === undefined) return [...regions];
  return regions.map((region) => ({ ...region, checkpoints: region.checkpoints.slice(0, most) }));
}

export const jobRoutes: Routes = (app, { leader }) => {
  app.get(
    "/v1/jobs",
    {
      config: read,
      schema: {
        operationId: "listJobs",
        tags: ["jobs"],
        summary: "Jobs that have not ended, and those that have lately",
        querystring: listQuery({
          state: Type.Optional(OneOf(JOB_STATES, "Only those in this state.")),
          topology: Type.Optional(Text("Only those of this topology.")),
        }),
        response: answers({ 200: pageOfItems(JobSummary) }),
      },
    },
    async ({ query }) => {
      const known = leader()!.jobs();
      const names = new Set(known.map(({ job }) => job));
      // Those of earlier leaders.
      for (const ended of await leader()!.ended.summaries()) {
        if (!names.has(ended.job)) known.push(ended);
        names.add(ended.job);
      }
      const some = known.filter(
        ({ state, topology }) =>
          (query.state === undefined || state === query.state) &&
          (query.topology === undefined || topology === query.topology),
      );
      return pageOf(some, ({ job }) => job, query);
    },
  );

  app.get(
    "/v1/jobs/:job",
    {
      config: read,
      schema: {
        operationId: "showJob",
        tags: ["jobs"],
        summary: "One job: its graph, regions, services and hosts",
        params: JobPath,
        querystring: Type.Object({ checkpoints: NewestCheckpoints }, { additionalProperties: false }),
        response: answers({ 200: JobDetail }),
      },
    },
    async ({ params, query }) => {
      const job = await leader()!.describeJob(params.job);
      return { ...job, regions: withNewest(job.regions, query.checkpoints) };
    },
  );

  app.get(
    "/v1/jobs/:job/operators",
    {
      config: read,
      schema: {
        operationId: "listOperators",
        tags: ["jobs"],
        summary: "Operators of a job, each over all its parallel instances",
        params: JobPath,
        querystring: listQuery({}),
        response: answers({ 200: pageOfItems(OperatorDetail) }),
      },
    },
    async ({ params, query }) =>
      pageOf((await leader()!.describeJob(params.job)).operators, ({ operator }) => operator, query),
  );

  app.get(
    "/v1/jobs/:job/edges",
    {
      config: read,
      schema: {
        operationId: "listEdges",
        tags: ["jobs"],
        summary: "Edges between the operators of a job",
        params: JobPath,
        querystring: listQuery({}),
        response: answers({ 200: pageOfItems(EdgeDetail) }),
      },
    },
    async ({ params, query }) =>
      pageOf((await leader()!.describeJob(params.job)).edges, ({ from, to }) => `${from} ${to}`, query),
  );

  app.get(
    "/v1/jobs/:job/regions",
    {
      config: read,
      schema: {
        operationId: "listRegions",
        tags: ["jobs"],
        summary: "Regions of a job: what fails and starts again together",
        params: JobPath,
        querystring: listQuery({ phase: Type.Optional(Text("Only those in this phase.")) }),
        response: answers({ 200: pageOfItems(RegionDetail) }),
      },
    },
    async ({ params, query }) => {
      const { regions } = await leader()!.describeJob(params.job);
      const some = regions.filter(({ phase }) => query.phase === undefined || phase === query.phase);
      return pageOf(some, ({ region }) => region, query);
    },
  );

  app.get(
    "/v1/jobs/:job/actors",
    {
      config: read,
      schema: {
        operationId: "listActors",
        tags: ["jobs"],
        summary: "Actors of a job",
        params: JobPath,
        querystring: listQuery({
          state: Type.Optional(Text("Only those in this state.")),
          region: Type.Optional(Text("Only those of this region.")),
          worker: Type.Optional(Id("Only those on this worker.")),
        }),
        response: answers({ 200: pageOfItems(ActorDetail) }),
      },
    },
    async ({ params, query }) => {
      const actors = await leader()!.actorsOf(params.job);
      const some = actors.filter(
        (actor) =>
          (query.state === undefined || actor.state === query.state) &&
          (query.region === undefined || actor.region === query.region) &&
          (query.worker === undefined || actor.worker === query.worker),
      );
      const { items, ...rest } = pageOf(some, ({ actor }) => actor, query);
      return { items: items.map((one) => one.detail()), ...rest };
    },
  );

  app.get(
    "/v1/jobs/:job/samples",
    {
      config: read,
      schema: {
        operationId: "listSamples",
        tags: ["jobs"],
        summary: "The last half hour of a job in a few numbers, oldest first",
        params: JobPath,
        querystring: listQuery({}),
        response: answers({ 200: pageOfItems(JobSample) }),
      },
    },
    async ({ params, query }) =>
      pageOf(leader()!.book(params.job).samples, ({ atMs }) => String(atMs).padStart(15, "0"), query),
  );

  app.post(
    "/v1/jobs/:job/cancel",
    {
      config: change,
      schema: {
        operationId: "cancelJob",
        tags: ["jobs"],
        summary: "Stop a job without committing its open work",
        params: JobPath,
        response: answers({ 202: JobDetail }),
      },
    },
    async ({ params }, reply) => {
      await leader()!.cancel(params.job);
      return reply.code(202).send(await leader()!.describeJob(params.job));
    },
  );
};
