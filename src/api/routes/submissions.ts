/** Jobs and plans of what a client sends. Answered by whichever coordinator is asked; it tells the one that leads when all is in the store. */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { askedOnce, IdempotencyKey } from "../idempotency.js";
import type { Routes } from "../routing.js";
import { answers, Id, List, Sha256, Text } from "../schemas/basics.js";
import type { JobRequest, Submissions } from "../submissions.js";

const PARAMS_MAX = 1_000;
const Texts = (description: string) =>
  Type.Record(Type.String({ maxLength: 256 }), Type.String({ maxLength: 65_536 }), {
    description,
    maxProperties: PARAMS_MAX,
  });

const Asset = Type.Object(
  {
    service: Id("The service whose handler declares it."),
    name: Type.String({ minLength: 1, maxLength: 256, description: "Its name there." }),
    source: Type.String({ minLength: 1, maxLength: 4_096, description: "Where it comes from, as declared there." }),
    sha256: Sha256("As it was uploaded."),
    sizeBytes: Type.Integer({ minimum: 0, description: "Its size." }),
  },
  { additionalProperties: false },
);

const NewJob = Type.Object(
  {
    bundle: Type.Optional(Sha256("Of an uploaded bundle. Either this, or `topology`.")),
    topology: Type.Optional(
      Type.String({
        minLength: 1,
        description: "A topology file in TypeScript, which imports nothing but millrace and installed packages.",
      }),
    ),
    params: Type.Optional(Texts("Parameters of the topology.")),
    parallelism: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10_000,
        description: "Of operators that state none; 0: the topology's own.",
      }),
    ),
    inputs: Type.Optional(Texts("By id of a source: the s3:// pattern to read instead of the topology's own.")),
    assets: Type.Optional(List(Asset, "Files that handlers declare; uploaded before.")),
    savepoint: Type.Optional(
      Type.String({
        pattern: "^[a-zA-Z0-9_-]{1,128}/[a-zA-Z0-9_-]{1,128}$",
        description: "`<job>/<name>`: begin with its state.",
      }),
    ),
    allowUnmatched: Type.Optional(
      Type.Boolean({ description: "Leave out state of operators that the topology does not have. Default false." }),
    ),
    overwrite: Type.Optional(Type.Boolean({ description: "Replace what earlier runs have published. Default false." })),
  },
  { additionalProperties: false },
);

const Submitted = Type.Object({ job: Text("Id of the job.") }, { title: "SubmittedJob" });
const PlanView = Type.Object(
  {
    plan: Type.Unsafe<object>({
      type: "object",
      additionalProperties: true,
      description: "As `millrace plan --json` has it: actors, channels, exchanges, regions and services.",
    }),
    text: Text("For people."),
  },
  { title: "Plan" },
);

function requestOf(body: Type.Static<typeof NewJob>): JobRequest {
  const { params = {}, parallelism = 0, inputs = {}, assets = [], allowUnmatched = false, overwrite = false } = body;
  if ((body.bundle === undefined) === (body.topology === undefined))
    throw new MillraceError("MILL_REQUEST_INVALID", "give either bundle or topology: one of them, and not both.");
  return { ...body, params, parallelism, inputs, assets, allowUnmatched, overwrite };
}

export const submissionRoutes: Routes = (app, { submissions, store, ports }) => {
  const here = (): Submissions => {
    if (submissions !== undefined) return submissions;
    const message =
      "this coordinator runs inside a job, and takes no other one. Start one with `millrace coordinator`.";
    throw new MillraceError("MILL_REQUEST_CONFLICT", message);
  };

  app.post(
    "/v1/jobs",
    {
      config: { role: "submitter" },
      schema: {
        operationId: "submitJob",
        tags: ["jobs"],
        summary: "Submit a job: an uploaded bundle, or the source of a topology",
        headers: IdempotencyKey,
        body: NewJob,
        response: answers({ 201: Submitted }),
      },
    },
    async ({ principal, headers, body }, reply) => {
      const request = requestOf(body);
      const making = here();
      const asked = { principal, key: headers["idempotency-key"], what: "POST /v1/jobs", body: request };
      const job = await making.submit(request, await askedOnce(store, asked, ports.clock.nowMs()));
      return reply.code(201).header("location", `/v1/jobs/${job}`).send({ job });
    },
  );

  app.post(
    "/v1/plans",
    {
      config: { role: "submitter" },
      schema: {
        operationId: "planJob",
        tags: ["jobs"],
        summary: "What a submission comes to; nothing is written",
        body: NewJob,
        response: answers({ 200: PlanView }),
      },
    },
    async ({ body }) => here().plan(requestOf(body)),
  );
};
