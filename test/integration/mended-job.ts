/** An embedded job that refuses what is not named `good...` until it is mended, and its HTTP API. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts, silentLog } from "../../src/base/real/ports.js";
import { runEmbedded } from "../../src/cli/embedded.js";
import type { JobHandle } from "../../src/cli/job-handle.js";
import { packageRoot } from "../../src/cli/packages.js";
import { readSubmission } from "../../src/cli/submission.js";

export interface Letter {
  readonly id: string;
  readonly message: string;
}
export interface Items<T> {
  readonly items: T[];
}
interface Answer {
  readonly replays: readonly { readonly job: string; readonly records: number }[];
}

const ENDED = new Set(["FINISHED", "FAILED", "CANCELLED"]);

export class MendedJob {
  private constructor(
    readonly folder: string,
    readonly url: string,
    /** Id of the job that refused them. */
    readonly job: string,
    private readonly handle: JobHandle,
  ) {}

  /** The job has ended. @param inputs by file name */
  static async ended(
    inputs: Readonly<Record<string, string | Uint8Array>>,
    params: Readonly<Record<string, string>> = {},
  ): Promise<MendedJob> {
    const folder = await mkdtemp(join(tmpdir(), "millrace-replay-"));
    await mkdir(join(folder, "in"));
    for (const [name, content] of Object.entries(inputs)) await writeFile(join(folder, "in", name), content);
    const submission = await readSubmission(join(packageRoot, "test/fixtures/mended.ts"), {
      params: { input: join(folder, "in/*"), output: join(folder, "out"), mended: join(folder, "mended"), ...params },
      parallelism: 0,
      cache: join(folder, "cache"),
    });
    const http = { host: "127.0.0.1", port: await freePort() };
    const handle = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports: realPorts(silentLog), http });
    await handle.ended(() => {});
    const url = `http://127.0.0.1:${http.port}`;
    const { items } = (await (await fetch(`${url}/v1/jobs`)).json()) as Items<{ job: string }>;
    return new MendedJob(folder, url, items[0]!.job, handle);
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  async mend(): Promise<void> {
    await writeFile(join(this.folder, "mended"), "");
  }

  get at(): string {
    return `${this.url}/v1/jobs/${this.job}/dead-letters`;
  }

  async letters(query = ""): Promise<Letter[]> {
    return ((await (await fetch(`${this.at}${query}`)).json()) as Items<Letter>).items;
  }

  /** @param which `<id>/` of one; empty: all */
  async replay(which: string): Promise<Answer> {
    const json = { headers: { "content-type": "application/json" }, body: "{}" };
    const response = await fetch(`${this.at}/${which}replay`, { method: "POST", ...(which === "" ? json : {}) });
    return (await response.json()) as Answer;
  }

  /** How the job ended. */
  async endOf(job: string): Promise<string> {
    for (let tries = 0; tries < 600; tries++) {
      const { state } = (await (await fetch(`${this.url}/v1/jobs/${job}`)).json()) as { state: string };
      if (ENDED.has(state)) return state;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return assert.fail(`replay ${job} has not ended within a minute`);
  }

  /** Names in what was published. */
  async written(): Promise<string[]> {
    const folder = join(this.folder, "out/texts");
    const files = (await readdir(folder)).filter((name) => !name.startsWith("_"));
    const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
    const rows = texts.flatMap((text) => text.split("\n").filter(Boolean)).map((line) => JSON.parse(line));
    return rows.map(({ name }) => name).sort();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
