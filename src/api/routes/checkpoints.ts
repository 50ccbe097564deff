/** Checkpoints of a job's regions, and savepoints. */
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { jobKeys } from "../../storage/keys.js";
import { type Savepoint, savepointFrame } from "../../wire/stored.js";
import { type AskedOnce, askedOnce, IdempotencyKey } from "../idempotency.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import {
  answers,
  Count,
  Id,
  JobPath,
  List,
  listQuery,
  OneOf,
  Operation,
  pageOfItems,
  Text,
  TimeMs,
} from "../schemas/basics.js";
import { CHECKPOINT_STATES, CheckpointDetail } from "../schemas/jobs.js";

const CheckpointOfRegion = Type.Object(
  { region: Text("Region that it is of."), ...CheckpointDetail.properties },
  { title: "CheckpointOfRegion" },
);

const AskedCheckpoints = Type.Object(
  {
    job: Text("The job."),
    regions: List(
      Type.Object({ region: Text("A region that is not over."), after: Count("Its checkpoint has a higher number.") }),
    ),
  },
  { title: "AskedCheckpoints" },
);

const SavepointView = Type.Object(
  {
    job: Text("The job that it was taken of."),
    name: Text("Its name, unique in the job."),
    topology: Text("Name of the topology."),
    planHash: Text("SHA-256 of the plan."),
    createdMs: TimeMs("When it was taken."),
    actors: Count("Snapshots in it."),
    bytes: Count("Of all of them."),
  },
  { title: "Savepoint" },
);

const SavepointPath = Type.Object({ job: Id("Id of a job."), savepoint: Id("Name of a savepoint.") });
const NewSavepoint = Type.Object(
  {
    name: Type.Optional(
      Id("Unique in the job. Default: the time, and a random part, or what the idempotency key gives."),
    ),
    stop: Type.Optional(
      Type.Boolean({ description: "Publish nothing that comes after it, and cancel the job. Default false." }),
    ),
  },
  { additionalProperties: false },
);

function viewOf({ job, name, topology, planHash, createdMs, regions }: Savepoint): Type.Static<typeof SavepointView> {
  const actors = regions.flatMap((region) => region.actors);
  const bytes = Number(actors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n));
  return { job, name, topology, planHash, createdMs: Number(createdMs), actors: actors.length, bytes };
}

/** Of a savepoint that is being taken: it holds all there is to know, so it outlives the leader. */
export const savepointOperation = (job: string, name: string, stop: boolean): string =>
  `${stop ? "stop" : "savepoint"}.${job}.${name}`;

export const checkpointRoutes: Routes = (app, { leader, store, ports }) => {
  app.get(
    "/v1/jobs/:job/checkpoints",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "listCheckpoints",
        tags: ["checkpoints"],
        summary: "Checkpoints of all regions of a job that ended since its leader began",
        params: JobPath,
        querystring: listQuery({
          region: Type.Optional(Text("Only of this region.")),
          state: Type.Optional(OneOf(CHECKPOINT_STATES, "Only those that ended so.")),
        }),
        response: answers({ 200: pageOfItems(CheckpointOfRegion) }),
      },
    },
    async ({ params, query }) => {
      const { regions } = await leader()!.describeJob(params.job);
      const all = regions
        .filter(({ region }) => query.region === undefined || region === query.region)
        .flatMap(({ region, checkpoints }) => checkpoints.map((one) => ({ region, ...one })))
        .filter(({ state }) => query.state === undefined || state === query.state);
      const orderOf = ({ endedMs, region, number }: (typeof all)[number]) =>
        `${String(endedMs).padStart(15, "0")} ${region} ${String(number).padStart(12, "0")}`;
      return pageOf(all, orderOf, query);
    },
  );

  app.post(
    "/v1/jobs/:job/checkpoints",
    {
      config: { role: "operator", leader: true },
      schema: {
        operationId: "triggerCheckpoints",
        tags: ["checkpoints"],
        summary: "Let every region take a checkpoint now; they are in the list when they have ended",
        params: JobPath,
        response: answers({ 202: AskedCheckpoints }),
      },
    },
    async ({ params: { job } }, reply) => {
      const regions = leader()!.control.checkpoint(job);
      return reply.code(202).header("location", `/v1/jobs/${job}/checkpoints`).send({ job, regions });
    },
  );

  app.get(
    "/v1/jobs/:job/savepoints",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "listSavepoints",
        tags: ["checkpoints"],
        summary: "Savepoints of a job, also of one that has ended",
        params: JobPath,
        querystring: listQuery({}),
        response: answers({ 200: pageOfItems(SavepointView) }),
      },
    },
    async ({ params, query }) => {
      const keys: string[] = [];
      for await (const { key } of store.list(jobKeys(id<JobId>("job", params.job)).savepoints)) keys.push(key);
      const { items, ...rest } = pageOf(keys, (key) => key, query);
      const views = await Promise.all(
        items.map(async (key) => viewOf(savepointFrame.decode(await store.get(key)).header)),
      );
      return { items: views, ...rest };
    },
  );

  app.get(
    "/v1/jobs/:job/savepoints/:savepoint",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "showSavepoint",
        tags: ["checkpoints"],
        summary: "One savepoint",
        params: SavepointPath,
        response: answers({ 200: SavepointView }),
      },
    },
    async ({ params: { job, savepoint } }) => {
      const key = jobKeys(id<JobId>("job", job)).savepoint(savepoint);
      if ((await store.head(key)) === undefined)
        throw new MillraceError("MILL_REQUEST_NOT_FOUND", `job ${job} has no savepoint "${savepoint}".`);
      return viewOf(savepointFrame.decode(await store.get(key)).header);
    },
  );

  app.post(
    "/v1/jobs/:job/savepoints",
    {
      config: { role: "operator", leader: true, audited: ["name", "stop"] },
      schema: {
        operationId: "createSavepoint",
        tags: ["checkpoints"],
        summary: "Begin to take a savepoint, and stop the job at it if asked for",
        params: JobPath,
        headers: IdempotencyKey,
        body: NewSavepoint,
        response: answers({ 202: Operation }),
      },
    },
    async ({ params: { job }, headers, body, principal }, reply) => {
      const asked = { principal, key: headers["idempotency-key"], what: `POST savepoints of ${job}`, body };
      const once = await askedOnce(store, asked, ports.clock.nowMs());
      const { name = once === undefined ? newName() : nameOf(once), stop = false } = body;
      const { state, code, message } = await leader()!.savepoint({ job, name, stop });
      const operation = savepointOperation(job, name, stop);
      const states = { OPEN: "running", DONE: "done", FAILED: "failed" } as const;
      return reply
        .code(202)
        .header("location", `/v1/operations/${operation}`)
        .send({ operation, state: states[state], code, message });
    },
  );

  const nameOf = ({ hash, atMs }: AskedOnce) => `${Math.floor(atMs / 1000)}-${hash.slice(0, 12)}`;
  const newName = () => `${Math.floor(ports.clock.nowMs() / 1000)}-${ports.random.id(4)}`;
};
