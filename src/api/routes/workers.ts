/** Workers: what they offer, what they hold, and draining them. */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import type { WorkerDetail as Told } from "../../coordinator/describe.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import { answers, Id, listQuery, pageOfItems } from "../schemas/basics.js";
import { WorkerDetail } from "../schemas/workers.js";

const WorkerPath = Type.Object({ worker: Id("Id of a worker.") });

export const workerRoutes: Routes = (app, { leader }) => {
  const workerOf = (name: string): Told => {
    const found = leader()!
      .workers()
      .find(({ worker }) => worker === name);
    if (found !== undefined) return found;
    throw new MillraceError(
      "MILL_REQUEST_NOT_FOUND",
      `no worker "${name}" was heard of lately. GET /v1/workers has those that were.`,
    );
  };

  app.get(
    "/v1/workers",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "listWorkers",
        tags: ["workers"],
        summary: "Workers that were heard of lately",
        querystring: listQuery({
          draining: Type.Optional(Type.Boolean({ description: "Only those that (do not) drain." })),
        }),
        response: answers({ 200: pageOfItems(WorkerDetail) }),
      },
    },
    async ({ query }) => {
      const some = leader()!
        .workers()
        .filter(({ draining }) => query.draining === undefined || draining === query.draining);
      return pageOf(some, ({ worker }) => worker, query);
    },
  );

  app.get(
    "/v1/workers/:worker",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "showWorker",
        tags: ["workers"],
        summary: "One worker",
        params: WorkerPath,
        response: answers({ 200: WorkerDetail }),
      },
    },
    async ({ params }) => workerOf(params.worker),
  );

  app.post(
    "/v1/workers/:worker/drain",
    {
      config: { role: "operator", leader: true },
      schema: {
        operationId: "drainWorker",
        tags: ["workers"],
        summary: "Let a worker take nothing new, hand over what it has, and leave",
        params: WorkerPath,
        response: answers({ 202: WorkerDetail }),
      },
    },
    async ({ params: { worker } }, reply) => {
      const known = workerOf(worker);
      leader()!.drainWorker(worker);
      return reply.code(202).send({ ...known, draining: true });
    },
  );
};
