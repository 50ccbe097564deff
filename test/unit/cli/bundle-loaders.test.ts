/** Whoever loads a bundle looks whether it is the one that was submitted. The coordinator: `api-submissions.test.ts`. */
import assert from "node:assert/strict";
import { appendFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { HostId, InstanceId, JobId, Namespace, ServiceId } from "../../../src/base/ids.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { type Bundle, bundleSource } from "../../../src/cli/bundle.js";
import { startChild } from "../../../src/cli/child-process.js";
import type { InstanceConfig } from "../../../src/cli/instance-main.js";
import { clusterLauncher } from "../../../src/cli/launchers.js";
import { placeBundle } from "../../../src/cli/load-topology.js";
import { makeHost } from "../../../src/cli/make-host.js";
import { Planner } from "../../../src/cli/plan-child.js";
import { jobSpec, readSubmission } from "../../../src/cli/submission.js";
import { bundleKey, jobKeys } from "../../../src/storage/keys.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { openStore } from "../../../src/storage/open-store.js";
import { jobSpecFrame } from "../../../src/wire/control.js";
import { useFolders } from "./folders.js";

const SOURCE = `
import { files, jsonl, t, topology } from "millrace";
export default topology("words", (job) => {
  job.read(files("*.txt"), { id: "texts" }).flatMap({ id: "split", to: { word: t.utf8 } }, async () => []).to(jsonl("out"), { id: "sink" });
});
`;
const REFUSED = { code: "MILL_BUNDLE_HASH", message: /has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} was submitted/ };
const [job, namespace] = ["words-1" as JobId, "test" as Namespace];

describe("cli/load-topology: a bundle that was changed after it was submitted", function () {
  this.timeout(60_000);
  const makeFolder = useFolders();
  const ports = realPorts();
  let folder: string;
  let store: ObjectStore;
  let bundle: Bundle;
  /** Placed, and changed then. */
  let changed: string;
  const load = () => ({ params: {}, parallelism: 0, inputs: {}, bundle: bundle.sha256 });
  const content = () => ({ store: store.url, folder: join(folder, "content"), folderBytesMax: 0 });

  beforeEach(async () => {
    folder = await makeFolder({ "topology.ts": SOURCE });
    await mkdir(join(folder, "store"));
    store = openStore(pathToFileURL(join(folder, "store")).href, { s3: {} }, ports);
    bundle = await bundleSource(SOURCE, "the topology", process.cwd());
    changed = await placeBundle(bundle.code, bundle.sha256, "here", folder);
    await appendFile(changed, "// changed");
  });

  it("in the store: no worker starts a host or an instance", async () => {
    const cache = join(folder, "cache");
    const submission = await readSubmission(join(folder, "topology.ts"), { params: {}, parallelism: 0, cache });
    const { sha256, code } = submission.bundle;
    await store.put(jobKeys(job).spec, jobSpecFrame.encode(jobSpec(submission, job, {}, 0)));
    await store.put(bundleKey(sha256), Buffer.concat([code, Buffer.from("// changed")]));
    const settings = { namespace, nats: { servers: [] }, store: store.url, s3: {} };
    const launcher = clusterLauncher(settings, store, cache, ports, "silent");
    await assert.rejects(launcher.startHost(job, "h1" as HostId, undefined, []), REFUSED);
    await assert.rejects(launcher.startInstance(job, "s" as ServiceId, "i" as InstanceId, undefined), REFUSED);
  });

  it("where it was placed: a host does not load it", async () => {
    const bus = new MemoryBus(ports);
    const parts = { ...{ bus, store, ports, namespace, job, gpus: [], s3: {} }, host: "h1" as HostId };
    const places = { bundleFile: changed, load: load(), outputRoot: folder, content: content() };
    await assert.rejects(makeHost({ ...parts, ...places }), REFUSED);
    await bus.close();
  });

  it("where it was placed: an instance does not load it, and its worker hears why", async () => {
    const config: InstanceConfig = {
      ...{ nats: undefined, namespace, job, service: "s", instance: "i" as InstanceId, store: undefined, assets: {} },
      ...{ bundleFile: changed, load: load(), content: { ...content(), s3: {} }, logLevel: "silent" },
    };
    const { exited } = startChild("instance-main", config, {
      link: true,
      log: ports.log,
      named: {},
      devices: undefined,
    });
    const { code, message } = await exited;
    assert.equal(code, REFUSED.code, message);
    assert.match(message, REFUSED.message);
  });

  it("where it was placed: the process that plans does not load it", async () => {
    const planner = new Planner(folder, store, undefined, []);
    try {
      const task = { params: {}, parallelism: 0, inputs: {}, savepoint: undefined, allowUnmatched: false };
      const placed = { bundleFile: changed, sha256: bundle.sha256, external: [], folder, store: store.url };
      await assert.rejects(planner.plan({ ...task, ...placed }), REFUSED);
    } finally {
      planner.close();
    }
  });
});
