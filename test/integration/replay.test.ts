/** Dead letters of an embedded job, listed and replayed over its HTTP API. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts, silentLog } from "../../src/base/real/ports.js";
import { runEmbedded } from "../../src/cli/embedded.js";
import type { JobHandle } from "../../src/cli/job-handle.js";
import { packageRoot } from "../../src/cli/packages.js";
import { readSubmission } from "../../src/cli/submission.js";

interface Letter {
  readonly id: string;
  readonly message: string;
}
interface Items<T> {
  readonly items: T[];
}
interface Answer {
  readonly replays: readonly { readonly job: string; readonly records: number }[];
}

const NAMES = ["bad-1.txt", "bad-2.txt", "bad-3.txt", "good.txt"];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("integration: dead letters are replayed", function () {
  this.timeout(120_000);
  let folder: string;
  let url: string;
  let job: JobHandle;
  let first: string;

  const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const json =
      body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(`${url}${path}`, { method, ...json });
    return (await response.json()) as T;
  };
  const lettersOf = async (query = ""): Promise<Letter[]> =>
    (await ask<Items<Letter>>("GET", `/v1/jobs/${first}/dead-letters${query}`)).items;
  const replay = (path: string, body?: object) =>
    ask<Answer>("POST", `/v1/jobs/${first}/dead-letters/${path}replay`, body);
  const written = async (): Promise<string[]> => {
    const files = await readdir(join(folder, "out/texts")).catch(() => []);
    const texts = await Promise.all(
      files.filter((name) => !name.startsWith("_")).map((name) => readFile(join(folder, "out/texts", name), "utf8")),
    );
    const rows = texts.flatMap((text) => text.split("\n").filter(Boolean)).map((line) => JSON.parse(line));
    assert.ok(rows.every(({ name, text }) => text === `text of ${name}`));
    return rows.map(({ name }) => name).sort();
  };
  /** Until the job has ended. */
  const endOf = async (replayed: string): Promise<string> => {
    for (let tries = 0; tries < 600; tries++) {
      const { state } = await ask<{ state?: string }>("GET", `/v1/jobs/${replayed}`);
      if (state === "FINISHED" || state === "FAILED" || state === "CANCELLED") return state;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return assert.fail(`replay ${replayed} has not ended`);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-replay-"));
    for (const name of NAMES) await writeFile(join(folder, name), `text of ${name}`);
    const submission = await readSubmission(join(packageRoot, "test/fixtures/mended.ts"), {
      params: { input: join(folder, "*.txt"), output: join(folder, "out"), mended: join(folder, "mended") },
      parallelism: 0,
      cache: join(folder, "cache"),
    });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const http = { host: "127.0.0.1", port };
    job = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports: realPorts(silentLog), http });
    await job.ended(() => {});
    first = (await ask<Items<{ job: string }>>("GET", "/v1/jobs")).items[0]!.job;
  });
  after(async () => {
    await job?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("what still fails is a dead letter again, and nothing is written", async () => {
    assert.deepEqual(await written(), ["good.txt"]);
    const letters = await lettersOf();
    assert.deepEqual(letters.map(({ message }) => message.slice(0, 9)).sort(), ["bad-1.txt", "bad-2.txt", "bad-3.txt"]);
    const { id } = letters.find(({ message }) => message.startsWith("bad-1"))!;
    const shown = await ask<{ contents: { path: string }[] }>("GET", `/v1/jobs/${first}/dead-letters/${id}`);
    assert.deepEqual(
      shown.contents.map(({ path }) => path),
      ["ref"],
    );
    const content = await fetch(`${url}/v1/jobs/${first}/dead-letters/${id}/content/ref`);
    assert.equal(await content.text(), "text of bad-1.txt");

    const { replays } = await replay(`${id}/`);
    assert.equal(replays[0]?.records, 1);
    assert.equal(await endOf(replays[0]!.job), "FINISHED");
    assert.deepEqual(await written(), ["good.txt"]);
    const again = await lettersOf();
    assert.equal(again.length, 3);
    assert.ok(
      !again.some((letter) => letter.id === id),
      "the one that was replayed is over; the new one has an id of its own",
    );
  });

  it("what is mended goes through its operator and all behind it, exactly once", async () => {
    await writeFile(join(folder, "mended"), "");
    const [bad] = await lettersOf();
    const one = await replay(`${bad!.id}/`);
    const all = await replay("", {});
    assert.deepEqual([one.replays[0]!.records, all.replays[0]!.records], [1, 2]);
    for (const made of [...one.replays, ...all.replays]) assert.equal(await endOf(made.job), "FINISHED");
    assert.deepEqual(await written(), NAMES);

    const twice = await replay(`${bad!.id}/`);
    assert.deepEqual(twice.replays[0]!.job, one.replays[0]!.job);
    assert.deepEqual(await written(), NAMES, "asked again, it is where it was put");
    assert.deepEqual([(await lettersOf()).length, (await lettersOf("?state=replayed")).length], [0, 4]);
  });
});
