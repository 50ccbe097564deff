/**
 * Services as endpoints of the Open Inference Protocol (v2, REST, with its extension for binary tensors): any client of Triton, KServe or
 * MLServer can call a warm pool. Errors are `{"error": "..."}`, as such clients want them.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import { ERROR_CODES, type ErrorCode, MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { decodeRequest, encodeAnswer, JSON_LENGTH_HEADER } from "../../services/handlers/inference-body.js";
import { checkColumn, columnsOf, datatypeOf, tensorOf } from "../../services/handlers/tensor-columns.js";
import type { Columns, ColumnType } from "../../types/columns.js";
import { errorOf, problemOf } from "../problem.js";
import type { Routes } from "../routing.js";
import { Text } from "../schemas/basics.js";
import { type OpenService, ServicePool } from "../service-pool.js";

const ModelPath = Type.Object({
  model: Type.String({ maxLength: 300, description: "`<job>.<service>`, or the service alone where one job has it." }),
});
const VersionPath = Type.Object({
  ...ModelPath.properties,
  version: Type.String({ maxLength: 32, description: "Any: a job runs one." }),
});
const Failed = Type.Object({ error: Text("What is wrong, and what to do next.") });
const TensorView = Type.Object({ name: Type.String(), datatype: Type.String(), shape: Type.Array(Type.Integer()) });
const ModelView = Type.Object({
  name: Type.String(),
  versions: Type.Array(Type.String()),
  platform: Type.String(),
  inputs: Type.Array(TensorView),
  outputs: Type.Array(TensorView),
});
const failures = { "4xx": Failed, "5xx": Failed };
const Alive = { 200: Type.Object({}), ...failures };
const ServerView = Type.Object({ name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) });
/** As it comes: what is in it is read by hand, for behind the JSON there may be bytes of tensors. */
const InferBody = Type.Unsafe<Buffer>({
  description:
    "Tensors, as the protocol has them: `{ id?, inputs: [...], outputs? }`, and bytes of those that are binary.",
});
const JSON_TYPE = "application/json";
const BINARY_TYPE = "application/octet-stream";
const Inferred = {
  200: {
    description: "Tensors of the answer.",
    content: {
      [JSON_TYPE]: { schema: Type.Unsafe<object>({ type: "object", additionalProperties: true }) },
      [BINARY_TYPE]: { schema: Type.Unsafe<Buffer>({}) },
    },
  },
  ...failures,
};
/** Who may call: a submitter can run any code anyway, an operator keeps services running. */
const caller = { role: "operator", audited: false } as const;
const reader = { role: "viewer" } as const;

export const modelRoutes: Routes = async (root, options) => {
  const pool = new ServicePool(options);
  root.addHook("onClose", async () => pool.close());
  await root.register(async (scope) => {
    const app = scope as typeof root;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: limits.endpointBodyBytesMax }, (_, body, done) =>
      done(null, body),
    );
    app.setErrorHandler((cause, _request, reply) => {
      const error = errorOf(cause);
      const { detail } = problemOf(error);
      if (error.code === "MILL_INTERNAL") options.ports.log.error("a call of a service failed", { error });
      return reply
        .code(statusOf(error.code))
        .header("retry-after", "1")
        .send({ error: `${error.code}: ${detail}` });
    });

    const tags = ["models"];
    app.get(
      "/v2",
      {
        config: reader,
        schema: {
          operationId: "describeServer",
          tags,
          summary: "The server and its extensions",
          response: { 200: ServerView, ...failures },
        },
      },
      async () => ({ name: "millrace", version: options.version, extensions: ["binary_tensor_data"] }),
    );
    app.get(
      "/v2/health/live",
      {
        schema: {
          operationId: "liveServer",
          tags,
          summary: "Whether this process lives",
          security: [],
          response: Alive,
        },
      },
      async () => ({}),
    );
    app.get(
      "/v2/health/ready",
      {
        config: reader,
        schema: {
          operationId: "readyServer",
          tags,
          summary: "Whether the jobs that run can be read",
          response: Alive,
        },
      },
      async () => {
        await pool.all();
        return {};
      },
    );
    app.get(
      "/v2/models/:model",
      {
        config: reader,
        schema: {
          operationId: "describeModel",
          tags,
          summary: "Tensors that a service takes and answers",
          params: ModelPath,
          response: { 200: ModelView, ...failures },
        },
      },
      async ({ params }) => describe(await pool.find(params.model)),
    );
    app.get(
      "/v2/models/:model/ready",
      {
        config: reader,
        schema: {
          operationId: "readyModel",
          tags,
          summary: "Whether an instance takes requests",
          params: ModelPath,
          response: { 200: Type.Object({}), ...failures },
        },
      },
      async ({ params }) => {
        const open = await pool.find(params.model);
        if (await pool.isReady(open)) return {};
        throw new MillraceError("MILL_ENDPOINT_BUSY", `no instance of ${open.name} is ready.`);
      },
    );
    const infer = async (request: FastifyRequest, reply: FastifyReply) => {
      const { model } = request.params as { readonly model: string };
      return answer(await pool.find(model), pool, request, reply);
    };
    const summary = "Call a service: batched, balanced and limited as the stream's own calls";
    app.post(
      "/v2/models/:model/infer",
      {
        config: caller,
        schema: { operationId: "infer", tags, summary, params: ModelPath, body: InferBody, response: Inferred },
      },
      infer,
    );
    app.post(
      "/v2/models/:model/versions/:version/infer",
      {
        config: caller,
        schema: {
          operationId: "inferVersion",
          tags,
          summary,
          params: VersionPath,
          body: InferBody,
          response: Inferred,
        },
      },
      infer,
    );
  });
};

async function answer(
  open: OpenService,
  pool: ServicePool,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { name, service } = open;
  const invalid = (what: string, cause?: unknown) =>
    new MillraceError("MILL_REQUEST_INVALID", `the request to ${name}: ${what}.`, {}, { cause });
  if (request.headers["content-encoding"] !== undefined) throw invalid("compressed bodies are not taken");
  if (!(request.body instanceof Buffer) || request.body.length === 0) throw invalid("it has no body");
  const jsonLength = request.headers[JSON_LENGTH_HEADER] as string | undefined;
  const { id, inputs, outputs, binary } = decodeRequest(request.body, jsonLength, invalid);
  for (const tensor of inputs.keys()) {
    if (service.input[tensor] === undefined)
      throw invalid(`it has a tensor "${tensor}"; the service takes ${Object.keys(service.input).join(", ")}`);
  }
  const unknown = outputs?.find((one) => service.output[one] === undefined);
  if (unknown !== undefined)
    throw invalid(`it wants a tensor "${unknown}"; the service answers ${Object.keys(service.output).join(", ")}`);
  const rows = [...inputs.values()][0]?.shape[0] ?? 0;
  if (rows === 0) throw invalid("it has no rows: the first size of each tensor is how many there are");
  const records = columnsOf(service.input, {}, inputs, rows, invalid);
  const owner = {};
  const { records: answered, rejected } = await pool.use(open, async (client) => {
    request.raw.once("close", () => {
      if (!reply.raw.writableEnded)
        client.giveUp(owner, new MillraceError("MILL_SERVICE_LOST", "the caller has gone."));
    });
    return client.call(records, owner);
  });
  const [first] = rejected;
  if (first !== undefined)
    throw new MillraceError("MILL_REQUEST_INVALID", `row ${first.row} was refused: ${first.message} (${first.code})`);
  const wanted = Object.entries(service.output).filter(([column]) => outputs?.includes(column) ?? true);
  for (const [column, type] of wanted) checkColumn("input", column, type);
  const tensors = wanted.map(([column, type]) => tensorOf(column, type, answered));
  const { headers, body } = encodeAnswer({ id, model: name, outputs: tensors }, binary, textIn(service.output));
  return reply.headers(headers).send(body);
}

const textIn = (columns: Columns): ReadonlySet<string> =>
  new Set(Object.entries(columns).flatMap(([name, type]) => (/^(list<)*utf8>*$/.test(type.name) ? [name] : [])));

function describe({ name, service }: OpenService): Type.Static<typeof ModelView> {
  const shown = (columns: Columns) =>
    Object.entries(columns).map(([column, type]) => ({
      name: column,
      datatype: datatypeOf(type),
      shape: shapeOf(type),
    }));
  return { name, versions: ["1"], platform: "millrace", inputs: shown(service.input), outputs: shown(service.output) };
}

/** -1: as many as one likes. */
function shapeOf(type: ColumnType): number[] {
  if (type.tensor !== undefined) return [-1, ...type.tensor.shape.map((size) => size ?? -1)];
  return type.item === undefined ? [-1] : [-1, ...shapeOf(type.item)];
}

const TIMES: ReadonlySet<ErrorCode> = new Set(["MILL_SERVICE_TIMEOUT", "MILL_BUS_TIMEOUT"]);

function statusOf(code: ErrorCode): number {
  return TIMES.has(code) ? 504 : ERROR_CODES[code].http;
}
