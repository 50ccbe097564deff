import assert from "node:assert/strict";
import { join } from "node:path";
import type { InstanceId, JobId, Namespace } from "../../../src/base/ids.js";
import { silentLog } from "../../../src/base/real/ports.js";
import { bundleSource } from "../../../src/cli/bundle.js";
import { type StartedChild, startChild } from "../../../src/cli/child-process.js";
import type { InstanceConfig } from "../../../src/cli/instance-main.js";
import { placeBundle } from "../../../src/cli/load-topology.js";
import { startProgram } from "../../../src/cli/program-instance.js";
import { command } from "../../../src/services/handlers/command.js";
import { type Service, service } from "../../../src/topology/service.js";
import { t } from "../../../src/types/columns.js";
import { within } from "../actors/support.js";
import { useFolders } from "./folders.js";
import { type Stubborn, stubborn } from "./left-behind.js";

const nats = { servers: ["nats://127.0.0.1:1"] };
const [job, namespace, instance] = ["job" as JobId, "test" as Namespace, "words-0" as InstanceId];

const sourceOf = ({ command: run }: Stubborn) => `
import { command, files, jsonl, service, t, topology } from "millrace";
const words = service("words", {
  input: { text: t.utf8 }, output: { n: t.int32 }, handler: command({ run: ${JSON.stringify(run)} }),
});
export default topology("words", (job) => {
  job.read(files("*.txt")).flatMap({ id: "split", to: { text: t.utf8 } }, async () => []).infer(words, { id: "count" }).to(jsonl("out"));
});
`;

describe("cli/child-process: an instance whose program ignores SIGTERM", function () {
  this.timeout(60_000);
  const makeFolder = useFolders();

  async function start(drainTimeoutMs: number): Promise<{ child: StartedChild; program: Stubborn }> {
    const folder = await makeFolder({});
    const program = stubborn(folder);
    const { code, sha256 } = await bundleSource(sourceOf(program), "the topology", process.cwd());
    const bundleFile = await placeBundle(code, sha256, "here", folder);
    const load = { params: {}, parallelism: 0, inputs: {}, bundle: sha256 };
    const content = { store: "", folder: join(folder, "content"), folderBytesMax: 0, s3: {} };
    const config: InstanceConfig = {
      ...{ nats, namespace, job, service: "words", instance, store: undefined, assets: {} },
      ...{ bundleFile, load, content, logLevel: "silent" },
    };
    const options = { link: false, log: silentLog, named: {}, devices: undefined, drainTimeoutMs };
    const child = startChild("instance-main", config, options);
    const ended = child.exited.then(({ message }) => assert.fail(`it ended before: ${message}`));
    await Promise.race([program.started, ended]);
    ended.catch(() => {});
    return { child, program };
  }

  it("is ended by force with it, and with all that this has started (D2)", async () => {
    const { child, program } = await start(100);
    child.stop();
    const { code, message } = await within("the instance to end", child.exited);
    assert.deepEqual([code, message.includes("SIGKILL")], ["MILL_SERVICE_LOST", true], message);
    await program.gone;
  });

  it("takes it along where it is killed itself (D2)", async () => {
    const { child, program } = await start(60_000);
    process.kill(child.pid, "SIGKILL");
    await within("the instance to end", child.exited);
    await program.gone;
  });

  it("ends it before its own time is up", async () => {
    const { command: run, started, gone } = stubborn(await makeFolder({}), ":");
    const [input, output] = [{ text: t.utf8 }, { n: t.int32 }];
    const words = service("words", { input, output, handler: command({ run }) }) as unknown as Service;
    const options = { command: run, nats, namespace, job, instance, service: words, drainMs: 100 };
    const stop = startProgram(options, (error) => assert.fail(String(error)));
    await started;
    await within("the program to stop", stop());
    await gone;
  });
});
