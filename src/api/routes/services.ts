/** Services of a job and their instances. */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import { answers, Id, JobPath, listQuery, pageOfItems, ServicePath, Text } from "../schemas/basics.js";
import { InstanceDetail, ServiceDetail } from "../schemas/jobs.js";

export const serviceRoutes: Routes = (app, { leader }) => {
  const serviceOf = async (job: string, name: string) => {
    const { services } = await leader()!.describeJob(job);
    const found = services.find(({ service }) => service === name);
    if (found !== undefined) return found;
    const known = services.map(({ service }) => service).join(", ") || "none";
    throw new MillraceError("MILL_REQUEST_NOT_FOUND", `job ${job} has no service "${name}". Its services: ${known}.`);
  };

  app.get(
    "/v1/jobs/:job/services",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "listServices",
        tags: ["services"],
        summary: "Services of a job, with their instances",
        params: JobPath,
        querystring: listQuery({}),
        response: answers({ 200: pageOfItems(ServiceDetail) }),
      },
    },
    async ({ params, query }) =>
      pageOf((await leader()!.describeJob(params.job)).services, ({ service }) => service, query),
  );

  app.get(
    "/v1/jobs/:job/services/:service",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "showService",
        tags: ["services"],
        summary: "One service of a job",
        params: ServicePath,
        response: answers({ 200: ServiceDetail }),
      },
    },
    async ({ params }) => serviceOf(params.job, params.service),
  );

  app.get(
    "/v1/jobs/:job/services/:service/instances",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "listInstances",
        tags: ["services"],
        summary: "Instances of a service",
        params: ServicePath,
        querystring: listQuery({
          state: Type.Optional(Text("Only those in this state.")),
          worker: Type.Optional(Id("Only those on this worker.")),
        }),
        response: answers({ 200: pageOfItems(InstanceDetail) }),
      },
    },
    async ({ params, query }) => {
      const { instances } = await serviceOf(params.job, params.service);
      const some = instances.filter(
        ({ state, worker }) =>
          (query.state === undefined || state === query.state) &&
          (query.worker === undefined || worker === query.worker),
      );
      return pageOf(some, ({ instance }) => instance, query);
    },
  );
};
