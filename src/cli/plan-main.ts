/**
 * The program that plans what was sent to a coordinator. It is started twice: to make a bundle of source, where it loads nothing of it; then,
 * confined, to load the bundle and say what it comes to. It has no credentials; what a job needs that begins with a savepoint it asks its
 * parent for, which gives that and nothing else.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { JobId } from "../base/ids.js";
import { describePlan } from "../plan/describe.js";
import type { ObjectInfo } from "../storage/object-store.js";
import { bundleSource } from "./bundle.js";
import { loadTopology } from "./load-topology.js";
import { outputsOf } from "./outputs.js";
import { disarm, refusalOf } from "./plan-confinement.js";
import type { FromPlanner, PlanTask, StoreCall, ToPlanner } from "./plan-messages.js";
import { type Beginning, beginFrom, type SavepointStore } from "./savepoints.js";
import { jobSpec, type Submission } from "./submission.js";

const SENT = "the topology";

/** Taken before any sent code runs. */
const tell = (message: FromPlanner, then?: () => void) => process.send?.(message, () => then?.());
const calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
let beginning: Beginning | undefined;

async function bundle(source: string, packages: string): Promise<void> {
  const { code, external } = await bundleSource(source, SENT, packages);
  tell({ kind: "bundled", code, external });
}

async function plan(task: PlanTask): Promise<void> {
  const { params, parallelism, inputs, folder, bundleFile, sha256, external } = task;
  disarm();
  const loaded = await loadTopology(bundleFile, { params, parallelism, inputs, bundle: sha256 }, SENT);
  const options = { params, parallelism, cache: folder };
  const made = { code: new Uint8Array(), sha256, external }; // its bytes are the parent's
  const submission: Submission = { ...loaded, bundle: made, bundleFile, assets: [], options };
  if (task.savepoint !== undefined)
    beginning = await beginFrom(task.savepoint, submission, parentStore(task.store), task.allowUnmatched);
  const before = beginning?.inputs ?? {};
  const { topology } = submission;
  checkSources(submission, inputs, before);
  const told = { ...submission.plan, bundle: sha256, external };
  tell({
    kind: "planned",
    spec: jobSpec(submission, "planned" as JobId, {}, 0),
    outputs: outputsOf(topology, task.store),
    assets: topology.services.flatMap(({ id: service, handler }) =>
      Object.entries(handler.assets).map(([name, source]) => ({ service, name, source })),
    ),
    inputs: before,
    plan: JSON.stringify(told),
    text: describePlan(topology, submission.plan),
  });
}

/** Files of the machine where the topology was written are on no worker. */
function checkSources(
  { topology }: Submission,
  inputs: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>>,
): void {
  const sources = topology.operators.flatMap((node) => (node.kind === "source" ? [node] : []));
  const unknown = Object.keys(inputs).find((id) => !sources.some((node) => node.id === id));
  if (unknown !== undefined) {
    const known = sources.map(({ id }) => id).join(", ");
    throw new MillraceError("MILL_CONFIG", `inputs names "${unknown}", which is no source. There is: ${known}.`);
  }
  for (const { id, source } of sources) {
    if (source.localPattern === undefined || Object.hasOwn(before, id)) continue;
    const message = `source "${id}" reads ${source.localPattern}, files of a machine that workers do not see. Upload them, and give their s3:// pattern in inputs.`;
    throw new MillraceError("MILL_CONFIG", message, { source: id });
  }
}

function parentStore(url: string): SavepointStore {
  let number = 0;
  const ask = <T>(method: StoreCall["method"], key: string, bytes?: Uint8Array): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      number += 1;
      calls.set(number, { resolve: resolve as (value: unknown) => void, reject });
      tell({ kind: "call", call: number, method, key, ...(bytes === undefined ? {} : { bytes }) });
    });
  return {
    url,
    head: (key) => ask<ObjectInfo | undefined>("head", key),
    get: (key) => ask<Uint8Array>("get", key),
    async put(key, body) {
      if (!(body instanceof Uint8Array)) throw new MillraceError("MILL_INTERNAL", "savepoints put bytes in hand.");
      return ask<ObjectInfo>("put", key, body);
    },
    create: (key, bytes) => ask("create", key, bytes),
  };
}

async function obey(message: ToPlanner): Promise<void> {
  switch (message.kind) {
    case "bundle":
      return bundle(message.source, message.packages);
    case "plan":
      return plan(message.task);
    case "begin":
      tell({ kind: "begun", seeds: (await beginning?.write(message.job as JobId, parentStore(""))) ?? [] });
      return;
    case "answer":
      calls.get(message.call)?.resolve(message.value);
      calls.delete(message.call);
      return;
    case "refused": {
      const code = isErrorCode(message.code) ? message.code : "MILL_INTERNAL";
      calls.get(message.call)?.reject(new MillraceError(code, message.message));
      calls.delete(message.call);
    }
  }
}

function fail(cause: unknown): void {
  const { code, message } = refusalOf(cause) ?? MillraceError.from(cause);
  tell({ kind: "failed", code, message }, () => process.exit(1));
}

process.once("disconnect", () => process.exit(0));
process.once("uncaughtException", fail);
process.once("unhandledRejection", fail);
process.on("message", (message) => void obey(message as ToPlanner).catch(fail));
