import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { InstanceId, JobId, Namespace, ServiceId } from "../../../src/base/ids.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { embeddedLauncher } from "../../../src/cli/launchers.js";
import { openStore } from "../../../src/storage/open-store.js";
import { useFolders } from "./folders.js";

describe("cli/launchers: many instances at once", function () {
  this.timeout(60_000);
  const makeFolder = useFolders();

  it("one is started in each turn of the event loop: whatever else the process has to answer comes in between", async () => {
    const ports = realPorts();
    const folder = await makeFolder({ "topology.mjs": "// none: each ends at once" });
    await mkdir(join(folder, "store"));
    const store = openStore(pathToFileURL(join(folder, "store")).href, { s3: {} }, ports);
    const bus = new MemoryBus(ports);
    const launcher = embeddedLauncher({
      ...{
        bus,
        store,
        ports,
        namespace: "test" as Namespace,
        assets: [],
        s3: {},
        outputRoot: folder,
        logLevel: "silent",
      },
      bundleFile: join(folder, "topology.mjs"),
      load: { params: {}, parallelism: 0, inputs: {} },
      content: { store: store.url, folder: join(folder, "content"), folderBytesMax: 0 },
    });
    let turns = 0;
    let going = true;
    const turn = () => {
      turns++;
      if (going) setImmediate(turn);
    };
    setImmediate(turn);
    const names = ["a", "b", "c", "d"];
    const started = names.map((name) =>
      launcher.startInstance("job" as JobId, "s" as ServiceId, name as InstanceId, undefined),
    );
    const seen = await Promise.all(started.map((one) => one.then(() => turns)));
    going = false;
    assert.ok(new Set(seen).size === names.length, `started in turns ${seen}`);
    for (const one of started) assert.equal((await (await one).exited).code, "MILL_TOPOLOGY_LOAD");
    await bus.close();
    await store.close();
  });
});
