/**
 * Plans what was sent, in processes of their own: one makes a bundle of source and runs nothing of it; one, confined, loads the bundle and
 * says what it comes to.
 *
 * Invariants:
 *   S1  Sent code never runs in the coordinator, nor in a process that can reach its files (`plan-confinement.ts`). The store is reached
 *       through the parent, at the keys of the savepoint that was named and of the job that begins with it.
 *   S3  What it says is checked like what comes over a network.
 */
import { createHash } from "node:crypto";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../base/errors.js";
import type { JobId } from "../base/ids.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { JobSpec } from "../wire/control.js";
import { checkBundle } from "./bundle.js";
import { placeBundle } from "./load-topology.js";
import { findPackage } from "./packages.js";
import { confinement, readable } from "./plan-confinement.js";
import type { Planned, PlanTask, StoreCall } from "./plan-messages.js";
import { PlanProcess } from "./plan-process.js";
import { isStubbed, placeStubs } from "./plan-stubs.js";
import { savepointName } from "./savepoints.js";

/** What a job that begins with a savepoint may have before its spec, below its own keys. */
const WRITTEN = ["regions/", "sources/", "exchanges/"];

export type PlanRequest = Omit<PlanTask, "bundleFile" | "sha256" | "external" | "folder" | "store"> & {
  /** Of an uploaded bundle; or the source of a topology. */
  readonly code: { readonly bundle: Uint8Array; readonly sha256: string } | { readonly topology: string };
};

interface SentBundle {
  readonly code: Uint8Array;
  readonly sha256: string;
  readonly external: readonly string[];
}

/**
 * Plans, and lets `act` go on with it; the process lives until that is over.
 * @param act is also given the bundle that was made, where source was sent
 */
export async function withPlanner<T>(
  { code, ...request }: PlanRequest,
  store: ObjectStore,
  act: (planned: Planned, planner: Planner, bundle: Uint8Array | undefined) => Promise<T>,
): Promise<T> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "millrace-plan-")));
  const packages = process.cwd();
  let planner: Planner | undefined;
  try {
    const { sha256, external, ...sent } =
      "topology" in code
        ? await bundled(code.topology, folder, packages)
        : { code: code.bundle, sha256: code.sha256, external: [] };
    const bundleFile = await placeBundle(sent.code, sha256, "the store", folder, [packages]);
    const outside = checkBundle(sent.code, sha256, "the store");
    await placeStubs(bundleFile, sent.code, outside);
    const linked = outside.flatMap((name) => (isStubbed(name) ? [] : (findPackage(name, [packages]) ?? [])));
    planner = new Planner(folder, store, request.savepoint, confinement(readable(folder, packages, linked)));
    const planned = await planner.plan({ ...request, bundleFile, sha256, external, folder, store: store.url });
    return await act(planned, planner, "topology" in code ? sent.code : undefined);
  } finally {
    planner?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

/** In a process that is not confined, for the bundler is a program: it reads the source and packages, and runs nothing of them. */
async function bundled(source: string, folder: string, packages: string): Promise<SentBundle> {
  const bundler = new PlanProcess(folder, [], () => {});
  try {
    const { code, external } = await bundler.ask({ kind: "bundle", source, packages }, "bundled");
    return { code, external, sha256: createHash("sha256").update(code).digest("hex") };
  } finally {
    bundler.close();
  }
}

export class Planner {
  #process: PlanProcess;
  #job: JobId | undefined;

  /** @param flags of Node, for its process */
  constructor(
    folder: string,
    private readonly store: ObjectStore,
    private readonly savepoint: string | undefined,
    flags: readonly string[],
  ) {
    this.#process = new PlanProcess(folder, flags, (call) => void this.#answer(call));
  }

  plan(task: PlanTask): Promise<Planned> {
    return this.#process.ask({ kind: "plan", task }, "planned");
  }

  /** Writes what the job begins with. */
  async begin(job: JobId): Promise<JobSpec["seeds"]> {
    this.#job = job;
    return (await this.#process.ask({ kind: "begin", job }, "begun")).seeds;
  }

  close(): void {
    this.#process.close();
  }

  async #answer({ call, method, key, bytes }: StoreCall): Promise<void> {
    try {
      this.#check(method, String(key)); // S1
      const body = bytes instanceof Uint8Array ? bytes : new Uint8Array();
      const value =
        method === "head" || method === "get" ? await this.store[method](key) : await this.store[method](key, body);
      this.#process.tell({ kind: "answer", call, value });
    } catch (cause) {
      const { code, message } = MillraceError.from(cause);
      this.#process.tell({ kind: "refused", call, code, message });
    }
  }

  #check(method: StoreCall["method"], key: string): void {
    const reads = method === "head" || method === "get";
    if (reads && this.savepoint !== undefined && key.startsWith(jobKeys(savepointName(this.savepoint).job).all)) return;
    const own = this.#job && jobKeys(this.#job).all;
    const writes = method === "put" || method === "create";
    if (writes && own !== undefined && WRITTEN.some((part) => key.startsWith(own + part))) return;
    throw new MillraceError("MILL_STORE_REFUSED", `a topology that is planned may not ${String(method)} ${key}.`);
  }
}
