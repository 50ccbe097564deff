/** `millrace dev` as somebody uses it who changes a topology: every step waits for what it says. */
import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesBelow } from "./bad-input-support.js";
import { until } from "./cluster.js";
import { MillraceProcess } from "./millrace-process.js";

const MARKS = `export const mark = (word: string) => \`\${word}!\`;\n`;

/** Words of text files, each with a mark that an import gives, one every \`pauseMs\`. */
const TOPOLOGY = `import { setTimeout as pause } from "node:timers/promises";
import { files, jsonl, t, topology } from "millrace";
import { mark } from "./marks.js";

export default topology(
  "marked",
  (job) => {
    const pauseMs = Number(job.param("pauseMs", "0"));
    job
      .read(files("texts/*.txt", { filesPerSplit: 1 }), { id: "texts" })
      .mapRows({ id: "marked", to: { word: t.utf8 } }, async ({ ref }, { content }) => {
        await pause(pauseMs);
        return { word: mark(new TextDecoder().decode(await content.bytes(ref))) };
      })
      .to(jsonl("out"), { id: "out" });
  },
  { unit: "files", checkpointIntervalMs: 200 },
);
`;

describe("e2e: millrace dev", function () {
  this.timeout(120_000);
  let folder: string;
  let dev: MillraceProcess | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-dev-"));
    await write({ "topology.ts": TOPOLOGY, "marks.ts": MARKS });
  });
  afterEach(async () => {
    dev?.kill("SIGKILL");
    await dev?.ended;
    await rm(folder, { recursive: true, force: true });
  });

  async function write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  }

  async function texts(count: number): Promise<string[]> {
    await mkdir(join(folder, "texts"), { recursive: true });
    const words = Array.from({ length: count }, (_, i) => `w${String(i).padStart(3, "0")}`);
    for (const word of words) await writeFile(join(folder, "texts", `${word}.txt`), word);
    return words;
  }

  function start(...args: string[]): MillraceProcess {
    dev = new MillraceProcess(["dev", "topology.ts", ...args], {
      cwd: folder,
      env: { MILLRACE_CACHE: join(folder, "cache") },
    });
    return dev;
  }

  /** What readers of the folder see: not what is staged, put aside, or half written. */
  async function written(): Promise<string[]> {
    const files = (await filesBelow(join(folder, "out"))).filter(
      (file) => !/\/[._][^/]*(\/|$)/.test(file.slice(folder.length)),
    );
    const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
    const lines = texts.flatMap((text) => text.trimEnd().split("\n"));
    return lines.map((line) => (JSON.parse(line) as { word: string }).word).sort();
  }

  /** Waits until it has said it so many times. */
  async function says(process: MillraceProcess, text: string, times = 1): Promise<void> {
    const seen = () => `\n${process.complained}`;
    await until(
      `"${text}" ${times} times`,
      async () => (process.complained.split(text).length > times ? true : undefined),
      { seen },
    );
  }

  it("runs again when a file that the topology imports has changed, and replaces what it wrote", async () => {
    const words = await texts(2);
    const process = start();
    await says(process, "finished: 2 files");
    assert.deepEqual(
      await written(),
      words.map((word) => `${word}!`),
    );
    await write({ "marks.ts": MARKS.replace("!", "?") });
    await says(process, "finished: 2 files", 2);
    assert.match(process.complained, /changed: marks\.ts/);
    assert.deepEqual(
      await written(),
      words.map((word) => `${word}?`),
    );
    process.kill("SIGINT");
    assert.equal((await process.ended).status, 0);
  });

  it("goes on after errors: a file that does not parse, one that throws, an import that is not there yet", async () => {
    await texts(1);
    const process = start();
    await says(process, "finished: 1 file");
    await appendFile(join(folder, "marks.ts"), "export const broken =");
    await says(process, "MILL_BUNDLE_BUILD");
    await write({ "marks.ts": `${MARKS}throw new Error("not today");\n` });
    await says(process, "not today");
    await write({ "marks.ts": `${MARKS}import "./later.js";\n` });
    await says(process, 'Could not resolve "./later.js"');
    await write({ "later.ts": "export {};\n" });
    await says(process, "finished: 1 file", 2);
    await write({
      "marks.ts": MARKS,
      "topology.ts": TOPOLOGY.replace(
        "return {",
        'setTimeout(() => { throw new Error("nobody waits"); }, 0);\n        return {',
      ),
    });
    await says(process, "nobody waits");
    await says(process, "finished: 1 file", 3);
    process.kill("SIGINT");
    assert.equal((await process.ended).status, 0);
  });

  it("stops at once what runs, and goes on with it when the change is none to what runs", async () => {
    await texts(600);
    const process = start("-p", "pauseMs=50", "--parallelism", "1");
    await until("the first rows", async () => ((await written()).length > 0 ? true : undefined));
    await appendFile(join(folder, "topology.ts"), "// a remark\n");
    await says(process, "what runs is the same; the job goes on");
    await write({
      "topology.ts": TOPOLOGY.replace('"pauseMs", "0"', '"pauseMs", "1"').replace("await pause(pauseMs);", ""),
    });
    await says(process, "finished: 600 files");
    assert.equal((await written()).length, 600, "nothing of the round that was stopped is left beside it");
    process.kill("SIGTERM");
    assert.equal((await process.ended).status, 0);
  });

  it("--keep-state goes on from where the job was: every row comes out once, by the old code or the new", async () => {
    const words = await texts(600);
    const process = start("--keep-state", "-p", "pauseMs=50", "--parallelism", "1");
    await until("the first rows", async () => ((await written()).length > 0 ? true : undefined));
    // The other mark first: what is quick is done by the time that it comes.
    await write({ "marks.ts": MARKS.replace("!", "?"), "topology.ts": TOPOLOGY.replace("await pause(pauseMs);", "") });
    await says(process, "finished: ");
    const rows = await written();
    assert.deepEqual(
      rows.map((word) => word.slice(0, -1)),
      words,
    );
    assert.deepEqual(new Set(rows.map((word) => word.at(-1))), new Set(["!", "?"]));
    process.kill("SIGINT");
    assert.equal((await process.ended).status, 0);
  });

  it("--keep-state says what it cannot keep, and begins anew (R3)", async () => {
    await texts(600);
    const process = start("--keep-state", "-p", "pauseMs=50", "--parallelism", "1");
    await until("the first rows", async () => ((await written()).length > 0 ? true : undefined));
    const renamed = TOPOLOGY.replace('id: "texts"', 'id: "other-texts"').replace('"pauseMs", "0"', '"pauseMs", "1"');
    await write({ "topology.ts": renamed.replace("await pause(pauseMs);", "") });
    await says(process, "its state cannot be kept, so the job begins anew");
    assert.match(process.complained, /MILL_SAVEPOINT_UNMATCHED: .*texts/);
    await says(process, "finished: 600 files");
    assert.equal((await written()).length, 600);
  });

  it("does not touch what others wrote without --overwrite, and waits for a change", async () => {
    await texts(1);
    await write({ "marks.ts": MARKS });
    const first = start();
    await says(first, "finished: 1 file");
    await first.stop();
    const before = await written();
    const second = start();
    await says(second, "MILL_SINK_EXISTS");
    assert.deepEqual(await written(), before);
    await write({ "topology.ts": TOPOLOGY.replace('jsonl("out")', 'jsonl("out-2")') });
    await says(second, "finished: 1 file");
    assert.match(await readFile(join(folder, "topology.ts"), "utf8"), /out-2/);
  });

  it("refuses a file that is not there, with status 2: nobody would know whether it is misspelled", async () => {
    const ended = await new MillraceProcess(["dev", "topolgy.ts"], { cwd: folder }).ended;
    assert.equal(ended.status, 2);
    assert.match(ended.stderr, /MILL_TOPOLOGY_LOAD: there is no file topolgy\.ts/);
  });
});
