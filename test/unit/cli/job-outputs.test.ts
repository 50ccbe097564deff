import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { jobOutputs } from "../../../src/cli/job-outputs.js";

describe("cli/job-outputs: what a coordinator reads for others", () => {
  const ports = realPorts(silentLog);
  const refused = { code: "MILL_REQUEST_FORBIDDEN" };
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-outputs-"));
    await writeFile(join(folder, "a.txt"), "inside");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function textOf(outputs: ReturnType<typeof jobOutputs>, uri: string): Promise<string> {
    const pieces: Uint8Array[] = [];
    const ref = { uri, offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "" };
    for await (const piece of outputs.read(ref)) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  }

  it("of a cluster: no web, and no file that is not below the cluster's store", async () => {
    const root = pathToFileURL(folder).href;
    const outputs = jobOutputs({ s3: {}, root, files: false, ports });
    assert.equal(await textOf(outputs, `${root}/a.txt`), "inside");
    assert.equal(await textOf(outputs, "data:text/plain,here"), "here");
    for (const uri of [
      "https://elsewhere/a.txt",
      "http://169.254.169.254/latest",
      "file:///etc/hostname",
      `${root}/../hostname`,
      `${root}/%2e%2e/hostname`,
      `${root}-beside/a.txt`,
      "a.txt",
      "",
    ])
      await assert.rejects(textOf(outputs, uri), refused, uri);
  });

  it("of a job in this process: its files too", async () => {
    const outputs = jobOutputs({ s3: {}, root: folder, files: true, ports });
    assert.equal(await textOf(outputs, pathToFileURL(join(folder, "a.txt")).href), "inside");
    await assert.rejects(textOf(outputs, "https://elsewhere/a.txt"), refused);
  });

  it("a relative place is below the root; a folder of other machines cannot be looked at", () => {
    const root = pathToFileURL(folder).href;
    const outputs = jobOutputs({ s3: {}, root, files: false, ports });
    assert.equal(outputs.at("out/bad")?.url, `${root}/out/bad`);
    assert.equal(outputs.at("/var/out"), undefined);
    assert.equal(outputs.at("s3://bucket/bad")?.url, "s3://bucket/bad");
  });
});
