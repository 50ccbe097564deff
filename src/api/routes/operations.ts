/**
 * Work that goes on after its request was answered. An operation's id says what it is about; how it stands is read from what there is, so
 * it outlives the coordinator that began it. Deleting jobs, which is such work.
 */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import type { Coordinator } from "../../coordinator/coordinator.js";
import type { Standing } from "../../coordinator/job-deletion.js";
import type { Routes } from "../routing.js";
import { answers, JobPath, Operation } from "../schemas/basics.js";

const NAME = "[a-zA-Z0-9_-]{1,128}";
const OperationPath = Type.Object({
  operation: Type.String({
    pattern: `^((savepoint|stop)\\.${NAME}\\.${NAME}|delete\\.${NAME})$`,
    description: "As the answer to the request said that began it.",
  }),
});
const DeleteQuery = Type.Object(
  {
    savepoints: Type.Optional(Type.Boolean({ description: "Its savepoints, too. Default false: they stay usable." })),
  },
  { additionalProperties: false },
);
const SAVEPOINT_STATES = { OPEN: "running", DONE: "done", FAILED: "failed" } as const;

const deletionOf = (job: JobId): string => `delete.${job}`;

export const operationRoutes: Routes = (app, { leader }) => {
  app.get(
    "/v1/operations/:operation",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "showOperation",
        tags: ["cluster"],
        summary: "How something stands that a request has begun",
        params: OperationPath,
        response: answers({ 200: Operation }),
      },
    },
    async ({ params: { operation } }) => ({ operation, ...(await standingOf(leader()!, operation)) }),
  );

  app.delete(
    "/v1/jobs/:job",
    {
      config: { role: "operator", leader: true },
      schema: {
        operationId: "deleteJob",
        tags: ["jobs"],
        summary: "Delete what the store holds of a job that has ended; what it has published stays",
        params: JobPath,
        querystring: DeleteQuery,
        response: answers({ 202: Operation }),
      },
    },
    async ({ params, query: { savepoints = false } }, reply) => {
      const job = id<JobId>("job", params.job);
      const standing = await leader()!.ended.deletion.begin(job, { savepoints });
      const operation = deletionOf(job);
      return reply
        .code(202)
        .header("location", `/v1/operations/${operation}`)
        .send({ operation, ...standing });
    },
  );
};

async function standingOf(leader: Coordinator, operation: string): Promise<Standing> {
  const [kind, name = "", savepoint = ""] = operation.split(".");
  const job = id<JobId>("job", name);
  if (kind === "delete") return leader.ended.deletion.standing(job);
  const book = await bookOf(leader, job);
  const { state, ...rest } = await leader.savepoints.standing(job, book, {
    job,
    name: id("savepoint", savepoint),
    stop: kind === "stop",
  });
  return { state: SAVEPOINT_STATES[state], ...rest };
}

/** Undefined: it has ended, and this coordinator has not seen it. */
async function bookOf(leader: Coordinator, job: JobId) {
  try {
    return leader.book(job);
  } catch (error) {
    if (MillraceError.is(error) && error.code === "MILL_JOB_UNKNOWN" && (await leader.ended.has(job))) return undefined;
    throw error;
  }
}
